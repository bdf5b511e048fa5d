from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tools.errors import DeskUnavailableError, TopicGoneError
from tools.messages import DeskLabel, DeskPlace, DeskPost
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk

MakeCard = Callable[..., DeskPost]
OpenDesk = Callable[..., TelegramDesk]
Show = Callable[..., Awaitable[Any]]


async def test_everything_later_goes_to_the_same_topic(
    forum: TelegramSimulator, desk: TelegramDesk, posts: dict[str, DeskPost], show: Show
) -> None:
    first = await show(desk, posts["card"])
    for post in (posts["customer"], posts["notice"], posts["card"]):
        assert (await show(desk, post, first.place)).place == first.place
    assert len(forum.topics) == 1
    assert [message.text for message in forum.messages][1:3] == ["👤 张三:还在吗 <b>&", "ℹ️ 客户已离开"]


async def test_a_forum_is_looked_up_once(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    place = (await show(desk, card())).place
    await show(desk, card(), place)
    assert forum.calls.count("getChat") == 1


async def test_a_place_is_ready_before_anything_is_shown_there(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard
) -> None:
    place = await desk.place(card(), None)
    assert [topic.topic_id for topic in forum.topics] == [place.topic_id]
    assert forum.messages == ()


async def test_a_known_place_is_kept_by_a_desk_that_has_just_started(
    forum: TelegramSimulator, desk: TelegramDesk, open_desk: OpenDesk, posts: dict[str, DeskPost]
) -> None:
    place = await desk.place(posts["card"], None)
    for post in posts.values():
        assert await open_desk(forum).place(post, place) == place
    assert len(forum.topics) == 1


async def test_a_place_in_another_chat_is_not_used(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard
) -> None:
    place = await desk.place(card(), DeskPlace(chat_id=-5, topic_id=99))
    assert place.chat_id == forum.chat_id
    assert [topic.topic_id for topic in forum.topics] == [place.topic_id]


@pytest.mark.parametrize("kind", ["card", "customer", "notice"])
async def test_a_deleted_topic_is_said_to_be_gone_and_made_anew_on_request(
    forum: TelegramSimulator, desk: TelegramDesk, posts: dict[str, DeskPost], kind: str, show: Show
) -> None:
    old = (await show(desk, posts["card"])).place
    await forum.delete_topic(old.topic_id)
    assert await desk.place(posts[kind], old) == old
    with pytest.raises(TopicGoneError):
        await desk.post(posts[kind], old)
    assert (forum.topics, forum.messages) == ((), ())
    new = (await show(desk, posts[kind])).place
    assert new.topic_id != old.topic_id
    assert [topic.topic_id for topic in forum.topics] == [new.topic_id]
    assert [message.topic_id for message in forum.messages] == [new.topic_id]


@pytest.mark.parametrize("description", ["message thread not found", "TOPIC_DELETED", "TOPIC_ID_INVALID"])
async def test_every_word_for_a_deleted_topic_is_understood(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, description: str
) -> None:
    place = await desk.place(card(), None)
    forum.fail_next("sendMessage", 400, description=f"Bad Request: {description}")
    with pytest.raises(TopicGoneError):
        await desk.post(card(), place)


async def test_a_failed_card_is_repeated_in_the_topic_it_had_opened(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard
) -> None:
    place = await desk.place(card(), None)
    forum.fail_next("sendMessage", 429, retry_after=1)
    with pytest.raises(DeskUnavailableError):
        await desk.post(card(), place)
    await desk.post(card(), place)
    assert [topic.topic_id for topic in forum.topics] == [place.topic_id]
    assert [message.topic_id for message in forum.messages] == [place.topic_id]


async def test_a_conversation_moves_into_the_chat_when_topics_are_switched_off_and_back_when_on(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard
) -> None:
    old = await desk.place(card(), None)
    forum.set_forum(is_forum=False)
    with pytest.raises(TopicGoneError):
        await desk.post(card(), old)
    plain = await desk.place(card(), None)
    assert plain == DeskPlace(chat_id=forum.chat_id, topic_id=None)
    await desk.post(card(), plain)
    assert "请“回复”本条消息" in forum.messages[-1].text
    forum.set_forum(is_forum=True)
    new = await desk.place(card(), plain)
    await desk.post(card(), new)
    assert forum.messages[-1].topic_id == new.topic_id == forum.topics[-1].topic_id


async def test_a_desk_that_starts_after_topics_were_switched_off_forgets_a_known_topic(
    forum: TelegramSimulator, desk: TelegramDesk, open_desk: OpenDesk, card: MakeCard
) -> None:
    old = await desk.place(card(), None)
    forum.set_forum(is_forum=False)
    assert await open_desk(forum).place(card(), old) == DeskPlace(chat_id=forum.chat_id, topic_id=None)


async def test_a_new_conversation_goes_to_the_chat_when_topics_have_just_been_switched_off(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.place(card(), None)
    forum.set_forum(is_forum=False)
    for thread_id in ("kf:wk1:other", "kf:wk1:third"):
        place = await desk.place(card(thread_id=thread_id), None)
        assert place == DeskPlace(chat_id=forum.chat_id, topic_id=None)
    assert [record.__dict__["action"] for record in caplog.records if record.name == "tools.telegram"] == [
        "desk_topics_off"
    ]


async def test_a_closed_topic_is_still_written_to(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    place = (await show(desk, card())).place
    await forum.close_topic(place.topic_id)
    assert (await show(desk, card(), place)).place == place


async def test_two_customers_of_one_name_have_two_topics(
    forum: TelegramSimulator, desk: TelegramDesk, card: MakeCard, show: Show
) -> None:
    first = await show(desk, card())
    second = await show(desk, replace(card(), thread_id="kf:wk1:other"))
    assert first.place != second.place
    assert len(forum.topics) == 2


async def test_a_topic_of_the_same_number_in_the_former_chat_changes_nothing_here(
    forum: TelegramSimulator, desk: TelegramDesk, posts: dict[str, DeskPost], show: Show
) -> None:
    here = (await show(desk, posts["card"])).place
    former, names = replace(here, chat_id=-5), [topic.name for topic in forum.topics]
    other = replace(posts["customer"], customer_name="李四", label=DeskLabel(is_closed=True))
    await desk.label(other, former)
    await desk.mark(replace(other, kind="sent", reply_to=1), former)
    with pytest.raises(TopicGoneError, match="not the desk any more"):
        await desk.post(other, former)
    assert [topic.name for topic in forum.topics] == names
    assert len(forum.messages) == 1
