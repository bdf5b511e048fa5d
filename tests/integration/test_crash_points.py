"""A worker that dies at any point of a turn loses nothing and doubles nothing.

The crash is an error at the named point, followed by what a new worker would do: the jobs again, from the rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.deliveries import Deliveries
from api.desk.timers import HandoffTimers
from api.inbox import Inbox
from api.outbox import DurableOutbox
from graph.assist import Assistant
from graph.conversation import Conversation
from tools.memory import MemoryDesk


class CrashError(BaseException):
    """Nothing in the product catches this, as nothing catches kill -9."""


def before(owner: type, name: str) -> tuple[type, str, bool]:
    return owner, name, True


def after(owner: type, name: str) -> tuple[type, str, bool]:
    return owner, name, False


POINTS = {
    "before the turn is claimed": before(Inbox, "next_batch"),
    "after the turn is claimed": after(Inbox, "next_batch"),
    "before the graph runs": before(Conversation, "customer_turn"),
    "before the outbox is written": before(DurableOutbox, "say"),
    "after the outbox is written": after(DurableOutbox, "say"),
    "before the ticket is opened": before(DurableOutbox, "hand_over"),
    "after the ticket is opened": after(DurableOutbox, "hand_over"),
    "after the graph ran": after(Conversation, "customer_turn"),
    "before the turn is marked": before(Inbox, "mark_handled"),
    "after the turn is marked": after(Inbox, "mark_handled"),
    "after a delivery is taken": after(Deliveries, "next"),
    "before a delivery is marked": before(Deliveries, "mark_sent"),
    "after a delivery is marked": after(Deliveries, "mark_sent"),
    "before the desk sees the card": before(MemoryDesk, "post"),
    "after the place is recorded": after(Deliveries, "record_place"),
}


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[type, str, bool]], list[str]]:
    """Make the first call of a method crash; the returned list tells whether it did."""

    def arm(point: tuple[type, str, bool]) -> list[str]:
        owner, name, is_before = point
        original, crashed = getattr(owner, name), []

        async def crashing(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not crashed and is_before:
                crashed.append(name)
                raise CrashError(name)
            result = await original(self, *args, **kwargs)
            if not crashed:
                crashed.append(name)
                raise CrashError(name)
            return result

        monkeypatch.setattr(owner, name, crashing)
        return crashed

    return arm


async def work(works: Any) -> None:
    """Run the jobs as often as a restarted worker would, until nothing crashes."""
    for _ in range(3):
        try:
            await works.work()
        except CrashError:
            continue
        return
    raise AssertionError("it crashed again and again")


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_loses_nothing_and_doubles_nothing(works: Any, crash_at: Any, point: str) -> None:
    works.knowledge.entries["如何退款?"] = "在订单页申请。"
    crashed = crash_at(POINTS[point])
    await works.store(works.message("如何退款?", "q1"), works.message("能在杯子上刻名字吗?", "q2"))
    await work(works)
    await works.store(works.message("在吗", "q3"))
    await work(works)
    assert await works.agent("可以刻") == "stored"
    await work(works)
    await works.agent("", action="done")
    await work(works)

    assert crashed, "the point was not reached"
    answer, hold, human, back = works.channel.texts
    assert answer == "在订单页申请。"
    assert hold.startswith("⏳")
    assert human == "可以刻"
    assert "处理完毕" in back
    assert len(await works.rows("select * from tickets")) == 1
    assert len(await works.rows("select * from unknown_questions")) == 1
    cards = [kind for kind, _ in works.desk.lines if kind == "card"]
    # Telegram has no idempotency key: a crash between showing and recording may show a post twice, never zero times.
    assert 1 <= len(cards) <= 2
    assert await works.rows("select id from inbox where handled_at is null") == []
    assert await works.rows("select id from outbox where state <> 'sent'") == []
    snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
    texts = [message.text for message in snapshot.values["messages"]]
    assert len(texts) == len(set(texts)), "the history has a line twice"
    assert snapshot.next == ()


BESIDE_A_PERSON = {
    "before the graph runs": before(Conversation, "customer_turn"),
    "before the answer is decided": before(Assistant, "assist"),
    "after the answer is decided": after(Assistant, "assist"),
    "before the outbox is written": before(DurableOutbox, "say"),
    "after the outbox is written": after(DurableOutbox, "say"),
    "before the desk is shown the question": before(DurableOutbox, "relay"),
    "after the desk is shown the question": after(DurableOutbox, "relay"),
    "after the desk is told the answer": after(DurableOutbox, "notify_desk"),
    "after the graph ran": after(Conversation, "customer_turn"),
    "before the turn is marked": before(Inbox, "mark_handled"),
}


@pytest.mark.parametrize("point", BESIDE_A_PERSON)
async def test_a_crash_beside_a_person_keeps_the_wait_and_doubles_nothing(
    works: Any, crash_at: Any, point: str
) -> None:
    works.set_handoff(handoff_mode="assist")
    works.knowledge.entries |= {"如何退款?": "在订单页申请。", "周末发货吗?": "照常发货。"}
    await works.store(works.message("能在杯子上刻名字吗?", "q1"))
    await work(works)
    config = {"configurable": {"thread_id": works.thread()}}
    [wait] = (await works.graph.aget_state(config)).interrupts
    crashed = crash_at(BESIDE_A_PERSON[point])
    for number, text in enumerate(("如何退款?", "在吗", "周末发货吗?"), start=2):
        await works.store(works.message(text, f"q{number}"))
        await work(works)
    assert crashed, "the point was not reached"
    snapshot = await works.graph.aget_state(config)
    assert [interrupt.id for interrupt in snapshot.interrupts] == [wait.id]
    await works.agent("可以刻")
    await works.agent("", action="done")
    await work(works)

    assert works.channel.texts[1:4] == ["在订单页申请。", "照常发货。", "可以刻"]
    assert len(works.channel.texts) == 5
    lines = [(kind, text) for kind, text in works.desk.lines if kind == "customer" or "自动回答" in text]
    assert lines == [
        ("customer", "如何退款?"),
        ("notice", "🤖 机器人已自动回答客户：在订单页申请。"),
        ("customer", "在吗"),
        ("customer", "周末发货吗?"),
        ("notice", "🤖 机器人已自动回答客户：照常发货。"),
    ]
    assert len(await works.rows("select * from tickets")) == 1
    snapshot = await works.graph.aget_state(config)
    texts = [message.text for message in snapshot.values["messages"]]
    assert [
        text for text in texts if text in {"如何退款?", "在订单页申请。", "周末发货吗?", "照常发货。", "可以刻"}
    ] == [
        "如何退款?",
        "在订单页申请。",
        "周末发货吗?",
        "照常发货。",
        "可以刻",
    ]
    assert snapshot.next == ()


TAKING_OVER = {
    "before a ticket is looked at": before(HandoffTimers, "run"),
    "after a ticket was looked at": after(HandoffTimers, "run"),
    "before it is decided": before(HandoffTimers, "may_take_over"),
    "after it is decided": after(HandoffTimers, "may_take_over"),
    "before the desk is told": before(DurableOutbox, "notify_desk"),
    "before the wait is ended": before(Conversation, "human_reply"),
    "before the customer is told": before(DurableOutbox, "say"),
    "after the customer is told": after(DurableOutbox, "say"),
    "after the ticket is closed": after(DurableOutbox, "close_ticket"),
    "after the wait is ended": after(Conversation, "human_reply"),
    "before the turn is marked": before(Inbox, "mark_handled"),
}


@pytest.mark.parametrize("point", TAKING_OVER)
async def test_a_crash_while_the_bot_takes_over_loses_nothing_and_doubles_nothing(
    works: Any, crash_at: Any, point: str
) -> None:
    works.set_handoff(handoff_mode="resume")
    await works.store(works.message("能在杯子上刻名字吗?", "q1"))
    await work(works)
    crashed = crash_at(TAKING_OVER[point])
    now = datetime.now(UTC) + timedelta(minutes=31)
    for _ in range(2):
        with contextlib.suppress(CrashError):
            await works.jobs.timers.run(now)
    await work(works)

    assert crashed, "the point was not reached"
    assert len(works.channel.texts) == 2
    assert [text for kind, text in works.desk.lines if kind == "notice"] == [
        "🤖 31 分钟没有人工回复，机器人已恢复接待。您仍可在这里直接回复客户。"
    ]
    assert await works.rows("select 1 from tickets where closed_at is null") == []
    assert await works.rows("select 1 from inbox where handled_at is null") == []
    assert len(await works.rows("select 1 from audit_log where action = 'ticket.resumed'")) == 1
    assert (await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})).next == ()
