"""Everything the bot says: written once under a key, in order, traced back from the desk."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api.database import Pool
from api.job_queue import JobQueue
from api.outbox import DurableOutbox
from tools.messages import DeskPlace, Line, delivery_key


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

    outbox = DurableOutbox(pool, FullQueue(), split=lambda text: [text], has_desk=True)
    with pytest.raises(RuntimeError, match="full"):
        await outbox.hand_over(works.handoff())
    for table in ("tickets", "unknown_questions", "outbox"):
        assert await works.rows(f"select * from {table}") == []


async def test_without_a_desk_questions_are_recorded_and_nothing_is_shown(works: Any, pool: Pool) -> None:
    outbox = DurableOutbox(pool, works.queue, split=lambda text: [text], has_desk=False)
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


async def test_rows_come_in_order_and_count_their_attempts(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
    await works.outbox.say(works.thread("wm2"), "turn2", "answer", "别人")
    first = await works.outbox.next(works.thread(), "customer")
    again = await works.outbox.next(works.thread(), "customer")
    assert (first.payload["text"], first.attempts, again.id, again.attempts) == ("一", 0, first.id, 1)
    await works.outbox.mark_sent(again)
    second = await works.outbox.next(works.thread(), "customer")
    assert second.payload["text"] == "二"
    await works.outbox.mark_sent(second)
    assert await works.outbox.next(works.thread(), "customer") is None
    assert await works.outbox.next(works.thread(), "desk") is None


async def test_a_customer_row_is_addressed_from_its_conversation(works: Any) -> None:
    await works.store(works.message())
    await works.outbox.say(works.thread(), "turn1", "answer", "好")
    row = await works.outbox.next(works.thread(), "customer")
    outbound = await works.outbox.outbound(row)
    assert (outbound.account_id, outbound.customer_id, outbound.text) == ("wk1", "wm1", "好")
    assert outbound.key == row.key


async def test_an_error_keeps_the_row_unless_it_is_final(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "好")
    row = await works.outbox.next(works.thread(), "customer")
    await works.outbox.mark_error(row, "x" * 1000, is_final=False)
    stored = (await works.rows("select state, last_error from outbox"))[0]
    assert (stored["state"], len(stored["last_error"])) == ("pending", 500)
    assert (await works.outbox.next(works.thread(), "customer")).id == row.id
    await works.outbox.mark_error(row, "no", is_final=True)
    assert (await works.rows("select state from outbox"))[0]["state"] == "failed"
    assert await works.outbox.next(works.thread(), "customer") is None


async def test_a_sent_row_forgets_its_error(works: Any) -> None:
    await works.outbox.say(works.thread(), "turn1", "answer", "好")
    row = await works.outbox.next(works.thread(), "customer")
    await works.outbox.mark_error(row, "busy", is_final=False)
    await works.outbox.mark_sent(row)
    stored = (await works.rows("select state, last_error, sent_at from outbox"))[0]
    assert (stored["state"], stored["last_error"]) == ("sent", None)
    assert stored["sent_at"] is not None


async def test_a_sent_desk_row_records_place_and_message(works: Any) -> None:
    await works.outbox.notify_desk(works.thread(), "turn1", "note", "看一下")
    row = await works.outbox.next(works.thread(), "desk")
    await works.outbox.record_place(works.thread(), DeskPlace(chat_id=-100, topic_id=3))
    await works.outbox.record_place(works.thread(), DeskPlace(chat_id=-100, topic_id=4))
    for _ in range(2):
        await works.outbox.mark_sent(row, (-100, 77))
    places = await works.rows("select thread_id, chat_id, topic_id from desk_places")
    assert places == [{"thread_id": works.thread(), "chat_id": -100, "topic_id": 4}]
    messages = await works.rows("select chat_id, message_id, thread_id from desk_messages")
    assert messages == [{"chat_id": -100, "message_id": 77, "thread_id": works.thread()}]


async def test_a_stored_card_is_shown_whole(works: Any) -> None:
    history = (Line(speaker="customer", text="在吗"), Line(speaker="bot", text="在的"))
    handoff = works.handoff(history=history)
    await works.outbox.hand_over(handoff)
    row = await works.outbox.next(works.thread(), "desk")
    post, place = await works.outbox.desk_post(row, "小满")
    assert place is None
    assert (post.kind, post.customer_name, post.text) == ("card", "小满", "")
    assert post.handoff == works.handoff(history=history, customer_name="小满")


async def test_a_relayed_line_is_shown_where_the_conversation_was(works: Any) -> None:
    known = DeskPlace(chat_id=-100, topic_id=None)
    await works.outbox.record_place(works.thread(), known)
    await works.outbox.relay(works.thread(), "turn1", "relay", "还在吗?")
    row = await works.outbox.next(works.thread(), "desk")
    post, place = await works.outbox.desk_post(row, "")
    assert (post.kind, post.text, post.handoff, place) == ("customer", "还在吗?", None, known)
