"""Stored before it is acknowledged, handled once, in order."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from api.database import Connection, Pool
from api.inbox import Inbox
from api.job_queue import DESK_PRIORITY, FAST, TURNS, WELCOME_PRIORITY, JobQueue
from tools.messages import DeskPlace, Page

HOUR = 3600.0


class FailingQueue(JobQueue):
    """A queue that cannot take anything."""

    async def pull(self, conn: Connection, account_id: str, *, token: str = "") -> None:
        raise RuntimeError("the queue is full")

    async def turn(self, conn: Connection, thread_id: str, *, priority: int = 0, delay: float = 0) -> None:
        raise RuntimeError("the queue is full")


@pytest.fixture
def failing(pool: Pool) -> Inbox:
    return Inbox(pool, FailingQueue())


async def test_a_callback_is_stored_with_its_pull_or_not_at_all(works: Any) -> None:
    callback: dict[str, Any] = {"signature": "s1", "payload": {"a": "b"}, "account_id": "wk1", "token": "t"}
    await works.run("alter table procrastinate_jobs add constraint full_up check (task_name <> 'pull')")
    with pytest.raises(psycopg.errors.CheckViolation):
        await works.inbox.store_callback(**callback)
    assert await works.rows("select id from callbacks") == []
    await works.run("alter table procrastinate_jobs drop constraint full_up")
    await works.inbox.store_callback(**callback)
    rows = await works.rows("select payload from callbacks")
    assert [row["payload"] for row in rows] == [{"a": "b"}]
    jobs = await works.rows("select task_name, lock, queue_name, args from procrastinate_jobs")
    assert jobs == [
        {
            "task_name": "pull",
            "lock": "pull:wk1",
            "queue_name": FAST,
            "args": {"account_id": "wk1", "token": "t"},
        }
    ]


async def test_a_repeated_callback_is_stored_once(works: Any) -> None:
    for _ in range(3):
        await works.inbox.store_callback(signature="s1", payload={}, account_id="wk1", token="t")
    assert len(await works.rows("select id from callbacks")) == 1
    assert await works.waiting_jobs() == [("pull", "pull:wk1")]


async def test_a_callback_adds_no_pull_beside_one_that_has_yet_to_begin(works: Any) -> None:
    for number in range(3):
        await works.inbox.store_callback(signature=f"s{number}", payload={}, account_id="wk1", token="t")
    await works.inbox.store_callback(signature="s9", payload={}, account_id="wk2", token="t")
    assert len(await works.rows("select id from callbacks")) == 4
    assert await works.waiting_jobs() == [("pull", "pull:wk1"), ("pull", "pull:wk2")]


async def test_a_callback_during_a_pull_adds_the_next_one(works: Any) -> None:
    await works.inbox.store_callback(signature="s1", payload={}, account_id="wk1", token="t")
    await works.run("update procrastinate_jobs set status = 'doing'")
    await works.inbox.store_callback(signature="s2", payload={}, account_id="wk1", token="t")
    assert await works.waiting_jobs() == [("pull", "pull:wk1")]


async def test_a_callback_that_is_no_news_causes_no_pull(works: Any) -> None:
    await works.inbox.store_callback(signature="s1", payload={}, account_id="", token="")
    assert len(await works.rows("select id from callbacks")) == 1
    assert await works.waiting_jobs() == []


async def test_rows_cursor_and_jobs_of_a_page_commit_together(works: Any, failing: Inbox) -> None:
    page = Page(messages=(works.message("如何退款?", "m1"),), next_cursor="c1", has_more=False)
    assert await works.inbox.cursor("wk1") == ""
    with pytest.raises(RuntimeError, match="full"):
        await failing.store_page("wk1", page, now=works.now)
    assert await works.rows("select id from inbox") == []
    assert await works.rows("select thread_id from conversations") == []
    assert await works.inbox.cursor("wk1") == ""
    await works.inbox.store_page("wk1", page, now=works.now)
    assert len(await works.rows("select id from inbox")) == 1
    assert await works.inbox.cursor("wk1") == "c1"
    assert await works.waiting_jobs() == [("turn", f"turn:{works.thread()}")]


async def test_a_message_served_twice_is_stored_once(works: Any) -> None:
    message = works.message(message_id="m1")
    await works.store(message, message)
    await works.store(message)
    assert len(await works.rows("select id from inbox")) == 1
    assert await works.waiting_jobs() == [("turn", f"turn:{works.thread()}")]


async def test_the_same_message_id_in_another_account_is_another_message(works: Any) -> None:
    await works.store(works.message(message_id="m1"), works.message(message_id="m1", account_id="wk2"))
    assert len(await works.rows("select id from inbox")) == 2


async def test_each_conversation_of_a_page_gets_one_turn(works: Any) -> None:
    await works.store(works.message(), works.message(customer_id="wm2"), works.message(), works.message())
    assert await works.waiting_jobs() == [
        ("turn", f"turn:{works.thread()}"),
        ("turn", f"turn:{works.thread('wm2')}"),
    ]
    jobs = await works.rows("select queue_name from procrastinate_jobs")
    assert {job["queue_name"] for job in jobs} == {TURNS}


async def test_the_first_start_answers_recent_messages_only(works: Any) -> None:
    old = works.message("上周的问题", "old", age=HOUR)
    fresh = works.message("刚才的问题", "fresh", age=60, customer_id="wm2")
    await works.store(old, fresh, cursor="c1", has_more=True)
    await works.store(works.message("又一个旧问题", "old2", age=HOUR, customer_id="wm3"), cursor="c2")
    rows = await works.rows("select message_id, outcome, handled_at from inbox order by id")
    assert [(row["message_id"], row["outcome"], row["handled_at"] is None) for row in rows] == [
        ("old", "history", False),
        ("fresh", None, True),
        ("old2", "history", False),
    ]
    assert await works.waiting_jobs() == [("turn", f"turn:{works.thread('wm2')}")]
    assert len(await works.rows("select thread_id from conversations")) == 3


async def test_after_the_first_start_late_messages_are_answered(works: Any) -> None:
    await works.store(cursor="c1")
    await works.store(works.message("服务停了一晚", age=12 * HOUR), cursor="c2")
    assert await works.waiting_jobs() == [("turn", f"turn:{works.thread()}")]


async def test_an_enter_event_gets_a_welcome_before_everything_and_no_turn(works: Any) -> None:
    event = works.message("", sender="system", kind="enter_session", extra={"welcome_code": "W1"})
    await works.store(works.message(customer_id="wm2"), event)
    jobs = await works.rows("select task_name, priority, queue_name, lock from procrastinate_jobs order by id")
    welcome = next(job for job in jobs if job["task_name"] == "welcome")
    assert welcome == {"task_name": "welcome", "priority": WELCOME_PRIORITY, "queue_name": FAST, "lock": None}
    assert WELCOME_PRIORITY > DESK_PRIORITY > 0
    assert [job["task_name"] for job in jobs].count("turn") == 1
    assert await works.inbox.next_batch(works.thread()) is None


async def test_an_old_enter_event_is_not_welcomed(works: Any) -> None:
    event = works.message("", sender="system", kind="enter_session", age=HOUR, extra={"welcome_code": "W1"})
    await works.store(event)
    assert await works.waiting_jobs() == []


async def test_other_events_are_kept_without_work(works: Any) -> None:
    await works.store(
        works.message("", sender="system", kind="session_status_change"),
        works.message("", sender="system", kind="servicer_status_change", customer_id=""),
    )
    assert await works.waiting_jobs() == []
    assert len(await works.rows("select id from inbox where handled_at is not null")) == 2
    assert len(await works.rows("select thread_id from conversations")) == 1


async def test_the_last_time_a_customer_wrote_never_moves_back(works: Any) -> None:
    await works.store(works.message(age=10))
    await works.store(works.message(age=400))
    await works.store(works.message(sender="staff"))
    row = (await works.rows("select last_customer_at from conversations"))[0]
    assert row["last_customer_at"].timestamp() == works.now.timestamp() - 10


@pytest.mark.parametrize(("text", "stored"), [("a\0b", "ab"), ("坏\ud800字", "坏?字"), ("\0", "")])
async def test_text_the_database_cannot_hold_is_stored_without_the_bad_part(works: Any, text: str, stored: str) -> None:
    await works.store(works.message(text, extra={"menu_id": text, "list": [text], "n": 1}))
    batch = await works.inbox.next_batch(works.thread())
    assert batch is not None
    assert batch.rows[0].payload == {"text": stored, "menu_id": stored, "list": [stored], "n": 1}


async def test_a_turn_takes_everything_the_customer_wrote_in_order(works: Any) -> None:
    await works.store(*(works.message(text) for text in "一二三"), works.message("别人", customer_id="wm2"))
    batch = await works.inbox.next_batch(works.thread())
    assert batch is not None
    assert [row.text for row in batch.rows] == ["一", "二", "三"]
    assert (batch.origin, batch.attempts, batch.thread_id) == ("customer", 0, works.thread())


async def test_a_turn_holds_rows_of_one_origin(works: Any) -> None:
    await works.store(
        works.message("一"),
        works.message("店员甲", sender="staff"),
        works.message("店员乙", sender="staff"),
        works.message("二"),
        works.message("三"),
    )
    seen = []
    while (batch := await works.inbox.next_batch(works.thread())) is not None:
        seen.append((batch.origin, [row.text for row in batch.rows]))
        await works.inbox.mark_handled(batch, "handled")
    assert seen == [
        ("customer", ["一"]),
        ("staff", ["店员甲"]),
        ("staff", ["店员乙"]),
        ("customer", ["二", "三"]),
    ]


async def test_a_begun_turn_comes_back_unchanged_although_more_arrived(works: Any) -> None:
    await works.store(works.message("一"), works.message("二"))
    first = await works.inbox.next_batch(works.thread())
    await works.store(works.message("三"))
    again = await works.inbox.next_batch(works.thread())
    assert first is not None
    assert again is not None
    assert (again.turn_id, again.rows, again.attempts) == (first.turn_id, first.rows, 1)
    await works.inbox.mark_handled(again, "handled")
    after = await works.inbox.next_batch(works.thread())
    assert after is not None
    assert [row.text for row in after.rows] == ["三"]
    assert after.turn_id != first.turn_id


async def test_a_begun_turn_comes_before_an_older_row_that_committed_late(works: Any) -> None:
    await works.store(works.message("一", "m1"), works.message("二", "m2"))
    await works.run("update inbox set thread_id = 'elsewhere' where message_id = 'm1'")
    begun = await works.inbox.next_batch(works.thread())
    await works.run("update inbox set thread_id = %s where message_id = 'm1'", works.thread())
    again = await works.inbox.next_batch(works.thread())
    assert begun is not None
    assert again is not None
    assert again.turn_id == begun.turn_id
    assert [row.text for row in again.rows] == ["二"]


async def test_the_turn_id_comes_from_the_vendor_s_id_and_not_from_our_numbers(works: Any) -> None:
    await works.store(works.message(message_id="m1"))
    first = await works.inbox.next_batch(works.thread())
    await works.run("delete from inbox")
    await works.store(works.message(message_id="x", customer_id="wm2"), works.message(message_id="m1"))
    second = await works.inbox.next_batch(works.thread())
    assert first is not None
    assert second is not None
    assert first.rows[0].id != second.rows[0].id
    assert first.turn_id == second.turn_id
    assert len(first.turn_id) <= 40


async def test_nothing_unhandled_is_no_turn(works: Any) -> None:
    assert await works.inbox.next_batch(works.thread()) is None


async def test_lost_turns_and_deliveries_are_found_again_and_only_those(works: Any) -> None:
    for customer in ("lost", "young", "queued", "handled"):
        await works.store(works.message(customer_id=customer))
        await works.outbox.say(works.thread(customer), f"turn-{customer}", "answer", "好")
    await works.run("update inbox set received_at = now() - interval '1 minute' where thread_id not like '%%young'")
    await works.run("update outbox set created_at = now() - interval '1 minute' where thread_id not like '%%young'")
    await works.run("update inbox set handled_at = now() where thread_id like '%%handled'")
    await works.run("update outbox set state = 'sent' where thread_id like '%%handled'")
    await works.run("delete from procrastinate_jobs where lock not like '%%queued'")
    await works.run("update procrastinate_jobs set status = 'doing' where task_name = 'turn'")
    assert await works.inbox.requeue_stranded() == 2
    jobs = await works.rows("select lock from procrastinate_jobs where lock like '%%lost' order by lock")
    assert [job["lock"] for job in jobs] == [f"customer:{works.thread('lost')}", f"turn:{works.thread('lost')}"]
    assert await works.inbox.requeue_stranded() == 0


async def test_a_job_that_failed_for_good_does_not_count_as_work(works: Any) -> None:
    await works.store(works.message())
    await works.run("update inbox set received_at = now() - interval '1 minute'")
    await works.run("update procrastinate_jobs set status = 'failed'")
    assert await works.inbox.requeue_stranded() == 1


class TestDesk:
    """What people do at the desk."""

    @pytest.fixture(autouse=True)
    async def _shown(self, works: Any) -> None:
        await works.store(works.message())
        await works.outbox.hand_over(works.handoff())
        await works.deliveries.record_place(works.thread(), DeskPlace(chat_id=works.chat_id, topic_id=7))
        await works.run("update outbox set state = 'sent'")
        await works.forget_jobs()

    async def test_a_reply_is_stored_once_an_update_and_overtakes(self, works: Any) -> None:
        event = await works.event("可以刻字", update_id=5)
        assert await works.act(event) == "stored"
        assert await works.act(event) == "repeated"
        jobs = await works.rows("select lock, priority from procrastinate_jobs where task_name = 'turn'")
        assert jobs == [{"lock": f"turn:{works.thread()}", "priority": DESK_PRIORITY}]
        rows = await works.rows("select payload from inbox where origin = 'desk'")
        assert [row["payload"]["text"] for row in rows] == ["可以刻字"]

    async def test_a_draft_goes_out_once(self, works: Any) -> None:
        pressed = [await works.event(action="draft", ticket_id="ticket1", callback_id=str(n)) for n in range(2)]
        assert await works.act(pressed[0]) == "stored"
        assert await works.act(pressed[1]) == "stale"
        rows = await works.rows("select payload, outcome from inbox where origin = 'desk' order by id")
        assert [(row["payload"]["text"], row["outcome"]) for row in rows] == [("可以。", None), ("", "stale")]
        assert len(await works.waiting_jobs("turn")) == 1

    async def test_a_draft_is_stale_after_the_ticket_was_closed(self, works: Any) -> None:
        await works.outbox.close_ticket("ticket1")
        event = await works.event(action="draft", ticket_id="ticket1", callback_id="1")
        assert await works.act(event) == "stale"
        assert await works.waiting_jobs() == []

    @pytest.mark.parametrize(
        "fields",
        [
            {"place": DeskPlace(chat_id=-100, topic_id=8)},
            {"place": DeskPlace(chat_id=-5, topic_id=7)},
            {"place": DeskPlace(chat_id=-100, topic_id=None)},
            {"place": DeskPlace(chat_id=-100, topic_id=None), "reply_to": 99},
            {"place": DeskPlace(chat_id=-100, topic_id=None), "ticket_id": "nope", "action": "done"},
        ],
    )
    async def test_what_belongs_to_no_conversation_is_unknown(self, works: Any, fields: dict[str, Any]) -> None:
        assert await works.act(await works.event("hi", **fields)) == "unknown"
        assert await works.rows("select id from inbox where origin = 'desk'") == []

    async def test_a_reply_to_a_known_message_finds_its_conversation(self, works: Any) -> None:
        await works.outbox.notify_desk(works.thread(), "t", "note", "看一下")
        row = await works.deliveries.next(works.thread(), "desk")
        await works.deliveries.mark_sent(row, (works.chat_id, 31))
        event = await works.event("好", place=DeskPlace(chat_id=works.chat_id, topic_id=None), reply_to=31)
        assert await works.act(event) == "stored"

    async def test_an_answer_to_a_post_still_in_flight_is_too_early(self, works: Any) -> None:
        event = await works.event("hi", place=DeskPlace(chat_id=works.chat_id, topic_id=8))
        await works.outbox.notify_desk(works.thread("wm2"), "t", "note", "看一下")
        assert await works.act(event) == "unknown"
        row = await works.deliveries.next(works.thread("wm2"), "desk")
        assert await works.act(event) == "too_early"
        await works.run("update outbox set tried_at = now() - interval '1 minute' where state = 'sending'")
        assert await works.act(event) == "unknown"
        await works.run("update outbox set tried_at = now() where state = 'sending'")
        await works.deliveries.mark_sent(row)
        assert await works.act(event) == "unknown"


async def test_a_session_of_the_staff_ends_by_itself_after_two_days(works: Any) -> None:
    await works.store(works.message(age=3 * 86400), works.staff_message("您好"))
    assert await works.inbox.session(works.thread()) == "staff"
    await works.store(works.message(age=3 * 86400 - 60), cursor="c2")
    assert await works.inbox.session(works.thread()) == "staff"
    await works.store(works.message(), cursor="c3")
    assert await works.inbox.session(works.thread()) is None
