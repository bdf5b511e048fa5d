"""Everything the bot says: written once under a key, in order, traced back from the desk."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api.database import Pool
from api.job_queue import JobQueue
from api.outbox import MAX_OVERTAKEN, DurableOutbox
from tools.errors import OvertakenError
from tools.messages import delivery_key


async def written(works: Any) -> list[tuple[str, str, str, str]]:
    rows = await works.rows("select destination, turn_id, part, payload, state from outbox order by id")
    return [(row["destination"], row["turn_id"], row["part"], row["payload"].get("text", "")) for row in rows]


async def test_a_part_of_a_turn_is_written_once(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "好", sources=["c1"])
    await works.outbox.say(works.thread(), "turn1", "answer", "说法不同", sources=["c2"])
    assert await written(works) == [("customer", "turn1", "answer.0", "好")]
    assert (await works.rows("select payload from outbox"))[0]["payload"]["sources"] == ["c1"]


async def test_other_parts_and_other_turns_are_other_messages(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "一")
    await works.outbox.say(works.thread(), "turn1", "hold", "二")
    await works.outbox.say(works.thread(), "turn2", "answer", "三")
    assert [text for *_, text in await written(works)] == ["一", "二", "三"]


async def test_a_long_text_becomes_parts_in_order_once(works: Any) -> None:
    for _ in range(2):
        await works.outbox.say(works.thread(), "turn1", "answer", "一|二|三", sources=["c1"])
    assert await written(works) == [
        ("customer", "turn1", "answer.0", "一"),
        ("customer", "turn1", "answer.1", "二"),
        ("customer", "turn1", "answer.2", "三"),
    ]
    rows = await works.rows("select payload from outbox")
    assert all(row["payload"]["sources"] == ["c1"] for row in rows)


async def test_keys_fit_the_vendor_and_differ(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
    await works.outbox.relay(works.thread(), "turn1", "answer", "一")
    keys = [row["message_key"] for row in await works.rows("select message_key from outbox")]
    assert len(set(keys)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{1,32}", key) for key in keys)
    assert keys[0] == delivery_key("turn1", "customer:answer.0")


async def test_what_is_written_causes_its_delivery(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
    await works.outbox.relay(works.thread(), "turn1", "relay", "一")
    assert await works.waiting_jobs() == [
        ("deliver", f"customer:{works.thread()}"),
        ("deliver", f"desk:{works.thread()}"),
    ]


async def test_text_the_database_cannot_hold_is_stored_without_the_bad_part(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "a\0b\ud800")
    assert [text for *_, text in await written(works)] == ["ab?"]


async def test_a_hand_over_opens_one_ticket_one_question_and_one_card(works: Any) -> None:
    await works.store(works.message())
    for _ in range(2):
        await works.outbox.hand_over(works.handoff())
    tickets = await works.rows("select ticket_id, thread_id, reason, draft, closed_at from tickets")
    assert tickets == [
        {
            "ticket_id": "ticket1",
            "thread_id": works.thread(),
            "reason": "low_confidence",
            "draft": "可以。",
            "closed_at": None,
        }
    ]
    questions = await works.rows("select content, user_id, thread_id, reason, confidence from unknown_questions")
    assert questions == [
        {
            "content": "能刻字吗?",
            "user_id": "wm1",
            "thread_id": works.thread(),
            "reason": "low_confidence",
            "confidence": 0.3,
        }
    ]
    assert [(where, part) for where, _, part, _ in await written(works)] == [("desk", "card.0")]


async def test_a_hand_over_is_all_or_nothing(works: Any, pool: Pool) -> None:
    class FullQueue(JobQueue):
        async def deliver(self, *_: Any) -> None:
            raise RuntimeError("the queue is full")

    outbox = DurableOutbox(pool, FullQueue(), split=lambda _, text: [text], has_desk=True)
    with pytest.raises(RuntimeError, match="full"):
        await outbox.hand_over(works.handoff())
    for table in ("tickets", "unknown_questions", "outbox"):
        assert await works.rows(f"select * from {table}") == []


async def test_without_a_desk_questions_are_recorded_and_nothing_is_shown(works: Any, pool: Pool) -> None:
    outbox = DurableOutbox(pool, works.queue, split=lambda _, text: [text], has_desk=False)
    await outbox.hand_over(works.handoff(thread_id="wecom:wk1:stranger"))
    await outbox.relay(works.thread(), "turn1", "relay", "一")
    await outbox.notify_desk(works.thread(), "turn1", "note", "一")
    assert await written(works) == []
    assert await works.waiting_jobs() == []
    assert len(await works.rows("select * from tickets")) == 1
    assert (await works.rows("select user_id from unknown_questions"))[0]["user_id"] == ""


async def test_a_ticket_is_closed_once(works: Any) -> None:
    await works.outbox.hand_over(works.handoff())
    await works.outbox.close_ticket("ticket1")
    first = await works.rows("select closed_at from tickets")
    await works.outbox.close_ticket("ticket1")
    assert first[0]["closed_at"] is not None
    assert await works.rows("select closed_at from tickets") == first


async def test_an_automatic_answer_takes_three_messages_at_most_and_says_so(works: Any, pool: Pool) -> None:
    def by_ten(text: str) -> list[str]:
        return [text[start : start + 10] for start in range(0, len(text), 10)]

    outbox = DurableOutbox(pool, works.queue, split=lambda _, text: by_ten(text), has_desk=True, shortened="…more")
    await outbox.say(works.thread(), "turn1", "answer", "0123456789" * 6)
    texts = [text for *_, text in await written(works)]
    assert texts == ["0123456789", "0123456789", "01234…more"]


async def test_what_a_person_says_is_never_shortened(works: Any, pool: Pool) -> None:
    outbox = DurableOutbox(pool, works.queue, split=lambda _, text: list(text), has_desk=True, shortened="…")
    await outbox.say(works.thread(), "turn1", "human", "一二三四五")
    assert [text for *_, text in await written(works)] == ["一", "二", "三", "四", "五"]


class TestOvertaken:
    """A message that arrives while an answer is being made cancels it before it is written."""

    async def begin(self, works: Any) -> Any:
        await works.store(works.message("如何退款?", "m1"))
        return await works.inbox.next_batch(works.thread())

    async def test_the_answer_is_withheld_and_both_messages_are_one_turn(self, works: Any) -> None:
        batch = await self.begin(works)
        await works.store(works.message("还有运费", "m2"))
        with pytest.raises(OvertakenError):
            await works.outbox.say(works.thread(), batch.turn_id, "answer", "好")
        assert await written(works) == []
        await works.inbox.reopen(batch)
        again = await works.inbox.next_batch(works.thread())
        assert [row.message_id for row in again.rows] == ["m1", "m2"]
        assert again.turn_id != batch.turn_id
        assert again.attempts == 0

    async def test_what_was_begun_to_be_said_is_said_to_the_end(self, works: Any) -> None:
        batch = await self.begin(works)
        await works.outbox.say(works.thread(), batch.turn_id, "answer", "一")
        await works.store(works.message("还有运费", "m2"))
        await works.outbox.say(works.thread(), batch.turn_id, "hold", "二")
        assert [text for *_, text in await written(works)] == ["一", "二"]

    async def test_a_customer_who_never_stops_is_answered_all_the_same(self, works: Any) -> None:
        batch = await self.begin(works)
        for number in range(MAX_OVERTAKEN):
            await works.store(works.message("还有", f"more{number}"))
            with pytest.raises(OvertakenError):
                await works.outbox.say(works.thread(), batch.turn_id, "answer", "好")
            await works.inbox.reopen(batch)
            batch = await works.inbox.next_batch(works.thread())
        await works.store(works.message("还有", "last"))
        await works.outbox.say(works.thread(), batch.turn_id, "answer", "好")
        assert [text for *_, text in await written(works)] == ["好"]

    async def test_a_recalled_message_is_not_answered(self, works: Any) -> None:
        batch = await self.begin(works)
        await works.store(works.recall("m1"))
        with pytest.raises(OvertakenError):
            await works.outbox.say(works.thread(), batch.turn_id, "answer", "好")
        await works.inbox.reopen(batch)
        assert await works.inbox.next_batch(works.thread()) is None

    async def test_a_person_s_words_are_never_withheld(self, works: Any) -> None:
        await self.begin(works)
        await works.store(works.message("还有运费", "m2"))
        await works.outbox.say(works.thread(), "desk-turn", "human", "我来回答")
        assert [text for *_, text in await written(works)] == ["我来回答"]

    async def test_another_customer_s_message_withholds_nothing(self, works: Any) -> None:
        batch = await self.begin(works)
        await works.store(works.message("你好", "x1", customer_id="wm2"))
        await works.outbox.say(works.thread(), batch.turn_id, "answer", "好")
        assert len(await written(works)) == 1
