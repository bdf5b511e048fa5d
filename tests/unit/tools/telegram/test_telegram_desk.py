import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tools.errors import DeskError, DeskSetupError, DeskUnavailableError
from tools.messages import DeskPlace, DeskPost
from tools.ports import Desk
from tools.simulators.server import LoopbackServer
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk

MakeCard = Callable[..., DeskPost]
OpenDesk = Callable[..., TelegramDesk]
Show = Callable[..., Awaitable[Any]]

LINE = DeskPost(kind="customer", thread_id="kf:wk1:wmABCDEF123456", customer_name="张三", text="还在吗")


def test_it_is_a_desk(desk: TelegramDesk) -> None:
    port: Desk = desk
    assert port is desk


async def test_nothing_is_asked_before_the_first_call(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    assert forum.calls == []


async def test_a_card_opens_a_topic_named_after_the_customer(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    posted = await show(desk, card())
    (topic,) = forum.topics
    (message,) = forum.messages
    assert topic.name == "🟢 张三"
    assert posted.place == DeskPlace(chat_id=forum.chat_id, topic_id=topic.topic_id)
    assert posted.message_id == message.message_id
    assert message.topic_id == topic.topic_id
    assert "可以开专票吗?" in message.text
    assert [button.data.partition(":")[0] for button in message.buttons] == [
        "draft", "take", "assign", "snooze", "done", "entry",
    ]  # fmt: skip


async def test_without_topics_the_card_stands_in_the_chat(
    plain_chat: TelegramSimulator, plain_desk: TelegramDesk, posts: dict[str, DeskPost], show: Show
) -> None:
    place = DeskPlace(chat_id=plain_chat.chat_id, topic_id=None)
    for post in posts.values():
        posted = await show(plain_desk, post)
        assert posted.place == place
        assert posted.message_id == plain_chat.messages[-1].message_id
    assert plain_chat.topics == ()
    assert "请“回复”本条消息" in plain_chat.messages[0].text
    assert [message.text for message in plain_chat.messages[1:]] == ["👤 张三:还在吗 <b>&", "ℹ️ 张三:客户已离开"]


async def test_markup_in_a_customers_text_reaches_people_as_text(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    await show(desk, card(question="<b>&</i> <script>", draft="a<b && c>d"))
    assert "<b>&</i> <script>" in forum.messages[0].text
    assert "a<b && c>d" in forum.messages[0].text


async def test_the_longest_card_is_accepted(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    await show(desk, card(question="&" * 9000, draft="😀" * 9000, customer_name="<" * 300))
    assert len(forum.messages) == 1


async def test_too_many_requests_says_how_long_to_wait(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    forum.fail_next("sendMessage", 429, retry_after=17)
    with pytest.raises(DeskUnavailableError) as caught:
        await show(desk, card())
    assert caught.value.retry_after == 17
    assert caught.value.transient


async def test_too_many_requests_may_not_say_how_long(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    forum.fail_next("getChat", 429)
    with pytest.raises(DeskUnavailableError) as caught:
        await show(desk, card())
    assert caught.value.retry_after is None


@pytest.mark.parametrize("method", ["getChat", "createForumTopic", "sendMessage"])
async def test_a_server_error_is_transient(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, method: str, show: Show
) -> None:
    for code in (500, 502, 503):
        forum.fail_next(method, code)
        with pytest.raises(DeskUnavailableError):
            await show(desk, card())
    await show(desk, card())
    assert len(forum.messages) == 1


async def test_a_dead_telegram_is_transient_and_forgotten_when_it_is_back(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    await forum.stop()
    with pytest.raises(DeskUnavailableError, match="does not answer"):
        await show(desk, card())
    await forum.start()
    await show(desk, card())
    assert len(forum.messages) == 1


async def test_a_telegram_that_hangs_is_transient(
    forum: TelegramSimulator, open_desk: OpenDesk, card: MakeCard, show: Show
) -> None:
    forum.latency = 30
    with pytest.raises(DeskUnavailableError):
        await show(open_desk(forum, timeout=0.1), card())


@pytest.mark.parametrize("api_path", ["/not-the-bot-api", ""])
async def test_a_refused_token_is_named_and_not_shown(
    forum: TelegramSimulator, card: MakeCard, caplog: pytest.LogCaptureFixture, api_path: str, show: Show
) -> None:
    caplog.set_level(logging.INFO, logger="tools")
    desk = TelegramDesk(
        token=SecretStr("1:wrong-token"), chat_id=forum.chat_id, api_base=f"{forum.api_base}{api_path}", timeout=5
    )
    with pytest.raises(DeskError, match=r"TELEGRAM_BOT_TOKEN.*@BotFather") as caught:
        await show(desk, card())
    await desk.close()
    assert isinstance(caught.value, DeskSetupError)
    # The simulator's own server runs in this process too; its access log is not the product's.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert "wrong-token" not in str(caught.value) + "\n".join(logged)


@pytest.mark.parametrize(
    ("method", "refusal", "words"),
    [
        ("getChat", (400, "Bad Request: chat not found"), "add it there and check NOTIFICATION_CHANNEL"),
        ("sendMessage", (403, "Forbidden: bot was kicked from the supergroup chat"), "add it to the chat"),
        ("createForumTopic", (400, "Bad Request: not enough rights to create a topic"), "Manage topics"),
        ("sendMessage", (400, "Bad Request: TOPIC_CLOSED"), "Manage topics"),
        ("sendMessage", (400, "Bad Request: something new"), "Telegram refused: Something new"),
    ],
)
async def test_what_must_be_mended_at_the_desk_is_said_in_one_line(
    desk: TelegramDesk, forum: TelegramSimulator, method: str, refusal: tuple[int, str], words: str
) -> None:
    forum.fail_next(method, refusal[0], description=refusal[1])
    with pytest.raises(DeskError, match=words) as caught:
        await desk.post(LINE, await desk.place(LINE, None))
    assert isinstance(caught.value, DeskSetupError) is ("new" not in refusal[1])
    assert "\n" not in str(caught.value)


async def test_a_chat_that_moved_names_its_new_id(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    forum.fail_next("getChat", 400, migrate_to_chat_id=-1009)
    with pytest.raises(DeskError, match="NOTIFICATION_CHANNEL=telegram:-1009"):
        await show(desk, card())


async def test_an_answer_that_is_not_telegrams_is_transient(
    desk: TelegramDesk, forum: TelegramSimulator, card: MakeCard, show: Show
) -> None:
    forum.fail_next("getChat", 200)
    with pytest.raises(DeskUnavailableError, match=r"unreadable.*TELEGRAM_API_BASE"):
        await show(desk, card())


async def test_a_web_page_instead_of_an_answer_is_transient(show: Show) -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<html>please sign in</html>")

    async with LoopbackServer(Starlette(routes=[Route("/{path:path}", page, methods=["POST"])])) as portal:
        desk = TelegramDesk(token=SecretStr("1:a"), chat_id=1, api_base=portal.url)
        with pytest.raises(DeskUnavailableError, match="TELEGRAM_API_BASE"):
            await show(desk, LINE)
        await desk.close()


async def test_a_check_names_bot_and_chat(
    desk: TelegramDesk, plain_desk: TelegramDesk, forum: TelegramSimulator
) -> None:
    assert await desk.check() == f"@kefu_bot in forum {forum.chat_id}: one topic a customer"
    assert (await plain_desk.check()).endswith("no topics, people answer by replying")
    assert forum.messages == ()


async def test_a_check_finds_a_missing_right(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    forum.set_topic_right(can_manage_topics=False)
    with pytest.raises(DeskError, match="Manage topics"):
        await desk.check()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_proxy_in_the_environment_is_not_asked_about_loopback(
    forum: TelegramSimulator, monkeypatch: pytest.MonkeyPatch, host: str, show: Show
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    api_base = forum.api_base.replace("127.0.0.1", host)
    desk = TelegramDesk(token=SecretStr(forum.token), chat_id=forum.chat_id, api_base=api_base)
    await show(desk, LINE)
    await desk.close()
    assert len(forum.messages) == 1


async def test_a_proxy_in_the_environment_leads_to_the_real_telegram(
    monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    desk = TelegramDesk(token=SecretStr("1:a"), chat_id=1, api_base="http://telegram.invalid", timeout=5)
    with pytest.raises(DeskUnavailableError, match="ConnectError"):
        await show(desk, LINE)
    await desk.close()
