"""Marks on people's messages, and what a topic says at a glance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tools.errors import DeskError, DeskSetupError, DeskUnavailableError
from tools.messages import DeskLabel, DeskPlace, DeskPost
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import REACTION, TelegramDesk

MakeCard = Callable[..., DeskPost]
Show = Callable[..., Awaitable[Any]]


@pytest.fixture
async def place(desk: TelegramDesk, card: MakeCard) -> DeskPlace:
    return await desk.place(card(), None)


@pytest.fixture
def sent(notice: DeskPost) -> Callable[..., DeskPost]:
    """Make the mark of a message."""

    def make(message_id: int | None, text: str = "") -> DeskPost:
        return replace(notice, kind="sent", text=text, reply_to=message_id)

    return make


async def test_a_delivered_message_gets_a_reaction(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, sent: Callable[..., DeskPost]
) -> None:
    message_id = await forum.agent_writes("可以刻字", topic_id=place.topic_id)
    await desk.mark(sent(message_id), place)
    assert forum.reactions == {message_id: REACTION}
    assert forum.messages == ()


async def test_words_with_a_mark_are_a_reply_to_that_message(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, sent: Callable[..., DeskPost]
) -> None:
    message_id = await forum.agent_writes("可以刻字", topic_id=place.topic_id)
    await desk.mark(sent(message_id, "还能再发 1 条<b>"), place)
    assert forum.reactions == {message_id: REACTION}
    assert [(message.text, message.reply_to) for message in forum.messages] == [("还能再发 1 条<b>", message_id)]


async def test_without_reactions_the_mark_is_a_short_reply(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, sent: Callable[..., DeskPost]
) -> None:
    forum.set_reactions(allowed=False)
    message_id = await forum.agent_writes("可以刻字", topic_id=place.topic_id)
    await desk.mark(sent(message_id), place)
    assert [(message.text, message.reply_to) for message in forum.messages] == [("✓ 已送达客户", message_id)]


async def test_a_message_that_is_gone_needs_no_mark(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, sent: Callable[..., DeskPost]
) -> None:
    message_id = await forum.agent_writes("可以刻字", topic_id=place.topic_id)
    assert place.topic_id is not None
    await forum.delete_topic(place.topic_id)
    await desk.mark(sent(message_id), place)
    await desk.mark(sent(message_id, "还能再发 1 条"), place)
    assert (forum.messages, forum.reactions) == ((), {})


async def test_a_telegram_that_is_away_leaves_the_mark_for_later(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, sent: Callable[..., DeskPost]
) -> None:
    forum.fail_next("setMessageReaction", 502)
    with pytest.raises(DeskUnavailableError):
        await desk.mark(sent(1), place)


@pytest.mark.parametrize("holder", ["小王", ""])
async def test_a_label_renames_the_topic_and_a_repeated_one_changes_nothing(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, card: MakeCard, holder: str
) -> None:
    post = replace(card(), label=DeskLabel(status="taken", holder=holder))
    await desk.label(post, place)
    await desk.label(post, place)
    assert forum.topics[0].name == ("🟡 张三 · 小王" if holder else "🟡 张三")


async def test_a_topic_is_closed_with_its_conversation_and_opened_when_somebody_waits(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, card: MakeCard
) -> None:
    await desk.label(replace(card(), label=DeskLabel(is_closed=True)), place)
    assert [(topic.name, topic.is_closed) for topic in forum.topics] == [("🟢 张三", True)]
    await desk.label(replace(card(), label=DeskLabel(status="waiting")), place)
    assert [(topic.name, topic.is_closed) for topic in forum.topics] == [("🔴 张三", False)]


async def test_a_label_without_topics_asks_nothing_of_telegram(
    plain_chat: TelegramSimulator, plain_desk: TelegramDesk, card: MakeCard
) -> None:
    await plain_desk.label(card(), DeskPlace(chat_id=plain_chat.chat_id, topic_id=None))
    assert plain_chat.calls == []


async def test_a_topic_that_is_gone_needs_no_label(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, card: MakeCard
) -> None:
    assert place.topic_id is not None
    await forum.delete_topic(place.topic_id)
    for label in (DeskLabel(), DeskLabel(status="waiting"), DeskLabel(is_closed=True)):
        await desk.label(replace(card(), label=label), place)
    assert forum.topics == ()


async def test_a_label_that_is_refused_says_why(
    forum: TelegramSimulator, desk: TelegramDesk, place: DeskPlace, card: MakeCard
) -> None:
    forum.set_topic_right(can_manage_topics=False)
    with pytest.raises(DeskSetupError, match="Manage topics"):
        await desk.label(card(), place)
    forum.set_topic_right(can_manage_topics=True)
    forum.fail_next("editForumTopic", 400, description="Bad Request: SOMETHING")
    with pytest.raises(DeskError, match="Something"):
        await desk.label(card(), place)
