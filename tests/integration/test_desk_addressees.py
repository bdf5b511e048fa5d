"""Whom a text is for at the desk whose one chat holds all customers."""

from __future__ import annotations

from typing import Any

import pytest

from tools.messages import DeskPlace

WECOM = DeskPlace(chat_id=0, topic_id=None, desk="wecom")
LISI = {"agent": "lisi", "agent_id": "wecom:lisi", "place": WECOM}
FIRST, SECOND = "wm1", "wm2"


@pytest.fixture
async def two(works: Any) -> Any:
    """A shop where lisi has two customers, the second of whom wrote last."""
    await works.store(works.message(customer_id=FIRST), works.message(customer_id=SECOND))
    for customer in (FIRST, SECOND):
        await works.outbox.hand_over(works.handoff(f"ticket-{customer}", thread_id=works.thread(customer)))
        await press(works, "take", customer)
    return works


async def press(works: Any, action: str, customer: str) -> str:
    ticket: dict[str, Any] = {"ticket_id": f"ticket-{customer}", "callback_id": "c"}
    return str(await works.act(await works.event(action=action, **ticket, **LISI)))


async def write(works: Any, text: str) -> str:
    return str(await works.act(await works.event(text, **LISI)))


async def waiting_for(works: Any) -> list[tuple[str, str]]:
    rows = await works.rows(
        "select thread_id, payload ->> 'text' as text from inbox"
        " where origin = 'desk' and kind = 'text' and handled_at is null order by id"
    )
    return [(row["thread_id"], row["text"]) for row in rows]


async def test_a_text_goes_to_the_customer_that_was_taken_last(two: Any) -> None:
    assert await write(two, "您好") == "stored"
    assert await waiting_for(two) == [(two.thread(SECOND), "您好")]


async def test_a_customer_who_wrote_just_before_the_last_answer_to_another_is_asked_about(two: Any) -> None:
    await two.store(two.message("多少钱?", customer_id=FIRST))
    await press(two, "snooze", SECOND)
    assert await write(two, "一百元") == "held_back"
    assert await waiting_for(two) == []


async def test_a_customer_who_was_answered_is_asked_about_no_more(two: Any) -> None:
    await two.store(two.message("多少钱?", customer_id=FIRST))
    await press(two, "snooze", FIRST)
    await press(two, "snooze", SECOND)
    assert await write(two, "您好") == "stored"
    assert await waiting_for(two) == [(two.thread(SECOND), "您好")]


async def test_among_many_customers_whoever_waits_can_be_chosen(two: Any) -> None:
    others = [f"wm{number}" for number in range(3, 10)]
    await two.store(*(two.message(customer_id=customer) for customer in others))
    for customer in others:
        await two.outbox.hand_over(two.handoff(f"ticket-{customer}", thread_id=two.thread(customer)))
        await press(two, "take", customer)
    await two.store(two.message("多少钱?", customer_id=FIRST))
    assert await write(two, "一百元") == "held_back"
    [row] = await two.rows("select payload from outbox where part = 'answer.0' and payload ->> 'kind' = 'choice'")
    subjects = [button["subject"] for button in row["payload"]["buttons"]]
    assert subjects[:2] == ["ticket-wm9", "ticket-wm1"]
    assert len(subjects) == 6
