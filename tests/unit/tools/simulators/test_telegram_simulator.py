import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tools.simulators.server import LoopbackServer
from tools.simulators.telegram import CHAT_ID, TOKEN, TelegramSimulator
from tools.simulators.telegram_markup import MarkupError, visible_text

Call = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as simulator:
        yield simulator


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def call(telegram: TelegramSimulator, http: httpx.AsyncClient) -> Call:
    """Call a method with JSON; return the answer's body."""

    async def run(method: str, **params: object) -> Any:
        response = await http.post(f"{telegram.api_base}/bot{TOKEN}/{method}", json=params)
        body = response.json()
        assert response.status_code == body.get("error_code", 200)
        return body

    return run


@pytest.fixture
def write(call: Call) -> Call:
    """Have the bot write in the chat; return the answer's body."""

    async def run(text: str = "hi", **params: object) -> Any:
        return await call("sendMessage", **{"chat_id": CHAT_ID, "text": text, **params})

    return run


@pytest.fixture
def make_topic(call: Call) -> Callable[[], Awaitable[int]]:
    async def run() -> int:
        made = await call("createForumTopic", chat_id=CHAT_ID, name="张三")
        topic_id: int = made["result"]["message_thread_id"]
        return topic_id

    return run


class Receiver:
    """The bot's side of a webhook: answers with the queued statuses, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.seen: list[tuple[str | None, dict[str, Any]]] = []
        self.server = LoopbackServer(Starlette(routes=[Route("/hook", self._receive, methods=["POST"])]))

    @property
    def url(self) -> str:
        return f"{self.server.url}/hook"

    async def _receive(self, request: Request) -> Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        self.seen.append((secret, json.loads(await request.body())))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    running = Receiver()
    await running.server.start()
    yield running
    await running.server.stop()


async def test_a_wrong_token_is_refused(telegram: TelegramSimulator, http: httpx.AsyncClient) -> None:
    response = await http.post(f"{telegram.api_base}/bot1:wrong/getMe")
    assert response.status_code == 401
    assert response.json() == {"ok": False, "error_code": 401, "description": "Unauthorized"}
    assert telegram.calls == []


async def test_an_unknown_method_is_not_found(call: Call) -> None:
    assert (await call("flyToTheMoon"))["error_code"] == 404


async def test_method_names_are_case_insensitive(call: Call) -> None:
    assert (await call("GETME"))["result"]["username"] == "kefu_bot"


@pytest.mark.parametrize("encoding", ["form", "multipart", "json", "query"])
async def test_parameters_travel_in_every_encoding(
    telegram: TelegramSimulator, http: httpx.AsyncClient, encoding: str
) -> None:
    url = f"{telegram.api_base}/bot{TOKEN}/sendMessage"
    markup = {"inline_keyboard": [[{"text": "发送", "callback_data": "draft:1"}]]}
    plain = {"chat_id": str(CHAT_ID), "text": "12", "reply_markup": json.dumps(markup)}
    if encoding == "form":
        response = await http.post(url, data=plain)
    elif encoding == "multipart":
        response = await http.post(url, files={name: (None, value) for name, value in plain.items()})
    elif encoding == "query":
        response = await http.get(url, params=plain)
    else:
        response = await http.post(url, json={"chat_id": CHAT_ID, "text": "12", "reply_markup": markup})
    assert response.json()["result"]["text"] == "12"
    assert [(button.text, button.data) for button in telegram.messages[0].buttons] == [("发送", "draft:1")]


@pytest.mark.parametrize("body", ["[1]", "{", "\x80"])
async def test_an_unreadable_body_is_refused(telegram: TelegramSimulator, http: httpx.AsyncClient, body: str) -> None:
    url = f"{telegram.api_base}/bot{TOKEN}/sendMessage"
    response = await http.post(url, content=body.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("params", "description"),
    [
        ({"chat_id": 5}, "chat not found"),
        ({"chat_id": "somewhere"}, "parameter chat_id is missing or not a number"),
        ({"text": " "}, "message text is empty"),
        ({"text": "好" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities"),
        ({"text": "a < b", "parse_mode": "HTML"}, "can't parse entities"),
        ({"message_thread_id": 99}, "message thread not found"),
        ({"reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": "好" * 22}]]}}, "BUTTON_DATA_INVALID"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": ""}]]}}, "BUTTON_DATA_INVALID"),
    ],
)
async def test_what_telegram_refuses_is_refused(
    telegram: TelegramSimulator, write: Call, params: dict[str, Any], description: str
) -> None:
    body = await write(**{"text": "x", **params})
    assert body["error_code"] == 400
    assert body["description"].startswith(f"Bad Request: {description}")
    assert telegram.messages == ()


async def test_the_limit_counts_what_people_see(telegram: TelegramSimulator, write: Call) -> None:
    await write("<b>" + "&lt;" * 4096 + "</b>", parse_mode="HTML")
    assert telegram.messages[0].text == "<" * 4096
    assert telegram.messages[0].source.startswith("<b>&lt;")


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ('<a href="x">a</a> <i><b>b</b></i>', "a b"),
        ("&lt;&gt;&amp;&quot;&#39;&#x4f60; & &nbsp;", "<>&\"'你 & &nbsp;"),
        ("1 > 0", "1 > 0"),
        ("", ""),
    ],
)
def test_markup_is_read_as_telegram_reads_it(source: str, seen: str) -> None:
    assert visible_text(source) == seen


@pytest.mark.parametrize("source", ["<x>a</x>", "<b>a", "a</b>", "<b><i>a</b></i>", "a<", "<br/>", "<!-- a -->"])
def test_broken_markup_is_refused(source: str) -> None:
    with pytest.raises(MarkupError):
        visible_text(source)


async def test_a_reply_to_nothing_may_be_sent_all_the_same(telegram: TelegramSimulator, write: Call) -> None:
    await write(reply_parameters={"message_id": 99, "allow_sending_without_reply": True})
    first = telegram.messages[0].message_id
    body = await write(reply_parameters={"message_id": first})
    assert [message.reply_to for message in telegram.messages] == [None, first]
    assert body["result"]["reply_to_message"]["message_id"] == first


async def test_editing_changes_text_and_buttons(telegram: TelegramSimulator, call: Call, write: Call) -> None:
    keys = {"inline_keyboard": [[{"text": "x", "callback_data": "done:1"}]]}
    message_id = (await write(reply_markup=keys))["result"]["message_id"]
    target = {"chat_id": CHAT_ID, "message_id": message_id}
    await call("editMessageText", **target, text="<b>new</b>", parse_mode="HTML", reply_markup=keys)
    assert telegram.messages[0].text == "new"
    assert telegram.messages[0].buttons
    await call("editMessageReplyMarkup", **target)
    assert telegram.messages[0].buttons == ()
    assert "not modified" in (await call("editMessageReplyMarkup", **target))["description"]
    assert "not found" in (await call("editMessageText", chat_id=CHAT_ID, message_id=99, text="x"))["description"]


async def test_topics_are_made_renamed_closed_and_opened(
    telegram: TelegramSimulator, call: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic = {"chat_id": CHAT_ID, "message_thread_id": await make_topic()}
    await call("editForumTopic", **topic, name="李四")
    await call("closeForumTopic", **topic)
    assert [(known.name, known.is_closed) for known in telegram.topics] == [("李四", True)]
    await call("reopenForumTopic", **topic)
    assert not telegram.topics[0].is_closed
    unknown = await call("closeForumTopic", chat_id=CHAT_ID, message_thread_id=99)
    assert unknown["description"] == "Bad Request: TOPIC_ID_INVALID"
    assert (await call("createForumTopic", chat_id=CHAT_ID, name="x" * 129))["error_code"] == 400
    assert "TOPIC_NOT_MODIFIED" in (await call("reopenForumTopic", **topic))["description"]
    assert "TOPIC_TITLE_INVALID" in (await call("editForumTopic", **topic, name=""))["description"]


async def test_a_reaction_is_one_emoji_on_a_message_that_is_there(
    telegram: TelegramSimulator, call: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    message_id = await telegram.agent_writes("你好", topic_id=topic_id)
    target = {"chat_id": CHAT_ID, "message_id": message_id}
    await call("setMessageReaction", **target, reaction=[{"type": "emoji", "emoji": "👌"}])
    assert telegram.reactions == {message_id: "👌"}
    refused = await call("setMessageReaction", **target, reaction=[{"type": "emoji", "emoji": "✓"}])
    assert refused["description"] == "Bad Request: REACTION_INVALID"
    await call("setMessageReaction", **target, reaction=[])
    assert telegram.reactions == {}
    telegram.set_reactions(allowed=False)
    refused = await call("setMessageReaction", **target, reaction=[{"type": "emoji", "emoji": "👌"}])
    assert refused["description"] == "Bad Request: REACTION_INVALID"
    await telegram.delete_topic(topic_id)
    for gone in (message_id, 999):
        body = await call("setMessageReaction", chat_id=CHAT_ID, message_id=gone, reaction=[])
        assert body["description"] == "Bad Request: message to react not found"


async def test_an_edit_and_a_repetition_are_updates_too(
    telegram: TelegramSimulator, call: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    message_id = await telegram.agent_writes("你好", topic_id=await make_topic())
    await telegram.agent_edits(message_id, "您好")
    await telegram.repeat_last_update()
    updates = (await call("getUpdates"))["result"]
    edited = updates[1]["edited_message"]
    assert (edited["message_id"], edited["text"], updates[1]) == (message_id, "您好", updates[2])
    assert edited["edit_date"] >= edited["date"]


async def test_a_deleted_topic_takes_its_messages_along(
    telegram: TelegramSimulator, write: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    await write(message_thread_id=topic_id)
    await telegram.delete_topic(topic_id)
    assert (telegram.topics, telegram.messages) == ((), ())
    body = await write(message_thread_id=topic_id)
    assert body["description"] == "Bad Request: message thread not found"


async def test_a_closed_topic_needs_the_right_to_manage_topics(
    telegram: TelegramSimulator, write: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    await telegram.close_topic(topic_id)
    assert (await write(message_thread_id=topic_id))["ok"]
    telegram.set_topic_right(can_manage_topics=False)
    assert (await write(message_thread_id=topic_id))["description"] == "Bad Request: TOPIC_CLOSED"


async def test_topics_need_a_forum_and_a_right(telegram: TelegramSimulator, call: Call) -> None:
    telegram.set_topic_right(can_manage_topics=False)
    assert "not enough rights" in (await call("createForumTopic", chat_id=CHAT_ID, name="x"))["description"]
    telegram.set_forum(is_forum=False)
    assert "not a forum" in (await call("createForumTopic", chat_id=CHAT_ID, name="x"))["description"]


@pytest.mark.parametrize(
    ("options", "chat_type", "is_forum"),
    [
        ({}, "supergroup", True),
        ({"forum": False}, "supergroup", None),
        ({"chat_type": "group"}, "group", None),
        ({"chat_type": "private", "chat_id": 9001}, "private", None),
    ],
)
async def test_the_chat_describes_itself(
    http: httpx.AsyncClient, options: dict[str, Any], chat_type: str, is_forum: bool | None
) -> None:
    async with TelegramSimulator(**options) as telegram:
        url = f"{telegram.api_base}/bot{TOKEN}/getChat"
        chat = (await http.post(url, json={"chat_id": telegram.chat_id})).json()["result"]
    assert (chat["type"], chat.get("is_forum")) == (chat_type, is_forum)


async def test_members_and_commands(telegram: TelegramSimulator, call: Call) -> None:
    me = (await call("getMe"))["result"]["id"]
    assert (await call("getChatMember", chat_id=CHAT_ID, user_id=me))["result"]["can_manage_topics"] is True
    assert (await call("getChatMember", chat_id=CHAT_ID, user_id=9))["result"]["status"] == "member"
    await call("setMyCommands", commands=[{"command": "done", "description": "交还机器人"}])
    assert telegram.commands[0]["command"] == "done"


async def test_a_poll_wakes_up_for_an_update(telegram: TelegramSimulator, call: Call) -> None:
    polling = asyncio.create_task(call("getUpdates", timeout=30))
    await telegram.wait_until(lambda: telegram.calls == ["getUpdates"])
    await telegram.agent_writes("你好")
    (update,) = (await polling)["result"]
    assert update["message"]["text"] == "你好"


async def test_an_update_comes_again_until_a_later_offset_confirms_it(telegram: TelegramSimulator, call: Call) -> None:
    await telegram.agent_writes("一")
    await telegram.agent_writes("二")
    first, second = (await call("getUpdates"))["result"]
    assert (await call("getUpdates", limit=1))["result"] == [first]
    assert (await call("getUpdates", offset=second["update_id"]))["result"] == [second]
    assert telegram.pending_updates == 1
    assert (await call("getUpdates", offset=second["update_id"] + 1, timeout=0))["result"] == []


async def test_the_newer_of_two_polls_wins(telegram: TelegramSimulator, call: Call) -> None:
    older = asyncio.create_task(call("getUpdates", timeout=30))
    await telegram.wait_until(lambda: telegram.calls == ["getUpdates"])
    assert (await call("getUpdates"))["result"] == []
    assert (await older)["error_code"] == 409


async def test_what_is_written_in_a_topic_replies_to_its_start(
    telegram: TelegramSimulator, call: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    await telegram.agent_writes("好", topic_id=topic_id, agent="小李")
    message = (await call("getUpdates"))["result"][0]["message"]
    assert (message["message_thread_id"], message["is_topic_message"]) == (topic_id, True)
    assert message["from"]["first_name"] == "小李"
    assert message["reply_to_message"]["message_id"] == topic_id
    assert "forum_topic_created" in message["reply_to_message"]


async def test_a_reply_stays_in_the_topic_of_what_it_answers(
    telegram: TelegramSimulator, call: Call, write: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    card = (await write(message_thread_id=topic_id))["result"]["message_id"]
    await telegram.agent_writes("好", reply_to=card)
    message = (await call("getUpdates"))["result"][0]["message"]
    assert message["message_thread_id"] == topic_id
    assert message["reply_to_message"]["message_id"] == card
    assert message["reply_to_message"]["from"]["is_bot"] is True


async def test_a_reply_carries_what_it_answers_with_its_buttons(
    telegram: TelegramSimulator, call: Call, write: Call
) -> None:
    keys = {"inline_keyboard": [[{"text": "交还", "callback_data": "done:1"}]]}
    plain = (await write())["result"]["message_id"]
    card = (await write(reply_markup=keys, reply_parameters={"message_id": plain}))["result"]["message_id"]
    await telegram.agent_writes("好", reply_to=card)
    await telegram.agent_writes("好", reply_to=plain)
    to_card, to_plain = [update["message"]["reply_to_message"] for update in (await call("getUpdates"))["result"]]
    assert to_card["reply_markup"] == keys
    assert "reply_to_message" not in to_card
    assert "reply_markup" not in to_plain


async def test_topics_rest_while_they_are_switched_off(
    telegram: TelegramSimulator, call: Call, write: Call, make_topic: Callable[[], Awaitable[int]]
) -> None:
    topic_id = await make_topic()
    card = (await write(message_thread_id=topic_id))["result"]["message_id"]
    telegram.set_forum(is_forum=False)
    assert (await write(message_thread_id=topic_id))["description"] == "Bad Request: message thread not found"
    await telegram.agent_writes("好", reply_to=card)
    message = (await call("getUpdates"))["result"][0]["message"]
    assert message["reply_to_message"]["message_id"] == card
    assert "is_topic_message" not in {**message, **message["reply_to_message"]}
    with pytest.raises(ValueError, match="no topic"):
        await telegram.agent_writes("好", topic_id=topic_id)
    telegram.set_forum(is_forum=True)
    assert (await write(message_thread_id=topic_id))["ok"]


async def test_people_write_in_other_chats_and_send_other_things(telegram: TelegramSimulator, call: Call) -> None:
    asked = await telegram.agent_writes("有人吗", chat_id=-5)
    await telegram.agent_sends({"photo": [{"file_id": "f"}]}, reply_to=asked)
    foreign, photo = [update["message"] for update in (await call("getUpdates"))["result"]]
    assert foreign["chat"]["id"] == -5
    assert photo["photo"]
    assert photo["reply_to_message"]["from"]["is_bot"] is False
    assert foreign["from"]["id"] == photo["from"]["id"]


async def test_nobody_writes_in_a_topic_that_is_not_there(telegram: TelegramSimulator) -> None:
    with pytest.raises(ValueError, match="no topic 99"):
        await telegram.agent_writes("好", topic_id=99)


async def test_a_press_waits_for_its_answer(telegram: TelegramSimulator, call: Call, write: Call) -> None:
    keys = {"inline_keyboard": [[{"text": "交还", "callback_data": "done:1"}]]}
    message_id = (await write(reply_markup=keys))["result"]["message_id"]
    callback_id = await telegram.agent_presses(message_id, "done:1")
    query = (await call("getUpdates"))["result"][0]["callback_query"]
    assert (query["id"], query["data"], query["message"]["message_id"]) == (callback_id, "done:1", message_id)
    assert (await call("answerCallbackQuery", callback_query_id=callback_id, text="x" * 201))["error_code"] == 400
    await call("answerCallbackQuery", callback_query_id=callback_id, text="好")
    assert [(given.callback_id, given.text) for given in telegram.callback_answers] == [(callback_id, "好")]
    assert "too old" in (await call("answerCallbackQuery", callback_query_id="other"))["description"]


async def test_only_buttons_that_are_there_can_be_pressed(telegram: TelegramSimulator, write: Call) -> None:
    message_id = (await write())["result"]["message_id"]
    with pytest.raises(ValueError, match="no button"):
        await telegram.agent_presses(message_id, "done:1")


async def test_failures_are_made_to_order(call: Call, telegram: TelegramSimulator) -> None:
    telegram.fail_next("getMe", 429, retry_after=3)
    telegram.fail_next("getme", 500, description="Internal Server Error")
    first, second, third = [await call("getMe") for _ in range(3)]
    assert first["parameters"] == {"retry_after": 3}
    assert second["description"] == "Internal Server Error"
    assert third["ok"]


async def test_latency_slows_every_call(telegram: TelegramSimulator, call: Call) -> None:
    telegram.latency = 0.05
    before = asyncio.get_running_loop().time()
    await call("getMe")
    assert asyncio.get_running_loop().time() - before >= 0.05


async def test_an_outage_forgets_nothing(telegram: TelegramSimulator, http: httpx.AsyncClient, write: Call) -> None:
    await write("before")
    url = telegram.api_base
    await telegram.stop()
    with pytest.raises(httpx.TransportError):
        await http.post(f"{url}/bot{TOKEN}/getMe")
    await telegram.start()
    assert telegram.api_base == url
    await write("after")
    assert [message.text for message in telegram.messages] == ["before", "after"]


async def test_waiting_for_a_message_ends_when_it_comes(telegram: TelegramSimulator, write: Call) -> None:
    waiting = asyncio.create_task(telegram.wait_for_message(lambda message: message.text == "second"))
    await write("first")
    await write("second")
    assert (await waiting).text == "second"


async def test_waiting_in_vain_tells_what_did_come(telegram: TelegramSimulator, write: Call) -> None:
    await write("first")
    with pytest.raises(TimeoutError, match="first"):
        await telegram.wait_for_message(lambda message: message.text == "second", timeout=0.01)


async def test_a_webhook_gets_waiting_and_new_updates_in_order(
    telegram: TelegramSimulator, call: Call, receiver: Receiver
) -> None:
    await telegram.agent_writes("一")
    await call("setWebhook", url=receiver.url, secret_token="s-1")
    await telegram.agent_writes("二")
    await telegram.wait_until(lambda: telegram.pending_updates == 0)
    assert [(secret, update["message"]["text"]) for secret, update in receiver.seen] == [("s-1", "一"), ("s-1", "二")]
    assert (await call("getUpdates"))["error_code"] == 409
    assert (await call("getWebhookInfo"))["result"]["url"] == receiver.url


async def test_a_refused_update_is_posted_again(telegram: TelegramSimulator, call: Call, receiver: Receiver) -> None:
    receiver.statuses = [503, 500]
    await call("setWebhook", url=receiver.url)
    await telegram.agent_writes("一")
    await telegram.wait_until(lambda: telegram.pending_updates == 0)
    assert [(secret, update["message"]["text"]) for secret, update in receiver.seen] == [(None, "一")] * 3
    assert "500" in (await call("getWebhookInfo"))["result"]["last_error_message"]


async def test_a_webhook_that_never_answers_loses_updates_in_the_end(telegram: TelegramSimulator, call: Call) -> None:
    await call("setWebhook", url="http://127.0.0.1:9/hook")
    await telegram.agent_writes("一")
    await telegram.wait_until(lambda: telegram.pending_updates == 0)
    assert "Connection failed" in (await call("getWebhookInfo"))["result"]["last_error_message"]


async def test_without_the_webhook_updates_wait_for_polling_again(
    telegram: TelegramSimulator, call: Call, receiver: Receiver
) -> None:
    await call("setWebhook", url=receiver.url)
    await call("deleteWebhook")
    assert telegram.webhook is None
    await telegram.agent_writes("一")
    assert len((await call("getUpdates"))["result"]) == 1
    await call("deleteWebhook", drop_pending_updates=True)
    assert telegram.pending_updates == 0
    assert receiver.seen == []


async def test_a_webhook_set_during_a_poll_ends_it(telegram: TelegramSimulator, call: Call, receiver: Receiver) -> None:
    polling = asyncio.create_task(call("getUpdates", timeout=30))
    await telegram.wait_until(lambda: telegram.calls == ["getUpdates"])
    await call("setWebhook", url=receiver.url)
    assert (await polling)["error_code"] == 409
