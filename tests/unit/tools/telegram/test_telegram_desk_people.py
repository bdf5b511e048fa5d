import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.errors import DeskError, DeskUnavailableError
from tools.messages import DeskEvent, DeskPlace, DeskPost
from tools.simulators.server import LoopbackServer
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk
from tools.telegram_updates import parse_update

MakeCard = Callable[..., DeskPost]
OpenDesk = Callable[..., TelegramDesk]
Show = Callable[..., Awaitable[Any]]


def event_at(place: DeskPlace, *, reply_to: int | None = None, callback_id: str | None = None) -> DeskEvent:
    return DeskEvent(
        update_id=1, place=place, reply_to=reply_to, agent="小王", action="help", text="", callback_id=callback_id
    )


async def test_a_press_is_answered_with_a_pop_up(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    posted = await show(desk, card())
    callback_id = await forum.agent_presses(posted.message_id, "done:t-1")
    await desk.acknowledge(event_at(posted.place, callback_id=callback_id), "好" * 300)
    (answer,) = forum.callback_answers
    assert answer.callback_id == callback_id
    assert answer.text == "好" * 199 + "…"


async def test_a_press_telegram_has_forgotten_is_no_error(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    place = DeskPlace(chat_id=forum.chat_id, topic_id=None)
    await desk.acknowledge(event_at(place, callback_id="old"), "已交还")
    assert forum.calls == ["answerCallbackQuery"]
    assert forum.callback_answers == ()


async def test_another_refusal_of_an_answer_is_an_error(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    forum.fail_next("answerCallbackQuery", 400, description="Bad Request: something else")
    with pytest.raises(DeskError, match="Something else"):
        await desk.acknowledge(event_at(DeskPlace(chat_id=1, topic_id=None), callback_id="c"), "已交还")


async def test_a_command_is_answered_in_its_topic(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    place = (await show(desk, card())).place
    await desk.acknowledge(event_at(place), "用法:<直接回复>")
    assert forum.messages[-1].topic_id == place.topic_id
    assert forum.messages[-1].text == "用法:<直接回复>"


async def test_a_reply_is_answered_under_what_it_replied_to(
    plain_chat: TelegramSimulator, plain_desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    posted = await show(plain_desk, card())
    await plain_desk.acknowledge(event_at(posted.place, reply_to=posted.message_id), "已发送")
    assert plain_chat.messages[-1].reply_to == posted.message_id
    await plain_desk.acknowledge(event_at(posted.place, reply_to=999), "已发送")
    assert plain_chat.messages[-1].reply_to is None


async def test_a_word_into_a_deleted_topic_is_dropped(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    place = (await show(desk, card())).place
    assert place.topic_id is not None
    await forum.delete_topic(place.topic_id)
    await desk.acknowledge(event_at(place), "已发送")
    assert forum.topics == ()


async def test_a_persons_answer_comes_back_through_polling(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    place = (await show(desk, card())).place
    polling = asyncio.create_task(desk.poll(0, 30))
    await forum.wait_until(lambda: "GetUpdates" in forum.calls)
    await forum.agent_writes("可以开", topic_id=place.topic_id, agent="小李")
    (update,) = await polling
    event = parse_update(update, chat_id=forum.chat_id)
    assert event is not None
    assert (event.agent, event.text, event.place, event.reply_to) == ("小李", "可以开", place, None)
    assert await desk.poll(event.update_id + 1, 0) == []


async def test_a_press_comes_back_through_polling(
    plain_chat: TelegramSimulator, plain_desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    posted = await show(plain_desk, card())
    callback_id = await plain_chat.agent_presses(posted.message_id, "draft:t-1")
    (update,) = await plain_desk.poll(0, 0)
    event = parse_update(update, chat_id=plain_chat.chat_id)
    assert event is not None
    assert (event.action, event.ticket_id, event.callback_id) == ("draft", "t-1", callback_id)


@pytest.mark.parametrize("text", ["可以开", "/done"])
async def test_a_reply_to_a_card_comes_back_with_its_ticket(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show, text: str
) -> None:
    posted = await show(desk, card())
    await forum.agent_writes(text, reply_to=posted.message_id)
    (update,) = await desk.poll(0, 0)
    event = parse_update(update, chat_id=forum.chat_id)
    assert event is not None
    assert (event.place, event.reply_to, event.ticket_id) == (posted.place, posted.message_id, "t-1")


async def test_a_reply_to_a_line_comes_back_without_a_ticket(
    plain_chat: TelegramSimulator, plain_desk: TelegramDesk, customer_line: DeskPost, show: Show
) -> None:
    posted = await show(plain_desk, customer_line)
    await plain_chat.agent_writes("在的", reply_to=posted.message_id)
    (update,) = await plain_desk.poll(0, 0)
    event = parse_update(update, chat_id=plain_chat.chat_id)
    assert event is not None
    assert (event.text, event.reply_to, event.ticket_id) == ("在的", posted.message_id, None)


async def test_an_odd_update_does_not_stop_polling(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    await forum.agent_sends({"chat": "not a chat", "date": None, "photo": 7})
    (update,) = await desk.poll(0, 0)
    assert parse_update(update, chat_id=forum.chat_id) is None


async def test_every_polled_update_has_a_number() -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"ok": True, "result": [None, {}, {"update_id": "7"}, {"update_id": 8}]})

    async with LoopbackServer(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])) as server:
        desk = TelegramDesk(token=SecretStr("1:a"), chat_id=1, api_base=server.url)
        assert await desk.poll(0, 0) == [{"update_id": 8}]
        await desk.close()


async def test_a_second_poller_makes_the_first_give_way(
    forum: TelegramSimulator, desk: TelegramDesk, open_desk: OpenDesk
) -> None:
    first = asyncio.create_task(desk.poll(0, 30))
    await forum.wait_until(lambda: forum.calls == ["GetUpdates"])
    assert await open_desk(forum).poll(0, 0) == []
    with pytest.raises(DeskUnavailableError, match="one program a bot token"):
        await first


async def test_polling_a_bot_with_a_webhook_is_refused_until_it_is_taken_off(
    forum: TelegramSimulator, desk: TelegramDesk
) -> None:
    await desk.use_webhook("http://127.0.0.1:9/telegram/webhook", SecretStr("s-1"))
    assert forum.webhook is not None
    assert (forum.webhook.url, forum.webhook.secret) == ("http://127.0.0.1:9/telegram/webhook", "s-1")
    with pytest.raises(DeskUnavailableError):
        await desk.poll(0, 0)
    await desk.use_polling()
    assert await desk.poll(0, 0) == []


async def test_polling_a_dead_telegram_is_transient(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    await forum.stop()
    with pytest.raises(DeskUnavailableError):
        await desk.poll(0, 1)
