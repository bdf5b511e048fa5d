"""The numbers are those of the rows: whichever process is asked, after rows are deleted, without the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from api.database import Pool
from api.observability import totals
from api.observability.counters import DUPLICATES
from api.observability.exposition import Exposition, open_exposition
from api.observability.totals import OwnCounters, settle
from tools.errors import DuplicateMessageError

Read = Callable[[bytes], Mapping[str, float]]


async def test_messages_are_counted_by_what_their_turn_came_to(talked, exposition: Exposition, samples: Read) -> None:
    told = samples(await exposition.text())
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=answered}"] == 1
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=escalated}"] == 1
    assert told["kefu_escalations_total{priority=normal,reason=low_confidence}"] == 1
    assert told["kefu_sent_total{destination=customer}"] == 4


async def test_what_beside_a_person_is_said_was_passed_on(works, exposition: Exposition, samples: Read) -> None:
    await works.customer("能刻字吗?")
    await works.customer("在吗")
    told = samples(await exposition.text())
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=relayed}"] == 1


async def test_an_asked_back_question_was_clarified(works, exposition: Exposition, samples: Read) -> None:
    works.knowledge.near = {"退": {"如何退款?": "七天内可退。", "如何退货?": "寄回即可。"}}
    await works.customer("退")
    assert samples(await exposition.text())["kefu_messages_total{account=wk1,kind=text,outcome=clarified}"] == 1


async def test_what_needs_no_answer_is_counted_as_unanswered(works, exposition: Exposition, samples: Read) -> None:
    await works.customer("👍")
    await works.customer("👍")
    told = samples(await exposition.text())
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=small_talk}"] == 1
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=unanswered}"] == 1


async def test_a_message_taken_back_is_counted_as_that(works, exposition: Exposition, samples: Read) -> None:
    await works.store(works.message("如何退款?", "m-1"), works.recall("m-1"))
    told = samples(await exposition.text())
    assert told["kefu_messages_total{account=wk1,kind=text,outcome=recalled}"] == 1


async def test_every_answer_is_timed_once_in_each_stage(talked, exposition: Exposition, samples: Read) -> None:
    # The wait for a person says something too, and a person's words are no answer of the bot.
    told = samples(await exposition.text())
    for stage in ("pull", "decide", "send", "total"):
        assert told[f"kefu_answer_latency_seconds_count{{stage={stage}}}"] == 2
        assert told[f"kefu_answer_latency_seconds_bucket{{le=+Inf,stage={stage}}}"] == 2
    assert 0 < told["kefu_answer_latency_seconds_sum{stage=send}"] < 60
    assert told["kefu_answer_latency_seconds_bucket{le=1800.0,stage=send}"] == 2


async def test_stages_of_an_answer_are_the_times_of_its_rows(works, exposition: Exposition, samples: Read) -> None:
    works.knowledge.entries = {"如何退款?": "七天内可退。"}
    await works.customer("如何退款?")
    await works.run(
        "update inbox set sent_at = now() - interval '9 seconds', received_at = now() - interval '7 seconds'"
    )
    await works.run(
        "update outbox set created_at = now() - interval '4 seconds', sent_at = now() where destination = 'customer'"
    )
    told = samples(await exposition.text())
    seconds = {
        stage: told[f"kefu_answer_latency_seconds_sum{{stage={stage}}}"]
        for stage in ("pull", "decide", "send", "total")
    }
    assert seconds == pytest.approx({"pull": 2, "decide": 3, "send": 4, "total": 9}, abs=0.1)
    assert told["kefu_answer_latency_seconds_bucket{le=8.0,stage=total}"] == 0
    assert told["kefu_answer_latency_seconds_bucket{le=13.0,stage=total}"] == 1


async def test_waits_for_a_person_are_timed_when_the_ticket_is_closed(
    works, exposition: Exposition, samples: Read
) -> None:
    await works.customer("能刻字吗?")
    await works.run("update tickets set opened_at = now() - interval '100 seconds'")
    await works.agent("可以。")
    assert samples(await exposition.text())["kefu_handoff_wait_seconds_count{}"] == 0
    await works.agent("", action="done")
    told = samples(await exposition.text())
    assert told["kefu_handoff_wait_seconds_count{}"] == 1
    assert told["kefu_handoff_wait_seconds_sum{}"] == pytest.approx(100, abs=5)
    assert told["kefu_handoff_resolve_seconds_count{ended_by=done}"] == 1
    assert told["kefu_handoff_resolve_seconds_sum{ended_by=done}"] == pytest.approx(100, abs=5)


async def test_judged_answers_are_counted(works, exposition: Exposition, samples: Read) -> None:
    assert samples(await exposition.text())["kefu_audits_total{result=wrong,source=operator}"] == 0
    await works.run(
        "insert into answer_audits (turn_id, question, entry_id, is_right, source)"
        " values ('t1', '', 'e', false, 'operator')"
    )
    assert samples(await exposition.text())["kefu_audits_total{result=wrong,source=operator}"] == 1


async def test_what_waits_is_told_with_its_age(works, exposition: Exposition, samples: Read) -> None:
    await works.store(works.message("如何退款?"))
    await works.run("update inbox set received_at = now() - interval '40 seconds'")
    await works.outbox.notify_desk(works.thread(), "t", "note", "看一下")
    await works.run("update outbox set created_at = now() - interval '20 minutes'")
    await works.run("update procrastinate_events set at = now() - interval '30 seconds'")
    told = samples(await exposition.text())
    assert told["kefu_inbox_unhandled_rows{}"] == 1
    assert told["kefu_inbox_oldest_seconds{}"] == pytest.approx(40, abs=5)
    assert told["kefu_outbox_rows{destination=desk,state=pending}"] == 1
    assert told["kefu_outbox_oldest_seconds{destination=desk}"] == pytest.approx(1200, abs=5)
    assert told["kefu_outbox_late_rows{destination=desk}"] == 1
    assert told["kefu_outbox_late_rows{destination=customer}"] == 0
    assert told["kefu_queue_jobs{queue=turns}"] == 1
    assert told["kefu_queue_oldest_seconds{queue=turns}"] == pytest.approx(30, abs=5)


async def test_the_budget_that_is_left_is_told_without_naming_anybody(
    works, exposition: Exposition, samples: Read
) -> None:
    works.knowledge.entries = {"如何退款?": "七天内可退。"}
    await works.customer("如何退款?")
    await works.run("update conversations set last_customer_at = now()")
    assert samples(await exposition.text())["kefu_conversations_in_window{units_left=4}"] == 1


async def test_a_message_called_handled_without_a_turn_is_seen(works, exposition: Exposition, samples: Read) -> None:
    await works.store(works.message("如何退款?"))
    assert samples(await exposition.text())["kefu_inbox_lost_rows{}"] == 0
    await works.run("update inbox set handled_at = now(), outcome = 'handled'")
    assert samples(await exposition.text())["kefu_inbox_lost_rows{}"] == 1


async def test_a_send_the_channel_had_already_is_counted(works, exposition: Exposition, samples: Read) -> None:
    works.knowledge.entries = {"如何退款?": "七天内可退。"}
    before = samples(await exposition.text())["kefu_send_duplicates_total{}"]
    works.channel.send_errors = [DuplicateMessageError("used")]
    await works.customer("如何退款?")
    assert samples(await exposition.text())["kefu_send_duplicates_total{}"] == before + 1


class TestSettling:
    async def test_deleted_rows_stay_counted(self, talked, pool: Pool, exposition: Exposition, samples: Read) -> None:
        await talked.run("update metric_settled set until = now() - interval '1 hour'")
        for table, column in (("inbox", "handled_at"), ("outbox", "sent_at"), ("tickets", "opened_at")):
            await talked.run(f"update {table} set {column} = now() - interval '30 minutes'")
        await talked.run("update tickets set closed_at = now() - interval '20 minutes'")
        before = counters(samples(await exposition.text()))
        await settle(pool)
        assert counters(samples(await exposition.text())) == before
        for table in ("inbox", "outbox", "tickets"):
            await talked.run(f"delete from {table}")
        fresh = Exposition(pool, OwnCounters(pool), units=5)
        assert counters(samples(await fresh.text())) == before
        assert before["kefu_messages_total{account=wk1,kind=text,outcome=answered}"] == 1

    async def test_what_is_recent_is_not_settled_yet(self, talked, pool: Pool) -> None:
        # Its transaction may still be open, and would be missed.
        await talked.run("update metric_settled set until = now() - interval '1 hour'")
        await settle(pool)
        assert await talked.rows("select name from metric_totals where name = 'kefu_messages_total'") == []

    async def test_settling_twice_counts_once(self, talked, pool: Pool, exposition: Exposition, samples: Read) -> None:
        await talked.run("update metric_settled set until = now() - interval '1 hour'")
        await talked.run("update inbox set handled_at = now() - interval '30 minutes'")
        before = counters(samples(await exposition.text()))
        await settle(pool)
        await settle(pool)
        assert counters(samples(await exposition.text())) == before

    async def test_days_of_long_ago_are_put_together(self, pool: Pool, works, exposition: Exposition) -> None:
        await works.run("update metric_settled set until = now() - interval '1 hour'")
        for days in (200, 150, 1):
            await works.run(
                "insert into metric_totals values ('kefu_model_cost_total', '{}', current_date - %s::int, 2)", days
            )
        await settle(pool)
        rows = await works.rows("select value from metric_totals where name = 'kefu_model_cost_total' order by day")
        assert [row["value"] for row in rows] == [4, 2]

    async def test_a_forgotten_customer_makes_no_counter_fall(
        self, talked, pool: Pool, exposition: Exposition, samples: Read
    ) -> None:
        before = counters(samples(await exposition.text()))
        for table in ("inbox", "outbox", "tickets"):
            await talked.run(f"delete from {table}")
        assert counters(samples(await exposition.text())) == before
        assert before["kefu_sent_total{destination=customer}"] == 4
        # Nor at another process, or after a restart.
        fresh = Exposition(pool, OwnCounters(pool), units=5)
        assert counters(samples(await fresh.text())) == before
        await settle(pool)
        assert counters(samples(await fresh.text())) == before

    async def test_a_sum_is_the_same_in_any_order(
        self, works, pool: Pool, exposition: Exposition, samples: Read
    ) -> None:
        # 0.3 + (0.2 + 0.1) is more than (0.3 + 0.2) + 0.1, and the least fall looks like a restart.
        await works.run(
            "insert into metric_totals values ('kefu_handoff_resolve_seconds_sum', '{\"ended_by\": \"done\"}',"
            " '1970-01-01', 0.3)"
        )
        await works.run("update metric_settled set until = now() - interval '1 hour'")
        for minutes, seconds in ((30, 0.2), (1, 0.1)):
            await works.run(
                "insert into tickets (ticket_id, thread_id, reason, ended_by, opened_at, closed_at)"
                " select t, t, 'rule', 'done', at - make_interval(secs => %s), at"
                " from (select gen_random_uuid()::text as t, now() - make_interval(mins => %s) as at) x",
                seconds,
                minutes,
            )
        name = "kefu_handoff_resolve_seconds_sum{ended_by=done}"
        before = samples(await exposition.text())[name]
        await settle(pool)
        fresh = Exposition(pool, OwnCounters(pool), units=5)
        assert samples(await fresh.text())[name] == before == 0.6

    async def test_a_worker_settles_every_minute(self, works, pool: Pool) -> None:
        called = []

        async def settled() -> None:
            called.append(1)

        works._renew(settle=settled)
        await works.jobs.housekeeping.settle_metrics()
        assert called == [1]
        periodic = works.queue.app.periodic_registry.periodic_tasks
        assert {task.task.name: task.cron for task in periodic.values()}["settle_metrics"] == "* * * * *"


class TestProcesses:
    @pytest.fixture
    def registry(self) -> CollectorRegistry:
        return CollectorRegistry()

    async def test_what_two_processes_count_is_added(self, pool: Pool) -> None:
        processes = []
        for number in (2, 3):
            registry = CollectorRegistry()
            calls = Counter("kefu_calls", "Calls", ["outcome"], registry=registry)
            seconds = Histogram("kefu_call_seconds", "Seconds", buckets=(1, 5), registry=registry)
            processes.append(OwnCounters(pool, registry=registry))
            calls.labels("usable").inc(number)
            seconds.observe(number)
        for process in processes:
            await process.flush()
            await process.flush()
        async with pool.connection() as conn:
            rows = await (await conn.execute("select name, labels, value from metric_totals")).fetchall()
        told = {(row["name"], row["labels"].get("le", "")): row["value"] for row in rows}
        assert told["kefu_calls_total", ""] == 5
        assert told["kefu_call_seconds_sum", ""] == 5
        assert told["kefu_call_seconds_bucket", "5.0"] == 2
        assert ("kefu_call_seconds_bucket", "1.0") not in told

    async def test_what_is_added_by_the_clock_and_at_a_look_is_added_once(
        self, pool: Pool, registry: CollectorRegistry
    ) -> None:
        calls = Counter("kefu_calls", "Calls", registry=registry)
        process = OwnCounters(pool, registry=registry)
        calls.inc()
        await asyncio.gather(process.flush(), process.flush())
        async with pool.connection() as conn:
            rows = await (await conn.execute("select value from metric_totals")).fetchall()
        assert [row["value"] for row in rows] == [1]

    async def test_what_was_counted_before_a_process_opened_is_not_its_news(
        self, pool: Pool, registry: CollectorRegistry
    ) -> None:
        Counter("kefu_calls", "Calls", registry=registry).inc()
        await OwnCounters(pool, registry=registry).flush()
        async with pool.connection() as conn:
            assert await (await conn.execute("select * from metric_totals")).fetchall() == []

    async def test_what_could_not_be_added_is_added_the_next_time(
        self, pool: Pool, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = Counter("kefu_calls", "Calls", registry=registry)
        process = OwnCounters(pool, registry=registry)
        calls.inc()
        async with pool.connection() as conn:
            await conn.execute("alter table metric_totals rename to hidden")
            await process.flush()
            await conn.execute("alter table hidden rename to metric_totals")
        assert caplog.messages == ["Counters wait"]
        await process.flush()
        async with pool.connection() as conn:
            rows = await (await conn.execute("select value from metric_totals")).fetchall()
        assert [row["value"] for row in rows] == [1]

    async def test_the_last_counts_are_added_when_a_process_ends(self, works, pool: Pool, samples: Read) -> None:
        works.channel.send_errors = [DuplicateMessageError("used")]
        works.knowledge.entries = {"如何退款?": "七天内可退。"}
        async with open_exposition(pool, units=5):
            await works.customer("如何退款?")
        rows = await works.rows("select value from metric_totals where name = 'kefu_send_duplicates_total'")
        assert [row["value"] for row in rows] == [1]


async def test_without_the_database_a_process_tells_of_itself(
    pool: Pool, exposition: Exposition, samples: Read
) -> None:
    assert samples(await exposition.text())["kefu_database_up{}"] == 1
    await pool.close()
    told = samples(await exposition.text())
    assert told["kefu_database_up{}"] == 0
    assert "process_start_time_seconds{}" in told
    assert not any(name.startswith("kefu_outbox") for name in told)


async def test_a_look_waits_for_the_database_once(
    pool: Pool, exposition: Exposition, samples: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prometheus gives up after ten seconds, and would call the service down where it is the database.
    monkeypatch.setattr(totals, "PATIENCE", 0.05)
    DUPLICATES.inc()
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(pool.max_size):
            await taken.enter_async_context(pool.connection())
        told = samples(await exposition.text())
    assert told["kefu_database_up{}"] == 0
    assert pool.get_stats()["requests_errors"] == 1
    assert samples(await exposition.text())["kefu_database_up{}"] == 1


async def test_failing_callbacks_are_seen_to_rise(exposition: Exposition, samples: Read) -> None:
    told = samples(await exposition.text())
    assert "kefu_http_requests_total{method=POST,route=/wecom/callback,status=503}" in told


async def test_no_label_names_a_customer(talked, exposition: Exposition) -> None:
    text = (await exposition.text()).decode()
    assert "wm1" not in text
    assert "如何退款" not in text


def counters(told: Mapping[str, float]) -> dict[str, float]:
    """What must never fall."""
    kinds = ("_total{", "_count{", "_sum{", "_bucket{")
    return {name: value for name, value in told.items() if name.startswith("kefu_") and any(k in name for k in kinds)}
