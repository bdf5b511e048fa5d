"""Nothing waits for ever: reminders, an honest word to the customer, and a bot that takes over."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api import audit
from api.desk.timers import HandoffTimers, OpenTicket, Plan, Remind, Resume, Tell
from api.settings import HandoffSettings
from graph.texts import PromptTexts
from prompts.loader import parse_text
from tools.office_hours import OfficeHours

START = datetime(2026, 3, 4, 12, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
"""A Wednesday noon."""
ALWAYS = OfficeHours.parse("", "UTC")
OFFICE = OfficeHours.parse("Mon-Fri 09:00-18:00", "Asia/Shanghai")


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def plan(**fields: Any) -> Plan:
    return Plan(**{"remind": minutes(5), "tell": minutes(15), "resume": None, "hours": ALWAYS} | fields)


def ticket(**fields: Any) -> OpenTicket:
    """Make a ticket that opened at the start and that nobody looked at."""
    facts: dict[str, Any] = {
        "ticket_id": "t1",
        "thread_id": "wecom:wk1:wm1",
        "taken_name": "",
        "acted_at": START,
        "waiting_since": START,
        "can_write": True,
        "is_with_staff": False,
        "reminders": 0,
        "reminded_at": None,
        "told_at": None,
        "resumed_at": None,
    }
    return OpenTicket(**facts | fields)


REMINDED = {"reminders": 1, "reminded_at": START + minutes(5)}
TOLD = REMINDED | {"told_at": START + minutes(15)}


@pytest.mark.parametrize(
    ("after", "fields", "steps"),
    [
        (4.9, {}, []),
        (5, {}, [Remind(desk=0)]),
        (14, REMINDED, []),
        (15, REMINDED, [Tell()]),
        (500, TOLD, []),
        (60, {}, [Remind(desk=0), Tell()]),
        # Answered: nobody waits.
        (60, {"waiting_since": None}, []),
        # The customer asked on at minute 20.
        (24, TOLD | {"waiting_since": START + minutes(20)}, []),
        (25, TOLD | {"waiting_since": START + minutes(20)}, [Remind(desk=0)]),
        (35, TOLD | {"waiting_since": START + minutes(20), "reminded_at": START + minutes(25)}, [Tell()]),
        # Taken at minute 6 by somebody who is silent: reminded again, once.
        (10, REMINDED | {"acted_at": START + minutes(6)}, []),
        (11, REMINDED | {"acted_at": START + minutes(6)}, [Remind(desk=0)]),
        (14, {"acted_at": START + minutes(6), "reminders": 1, "reminded_at": START + minutes(11)}, []),
        # Taking it is no answer.
        (15, REMINDED | {"acted_at": START + minutes(14)}, [Tell()]),
        (60, {"is_with_staff": True, "can_write": False}, []),
        (60, {"can_write": False}, [Remind(desk=0)]),
    ],
)
def test_what_is_due_when(after: float, fields: dict[str, Any], steps: list[Any]) -> None:
    assert plan().due(ticket(**fields), START + minutes(after)) == steps


def test_the_desks_are_reminded_one_after_the_other() -> None:
    two = plan(desks=2, tell=minutes(99))
    assert two.due(ticket(), START + minutes(5)) == [Remind(desk=0)]
    assert two.due(ticket(**REMINDED), START + minutes(9)) == []
    assert two.due(ticket(**REMINDED), START + minutes(10)) == [Remind(desk=1)]
    assert two.due(ticket(reminders=2, reminded_at=START + minutes(10)), START + minutes(90)) == []


@pytest.mark.parametrize(
    ("after", "fields", "steps"),
    [
        (29, TOLD, []),
        (30, TOLD, [Resume()]),
        (30, {}, [Resume()]),
        (30, {"acted_at": START + minutes(1)}, [Remind(desk=0), Tell()]),
        (31, {"acted_at": START + minutes(1)}, [Resume()]),
        (31, {"acted_at": START, "waiting_since": None}, [Resume()]),
        # Its turn waits in line; one that failed is tried again.
        (40, {"resumed_at": START + minutes(30)}, []),
        (60, {"resumed_at": START + minutes(30)}, [Resume()]),
        (70, TOLD | {"resumed_at": START + minutes(30), "acted_at": START + minutes(35)}, [Resume()]),
        (30, TOLD | {"can_write": False}, []),
    ],
)
def test_when_the_bot_takes_over(after: float, fields: dict[str, Any], steps: list[Any]) -> None:
    assert plan(resume=minutes(30)).due(ticket(**fields), START + minutes(after)) == steps


def test_outside_office_hours_the_reminder_waits_for_people_and_the_customer_is_told() -> None:
    evening = START.replace(hour=17, minute=58)
    late = ticket(acted_at=evening, waiting_since=evening)
    assert plan(hours=OFFICE).due(late, evening + minutes(10)) == []
    assert plan(hours=OFFICE).due(late, evening + minutes(15)) == [Tell()]
    morning = (START + timedelta(days=1)).replace(hour=9, minute=0)
    assert Remind(desk=0) in plan(hours=OFFICE).due(late, morning)


async def age(works: Any, number: float) -> None:
    """Let so many minutes go by: everything that happened is older."""
    gone = minutes(number)
    await works.run(
        "update tickets set opened_at = opened_at - %s, answered_at = answered_at - %s, acted_at = acted_at - %s,"
        " taken_at = taken_at - %s, snoozed_until = snoozed_until - %s, reminded_at = reminded_at - %s,"
        " told_at = told_at - %s, resumed_at = resumed_at - %s",
        *[gone] * 8,
    )
    await works.run("update inbox set received_at = received_at - %s", gone)


async def tick(works: Any, after: float = 0) -> None:
    """Let so many minutes go by, and do what time does then."""
    await age(works, after)
    await works.jobs.housekeeping.handoffs()
    await works.work()


def notices(works: Any) -> list[str]:
    return [text for kind, text in works.desk.lines if kind == "notice"]


async def actions(works: Any) -> list[tuple[str, str]]:
    rows = await audit.entries(works.pool, audit.Filter(actor="kefu"), limit=50)
    return [(row["action"], row["detail"].get("minutes", "")) for row in reversed(rows)]


async def test_nobody_answers_the_desk_is_reminded_and_the_customer_told_each_once(works: Any) -> None:
    await works.customer("能刻字吗?")
    await tick(works, 4)
    assert notices(works) == []
    for _ in range(2):
        await tick(works, 2)
    assert [text[:13] for text in notices(works)] == ["⏰ 客户已等待 6 分钟，"]
    for _ in range(2):
        await tick(works, 8)
    hold, told = works.channel.texts
    assert "久等" in told
    assert "非工作时间" not in told
    assert notices(works)[1] == f"ℹ️ 客户已等待 16 分钟，已告知客户：\n{told}"
    assert len(notices(works)) == 2
    assert await actions(works) == [("ticket.reminded", "6"), ("ticket.told", "16")]
    assert works.knowledge is not None
    assert hold.startswith("⏳")
    # The wait is still a wait.
    await works.agent("可以刻")
    assert works.channel.texts[-1] == "可以刻"


async def test_an_answer_ends_the_wait_and_a_further_question_begins_one(works: Any) -> None:
    await works.customer("能刻字吗?")
    await works.agent("可以刻")
    await tick(works, 60)
    assert await actions(works) == []
    await works.customer("谢谢")
    await tick(works, 20)
    assert await actions(works) == []
    await works.customer("要多少钱?")
    await tick(works, 6)
    assert await actions(works) == [("ticket.reminded", "6")]
    await tick(works, 10)
    assert await actions(works) == [("ticket.reminded", "6"), ("ticket.told", "16")]


async def test_a_question_the_bot_answered_beside_a_person_waits_for_nobody(works: Any) -> None:
    works.set_handoff(handoff_mode="assist")
    works.knowledge.entries["如何退款?"] = "在订单页申请。"
    await works.customer("能刻字吗?")
    await works.agent("可以刻")
    await works.customer("如何退款?")
    assert works.channel.texts[-1] == "在订单页申请。"
    await tick(works, 60)
    assert await actions(works) == []


async def test_a_taken_ticket_whose_taker_is_silent_is_reminded_of_by_name(works: Any) -> None:
    await works.customer("能刻字吗?")
    await works.agent("", action="take", agent_id="7")
    await tick(works, 6)
    assert notices(works)[-1].startswith("⏰ 小王 已接手，但客户已等待 6 分钟")


async def test_a_ticket_put_off_is_quiet_until_then(works: Any) -> None:
    await works.customer("能刻字吗?")
    await works.run("update tickets set snoozed_until = now() + interval '20 minutes', acted_at = now()")
    await tick(works, 19)
    assert await actions(works) == []
    await tick(works, 1.1)
    assert [action for action, _ in await actions(works)] == ["ticket.reminded", "ticket.told"]


async def test_while_staff_or_a_muted_bot_have_the_customer_nothing_is_said(works: Any) -> None:
    await works.customer("能刻字吗?")
    await works.run("update conversations set muted_at = now()")
    await tick(works, 60)
    assert [action for action, _ in await actions(works)] == ["ticket.reminded"]
    await works.run("update conversations set muted_at = null, session_state = 'staff'")
    await tick(works, 60)
    assert [action for action, _ in await actions(works)] == ["ticket.reminded"]


async def test_what_staff_write_in_the_channels_own_client_is_an_answer(works: Any) -> None:
    await works.customer("能刻字吗?")
    await works.store(works.staff_message("可以刻"))
    await works.work()
    await works.run("update conversations set session_state = 'bot'")
    await tick(works, 60)
    assert await actions(works) == []


async def test_outside_office_hours_the_customer_is_told_when_people_are_back(works: Any) -> None:
    await works.customer("能刻字吗?")
    night = datetime(2026, 3, 4, 22, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
    await works.run("update tickets set opened_at = %s", night)
    works.set_handoff(office_hours="Mon-Fri 09:00-18:00")
    await works.jobs.timers.run(night + minutes(16))
    await works.work()
    assert "明天 09:00" in works.channel.texts[-1]
    assert await actions(works) == [("ticket.told", "16")]
    await works.jobs.timers.run(night + timedelta(hours=11))
    assert [action for action, _ in await actions(works)] == ["ticket.told", "ticket.reminded"]


class SecondDesk:
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def note(self, conn: Any, thread_id: str, turn_id: str, part: str, text: str) -> None:
        self.notes.append(text)


async def test_a_second_desk_is_reminded_after_the_first(works: Any) -> None:
    second = SecondDesk()
    settings = HandoffSettings(kefu_handoff_tell_minutes=99)
    timers = HandoffTimers(works.pool, works.queue, works.outbox, works.texts, settings, other_desks=[second])
    await works.customer("能刻字吗?")
    for _ in range(4):
        await age(works, 4)
        await timers.run(datetime.now(START.tzinfo))
    assert [text[:13] for text in second.notes] == ["⏰ 客户已等待 12 分钟"]
    assert len(await actions(works)) == 2


async def test_two_workers_do_a_step_once(works: Any) -> None:
    await works.customer("能刻字吗?")
    await age(works, 16)
    now = datetime.now(START.tzinfo)
    done = await asyncio.gather(*(works.jobs.timers.run(now) for _ in range(4)))
    assert sorted(done) == [0, 0, 0, 2]
    await works.work()
    assert len(works.channel.texts) == 2


async def test_a_step_that_breaks_off_leaves_nothing_and_is_done_again(works: Any, monkeypatch: Any) -> None:
    await works.customer("能刻字吗?")

    async def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(audit, "record", fail)
        with pytest.raises(RuntimeError):
            await tick(works, 16)
    await works.work()
    assert len(works.channel.texts) == 1
    assert notices(works) == []
    await tick(works)
    assert len(works.channel.texts) == 2
    assert len(notices(works)) == 2


async def test_the_bot_takes_over_when_nobody_comes(works: Any) -> None:
    works.set_handoff(handoff_mode="resume")
    works.knowledge.entries["如何退款?"] = "在订单页申请。"
    await works.customer("能刻字吗?")
    await tick(works, 31)
    assert "接下来由我先为您服务" in works.channel.texts[-1]
    assert notices(works) == ["🤖 31 分钟没有人工回复，机器人已恢复接待。您仍可在这里直接回复客户。"]
    assert not await works.conversation.is_waiting(works.thread())
    [row] = await works.rows("select closed_at, ended_by from tickets")
    assert row["closed_at"] is not None
    assert row["ended_by"] == "resume"
    await works.customer("如何退款?")
    assert works.channel.texts[-1] == "在订单页申请。"
    # The person who comes after all is heard, and nothing is taken over twice.
    await works.agent("可以刻")
    assert works.channel.texts[-1] == "可以刻"
    await tick(works, 60)
    assert [action for action, _ in await actions(works)] == ["ticket.resumed"]


async def test_the_bot_takes_over_without_a_word_from_a_person_who_answered(works: Any) -> None:
    works.set_handoff(handoff_mode="resume", handoff_resume_minutes=10)
    await works.customer("能刻字吗?")
    await works.agent("可以刻")
    said = len(works.channel.texts)
    await tick(works, 11)
    assert len(works.channel.texts) == said
    assert not await works.conversation.is_waiting(works.thread())
    snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
    assert [note["text"] for note in snapshot.values["notes"]] == ["可以刻"]


async def test_a_person_who_is_faster_keeps_the_conversation(works: Any) -> None:
    works.set_handoff(handoff_mode="resume")
    await works.customer("能刻字吗?")
    await age(works, 31)
    await works.jobs.housekeeping.handoffs()
    # Taken between the decision and the turn that carries it out.
    await works.run("update tickets set acted_at = now()")
    await works.work()
    assert await works.conversation.is_waiting(works.thread())
    assert len(works.channel.texts) == 1
    await works.run(
        "update tickets set acted_at = now() - interval '31 minutes', resumed_at = now() - interval '1 hour'"
    )
    await tick(works)
    assert not await works.conversation.is_waiting(works.thread())


async def test_a_take_over_that_breaks_off_goes_on(works: Any, monkeypatch: Any) -> None:
    works.set_handoff(handoff_mode="resume")
    await works.customer("能刻字吗?")
    await age(works, 31)
    await works.jobs.housekeeping.handoffs()

    async def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(type(works.inbox), "mark_handled", fail)
        with pytest.raises(RuntimeError):
            await works.work()
    await works.work()
    assert len(works.channel.texts) == 2
    assert len(notices(works)) == 1
    assert await works.rows("select 1 from inbox where handled_at is null") == []


async def test_a_ticket_whose_wait_was_lost_is_closed(works: Any) -> None:
    works.set_handoff(handoff_mode="resume")
    await works.customer("你好")
    async with works.pool.connection():
        await works.outbox.hand_over(works.handoff())
    await tick(works, 31)
    [row] = await works.rows("select closed_at from tickets")
    assert row["closed_at"] is not None


async def test_who_waits_is_told_so_in_the_words_of_their_account(works: Any) -> None:
    own = parse_text("still_waiting", "still_waiting.md", "人事同事马上就来。")
    timers = HandoffTimers(
        works.pool,
        works.queue,
        works.outbox,
        works.texts,
        HandoffSettings(_env_file=None),
        texts_of=lambda thread_id: PromptTexts({"still_waiting": own}) if thread_id == works.thread() else works.texts,
    )
    works._renew(timers=timers)
    await works.customer("能刻字吗?")
    await tick(works, 20)
    assert works.channel.texts[1:] == ["人事同事马上就来。"]
