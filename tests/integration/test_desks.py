"""Several desks: where a conversation is shown, when it moves, and who is told on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.desk.desks import Desks
from api.desk.timers import HandoffTimers
from api.settings import HandoffSettings
from tools.errors import DeskError, DeskSetupError, DeskUnavailableError, TopicGoneError
from tools.memory import MemoryDesk
from tools.messages import DeskPlace, DeskPost, Media

WECOM = DeskPlace(chat_id=0, topic_id=None, desk="wecom")


class AppDesk(MemoryDesk):
    """A desk in one chat that fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        return WECOM

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return await super().post(post, place)


class Group:
    """A group that reads."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def send(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def app() -> AppDesk:
    return AppDesk()


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
async def shop(works: Any, app: AppDesk, group: Group) -> Any:
    """A shop with a desk on Telegram, then a group, then a desk inside WeCom; a customer wrote."""
    desks = Desks(desks={"telegram": works.desk, "wecom": app}, groups={"g": group}, order=("telegram", "g", "wecom"))
    works.jobs = replace(works.jobs, desks=desks)
    await works.store(works.message())
    return works


def kinds(desk: Any) -> list[str]:
    return [post.kind for post in desk.posts]


async def deliver(works: Any) -> None:
    await works.jobs.deliver(works.thread(), "desk")
    await works.jobs.deliver(works.thread(), "webhook")


async def timers(works: Any, minutes: float) -> None:
    """Let the timers look as if so much time had passed."""
    settings = HandoffSettings(_env_file=None, kefu_handoff_tell_minutes=999)
    lines = works.jobs.desks.lines(works.outbox)
    made = HandoffTimers(works.pool, works.queue, works.outbox, works.texts, settings, other_desks=lines)
    await made.run(datetime.now(UTC) + timedelta(minutes=minutes))


def test_the_order_says_what_comes_between() -> None:
    desks = Desks(desks={"wecom": MemoryDesk(), "telegram": MemoryDesk()}, order=("a", "telegram", "b", "wecom", "c"))
    assert (desks.names, desks.first_groups) == (("telegram", "wecom"), ("a",))
    assert (desks.groups_after("telegram"), desks.groups_after("wecom")) == (("b",), ("c",))
    assert desks.starting_with("wecom") == ("wecom", "telegram")
    assert desks.starting_with(None) == ("telegram", "wecom")
    assert Desks(desks={}, order=("a", "b")).first_groups == ("a", "b")


async def test_a_desk_that_must_be_mended_is_left_at_once_with_the_card(shop: Any, app: AppDesk, group: Group) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    shop.desk.errors.append(DeskSetupError("the token is refused"))
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await deliver(shop)
    assert kinds(shop.desk) == ["card"]
    assert kinds(app) == ["card", "customer"]
    assert len(group.lines) == 1
    await shop.outbox.relay(shop.thread(), "t3", "relay", "喂")
    await deliver(shop)
    assert kinds(app) == ["card", "customer", "customer"]


async def test_a_desk_that_does_not_answer_is_tried_three_times(shop: Any, app: AppDesk) -> None:
    shop.desk.errors += [DeskUnavailableError("no answer") for _ in range(3)]
    await shop.outbox.hand_over(shop.handoff())
    for _ in range(2):
        with pytest.raises(DeskUnavailableError):
            await deliver(shop)
    assert app.posts == []
    await deliver(shop)
    assert (kinds(shop.desk), kinds(app)) == ([], ["card"])


async def test_who_asks_to_slow_down_is_waited_for(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    for _ in range(4):
        shop.desk.errors.append(DeskUnavailableError("slow down", retry_after=9))
        with pytest.raises(DeskUnavailableError):
            await deliver(shop)
    await deliver(shop)
    assert (kinds(shop.desk), kinds(app)) == (["card"], [])


async def test_one_desk_alone_keeps_its_line(works: Any) -> None:
    await works.store(works.message())
    works.desk.errors += [DeskSetupError("mend it"), *(DeskUnavailableError("no answer") for _ in range(5))]
    await works.outbox.hand_over(works.handoff())
    for _ in range(6):
        with pytest.raises(DeskError):
            await works.jobs.deliver(works.thread(), "desk")
    await works.jobs.deliver(works.thread(), "desk")
    assert kinds(works.desk) == ["card"]


async def test_when_every_desk_fails_the_row_waits(shop: Any, app: AppDesk) -> None:
    shop.desk.errors.append(DeskSetupError("mend it"))
    app.errors.append(DeskSetupError("mend this one too"))
    await shop.outbox.hand_over(shop.handoff())
    with pytest.raises(DeskSetupError, match="this one too"):
        await deliver(shop)
    await deliver(shop)
    assert kinds(shop.desk) == ["card"]


async def test_a_crash_between_the_card_and_the_line_shows_the_line(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    await shop.run("update desk_places set desk = 'wecom'")
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await deliver(shop)
    assert kinds(app) == ["card", "customer"]


async def test_nobody_takes_it_so_group_and_next_desk_are_told_in_turn(shop: Any, app: AppDesk, group: Group) -> None:
    await shop.outbox.hand_over(shop.handoff(question="能刻字吗?\n<@all>"))
    await deliver(shop)
    for minutes in (6, 11):
        await timers(shop, minutes)
        await timers(shop, minutes)
        await deliver(shop)
    [line] = group.lines
    assert "能刻字吗? ＜＠all>" in line
    assert "Telegram 群" in line
    assert app.posts == []
    await timers(shop, 16)
    await deliver(shop)
    assert kinds(app) == ["card", "notice"]
    assert "已等待 16 分钟" in app.posts[1].text
    assert shop.desk.posts[-1].text == shop.texts.render("desk_left", desk=shop.texts.render("desk_name_wecom"))
    places = await shop.rows("select desk, chat_id, topic_id from desk_places")
    assert places == [{"desk": "wecom", "chat_id": shop.chat_id, "topic_id": 41}]


async def test_a_taken_ticket_does_not_move(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    await shop.agent("", action="take", agent_id="9001")
    for minutes in (6, 11, 16, 21):
        await timers(shop, minutes)
    await shop.run("update tickets set lapsed_at = null")
    await deliver(shop)
    assert app.posts == []


async def test_who_acts_at_another_desk_has_the_conversation_there(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    ticket: dict[str, Any] = {"ticket_id": "ticket1", "callback_id": "c", "agent": "lisi", "agent_id": "wecom:lisi"}
    await shop.act(await shop.event(action="take", place=WECOM, **ticket))
    await deliver(shop)
    assert [(post.kind, post.to) for post in app.posts] == [("notice", "wecom:lisi")]
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await deliver(shop)
    assert kinds(app) == ["notice", "customer"]
    assert shop.desk.labels[-1].holder == "lisi"


async def test_an_answer_goes_where_it_was_asked(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    await shop.run("update desk_places set desk = 'wecom'")
    event = await shop.event(action="who", agent_id="9001")
    await shop.act(event)
    await deliver(shop)
    assert [post.text.startswith("👤 接待") for post in shop.desk.posts[1:]] == [True]
    assert app.posts == []


async def test_a_new_ticket_begins_with_the_first_desk_or_where_its_rule_wants_it(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff("one", channel="wecom"))
    await deliver(shop)
    assert (kinds(shop.desk), kinds(app)) == ([], ["card"])
    await shop.outbox.close_ticket("one")
    await shop.outbox.hand_over(shop.handoff("two"))
    await deliver(shop)
    assert (kinds(shop.desk), kinds(app)) == (["card"], ["card"])


async def test_both_desks_may_name_their_actions_alike(shop: Any) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    ticket: dict[str, Any] = {"ticket_id": "ticket1", "callback_id": "c", "agent_id": "wecom:lisi", "update_id": 77}
    assert await shop.act(await shop.event(action="note", update_id=77)) == "answered"
    assert await shop.act(await shop.event(action="take", place=WECOM, **ticket)) == "answered"
    assert await shop.act(await shop.event(action="take", place=WECOM, **ticket)) == "repeated"


async def test_a_lock_that_ends_shows(shop: Any) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    await shop.agent("", action="take", agent_id="9001")
    assert shop.desk.labels[-1].status == "taken"
    await timers(shop, 14)
    await deliver(shop)
    assert shop.desk.labels[-1].status == "taken"
    await shop.forget_jobs()
    await timers(shop, 16)
    assert ("deliver", f"desk:{shop.thread()}") in await shop.waiting_jobs("deliver")
    await deliver(shop)
    assert shop.desk.labels[-1].status == "waiting"
    await shop.agent("我来", agent_id="9001")
    assert shop.desk.labels[-1].status == "taken"


async def test_a_file_is_fetched_where_it_was_sent(app: AppDesk) -> None:
    desks = Desks(desks={"wecom": app})
    with pytest.raises(DeskError, match="not configured any more"):
        await desks.fetch(Media(kind="image", ref="on-telegram"))


async def test_the_desk_that_a_conversation_leaves_is_told_once(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    ticket: dict[str, Any] = {"ticket_id": "ticket1", "callback_id": "c", "agent": "lisi", "agent_id": "wecom:lisi"}
    await shop.act(await shop.event(action="take", place=WECOM, **ticket))
    await deliver(shop)
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await deliver(shop)
    left = shop.texts.render("desk_left", desk=shop.texts.render("desk_name_wecom"))
    assert [(post.kind, post.text) for post in shop.desk.posts[1:]] == [("notice", left)]
    assert kinds(app) == ["notice", "customer"]


async def test_a_dead_desk_that_is_left_holds_nothing_up(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    ticket: dict[str, Any] = {"ticket_id": "ticket1", "callback_id": "c", "agent": "lisi", "agent_id": "wecom:lisi"}
    shop.desk.errors.append(DeskUnavailableError("no answer"))
    await shop.act(await shop.event(action="take", place=WECOM, **ticket))
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await deliver(shop)
    assert kinds(shop.desk) == ["card"]
    assert kinds(app) == ["notice", "customer"]


async def test_an_answer_that_is_shown_at_another_desk_names_no_message_of_the_first(shop: Any, app: AppDesk) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    event = await shop.event("可以刻字", agent_id="wecom:lisi", agent="lisi", place=WECOM, message_id=7 * 10**18)
    await shop.desk_inbox.store(replace(event, ticket_id="ticket1", callback_id="c", action="take"))
    app.errors.append(DeskSetupError("not in the app's range any more"))
    await deliver(shop)
    assert (shop.desk.posts[-1].kind, shop.desk.posts[-1].reply_to) == ("notice", None)


async def test_in_place_of_a_deleted_topic_the_open_ticket_s_card_comes_first(shop: Any) -> None:
    await shop.outbox.hand_over(shop.handoff())
    await deliver(shop)
    shop.desk.errors.append(TopicGoneError("deleted"))
    await shop.outbox.relay(shop.thread(), "t2", "relay", "在吗")
    await shop.outbox.relay(shop.thread(), "t3", "relay", "喂")
    await deliver(shop)
    assert kinds(shop.desk) == ["card", "card", "customer", "customer"]
    assert [place.topic_id for place in shop.desk.shown_in] == [41, 42, 42, 42]


async def test_a_deleted_topic_that_a_conversation_comes_back_to_is_made_anew_with_the_card(
    shop: Any, app: AppDesk
) -> None:
    await shop.outbox.hand_over(shop.handoff("one"))
    await deliver(shop)
    await shop.outbox.close_ticket("one")
    await shop.outbox.hand_over(shop.handoff("two", channel="wecom"))
    await deliver(shop)
    await shop.run("update desk_places set desk = 'telegram'")
    shop.desk.errors.append(TopicGoneError("deleted"))
    await shop.outbox.relay(shop.thread(), "t3", "relay", "在吗")
    await deliver(shop)
    assert kinds(shop.desk) == ["card", "card", "customer"]
