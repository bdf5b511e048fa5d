"""Nothing grows for ever, and nothing that is still needed goes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.checkpoints import make_saver
from api.cli import app
from api.database import Pool, thread_lock
from api.retention import RetentionReport, run_retention
from api.settings import RetentionSettings, load_settings
from tools.errors import ConfigurationError, ReplyWindowClosedError

Retain = Callable[..., Awaitable[RetentionReport]]

CHECKPOINT_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


@pytest.fixture
def retain(pool: Pool, clean_environment: Path) -> Retain:
    """Run retention as if so many days had passed."""

    async def run(*, days: float, dry_run: bool = False, **settings: int) -> RetentionReport:
        now = datetime.now(UTC) + timedelta(days=days)
        return await run_retention(pool, make_saver(pool), RetentionSettings(**settings), now=now, dry_run=dry_run)

    return run


async def count(works: Any, table: str, where: str = "true") -> int:
    [row] = await works.rows(f"select count(*)::int as n from {table} where {where}")
    return row["n"]


class TestCheckpoints:
    async def test_after_every_turn_only_the_latest_checkpoint_is_kept(self, works):
        works.knowledge.entries = {"如何退款?": "答案"}
        for _ in range(3):
            await works.customer("如何退款?")
            assert await count(works, "checkpoints") == 1
        snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
        assert len(snapshot.values["messages"]) == 6
        assert await count(works, "checkpoint_writes") == 0

    async def test_an_open_wait_survives_pruning_and_resumes(self, works):
        await works.customer("能刻字吗?")
        assert await count(works, "checkpoints") == 1
        await works.customer("在吗?")
        assert await count(works, "checkpoints") == 1
        assert await works.conversation.is_waiting(works.thread())
        await works.agent("可以的")
        await works.agent("三天出货")
        assert works.channel.texts[-2:] == ["可以的", "三天出货"]
        assert await works.conversation.is_waiting(works.thread())
        await works.agent("", action="done")
        assert not await works.conversation.is_waiting(works.thread())
        assert await count(works, "checkpoints") == 1

    async def test_a_turn_that_broke_off_keeps_what_it_saved_and_goes_on(self, works):
        works.knowledge.entries = {"如何退款?": "答案"}
        works.knowledge.poison = {"如何退款?"}
        with pytest.raises(RuntimeError, match="nobody foresaw"):
            await works.customer("如何退款?")
        assert await count(works, "checkpoints") > 1
        works.knowledge.poison = set()
        await works.work()
        assert works.channel.texts == ["答案"]
        assert await count(works, "checkpoints") == 1

    async def test_a_prune_that_meets_another_writer_does_not_fail_the_turn(self, works, caplog):
        works.knowledge.entries = {"如何退款?": "答案"}
        await works.customer("如何退款?")
        async with asyncio.timeout(20), works.pool.connection() as other:
            async with other.transaction():
                await other.execute("update checkpoints set metadata = metadata")
                turn = asyncio.create_task(works.customer("如何退款?"))
                while not await works.rows("select 1 from pg_stat_activity where wait_event_type = 'Lock'"):
                    assert not turn.done()
            await turn
        assert works.channel.texts == ["答案", "答案"]
        [record] = [record for record in caplog.records if getattr(record, "action", "") == "prune_failed"]
        assert record.error == "SerializationFailure"
        assert await count(works, "checkpoints") > 1
        await works.customer("如何退款?")
        assert await count(works, "checkpoints") == 1


class TestRows:
    async def test_texts_are_emptied_and_a_message_that_comes_again_is_still_known(self, works, retain):
        works.knowledge.entries = {"如何退款?": "答案"}
        message = works.message("如何退款?")
        await works.store(message)
        await works.work()
        before = (await retain(days=89)).counts
        assert before["inbox_texts"] == before["outbox_texts"] == 0
        after = (await retain(days=91)).counts
        assert (after["inbox_texts"], after["outbox_texts"]) == (1, 1)
        assert await works.rows("select payload from inbox union all select payload from outbox") == [
            {"payload": {}},
            {"payload": {}},
        ]
        await works.store(message)
        await works.work()
        assert await count(works, "inbox") == 1
        assert works.channel.texts == ["答案"]

    async def test_the_days_are_the_operators(self, works, retain):
        await works.customer("你好")
        assert (await retain(days=8, kefu_retention_inbox_days=9)).counts["inbox_texts"] == 0
        assert (await retain(days=8, kefu_retention_inbox_days=7)).counts["inbox_texts"] == 1

    async def test_old_rows_are_deleted_and_the_conversation_goes_on(self, works, retain):
        works.knowledge.entries = {"如何退款?": "答案"}
        await works.customer("能刻字吗?")
        await works.agent("", action="done")
        counts = (await retain(days=401, kefu_retention_conversation_days=3650)).counts
        assert counts["tickets"] == 1
        for table in ("inbox", "outbox", "tickets"):
            assert await count(works, table) == 0
        assert await count(works, "conversations") == 1
        await works.customer("如何退款?")
        assert works.channel.texts[-1] == "答案"
        snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
        assert snapshot.values["messages"][0].text == "能刻字吗?"

    async def test_what_is_unhandled_or_unsent_is_never_touched(self, works, retain):
        await works.store(works.message("如何退款?"))
        await works.outbox.say(works.thread(), "turn9", "answer", "还没发出去")
        counts = (await retain(days=4000)).counts
        assert set(counts.values()) == {0}
        assert await works.rows("select payload ->> 'text' as text from inbox") == [{"text": "如何退款?"}]
        assert await works.rows("select payload ->> 'text' as text from outbox") == [{"text": "还没发出去"}]
        works.knowledge.entries = {"如何退款?": "答案"}
        await works.work()
        assert works.channel.texts == ["还没发出去", "答案"]

    async def test_a_dead_letter_keeps_its_text_as_long_as_its_row(self, works, retain):
        works.knowledge.entries = {"如何退款?": "答案"}
        works.channel.send_errors = [ReplyWindowClosedError("refused")]
        await works.customer("如何退款?")
        await retain(days=399, kefu_retention_conversation_days=3650)
        assert await works.rows("select payload ->> 'text' as text from outbox where state = 'failed'") == [
            {"text": "答案"}
        ]
        await retain(days=401, kefu_retention_conversation_days=3650)
        assert await count(works, "outbox", "destination = 'customer'") == 0

    async def test_finished_jobs_go_with_their_events_and_the_queue_stays(self, works, retain):
        async with works.pool.connection() as conn:
            for thread in ("failed", "waiting", "running"):
                await works.queue.turn(conn, thread)
        await works.run("update procrastinate_jobs set status = 'doing' where lock <> 'turn:waiting'")
        await works.run("update procrastinate_jobs set status = 'failed' where lock = 'turn:failed'")
        await works.run(
            "insert into procrastinate_periodic_defers (task_name, defer_timestamp, job_id)"
            " select 'gone', 0, id from procrastinate_jobs where lock = 'turn:failed'"
        )
        assert (await retain(days=6)).counts["queue_jobs"] == 0
        await retain(days=8)
        left = await works.rows("select lock from procrastinate_jobs order by lock")
        assert [row["lock"] for row in left] == ["turn:running", "turn:waiting"]
        assert await count(works, "procrastinate_events", "job_id not in (select id from procrastinate_jobs)") == 0
        assert await count(works, "procrastinate_periodic_defers") == 0

    async def test_two_runs_at_once_share_a_backlog_of_many_batches(self, works, retain):
        await works.run(
            "insert into callbacks (signature, payload) select n::text, '{}' from generate_series(1, 3500) n"
        )
        assert (await retain(days=6)).counts["callbacks"] == 0
        first, second = await asyncio.gather(retain(days=8), retain(days=8))
        assert first.counts["callbacks"] + second.counts["callbacks"] == 3500
        assert await count(works, "callbacks") == 0

    async def test_the_desk_forgets_its_old_messages_only(self, works, retain):
        await works.customer("能刻字吗?")
        await works.customer("在吗?")
        await works.agent("", action="done")
        posted = [row["message_id"] for row in await works.rows("select message_id from desk_messages order by 1")]
        assert len(posted) == 3
        await works.run("update outbox set sent_at = now() - interval '1000 days' where part = 'card.0'")
        assert (await retain(days=0)).counts["desk_messages"] == 1
        assert [row["message_id"] for row in await works.rows("select message_id from desk_messages order by 1")] == (
            posted[1:]
        )

    async def test_the_desk_forgets_nothing_of_an_open_ticket(self, works, retain):
        await works.customer("能刻字吗?")
        assert (await retain(days=4000)).counts["desk_messages"] == 0
        assert await count(works, "desk_messages") == 1


class TestConversations:
    async def test_an_idle_conversation_is_forgotten_whole(self, works, retain):
        await works.customer("能刻字吗?")
        await works.agent("", action="done")
        assert (await retain(days=364)).counts["conversations"] == 0
        assert (await retain(days=366)).counts["conversations"] == 1
        for table in (*CHECKPOINT_TABLES, "conversations", "outbox", "tickets", "desk_places", "desk_messages"):
            assert await count(works, table) == 0, table
        assert await count(works, "inbox", "payload <> '{}'") == 0
        assert await works.rows("select content, user_id, thread_id from unknown_questions") == [
            {"content": "能刻字吗?", "user_id": "", "thread_id": None}
        ]

    async def test_a_forgotten_customer_may_come_back(self, works, retain):
        await works.customer("能刻字吗?")
        await works.agent("", action="done")
        await retain(days=366)
        await works.customer("能批发吗?")
        assert await works.conversation.is_waiting(works.thread())
        await works.agent("可以的")
        assert works.channel.texts[-1] == "可以的"

    async def test_a_conversation_with_an_open_ticket_is_kept(self, works, retain):
        await works.customer("能刻字吗?")
        assert (await retain(days=4000)).counts["conversations"] == 0
        await works.agent("久等了")
        assert works.channel.texts[-1] == "久等了"

    async def test_a_conversation_somebody_still_speaks_in_is_kept(self, works, retain):
        works.knowledge.entries = {"如何退款?": "答案"}
        await works.customer("如何退款?")
        await works.run("update conversations set created_at = now() - interval '999 days'")
        assert (await retain(days=0)).counts["conversations"] == 0
        await works.run("update inbox set received_at = now() - interval '366 days'")
        assert (await retain(days=0)).counts["conversations"] == 0
        await works.run("update outbox set created_at = now() - interval '366 days'")
        await works.run("update conversations set last_customer_at = now()")
        assert (await retain(days=0)).counts["conversations"] == 0
        await works.run("update conversations set last_customer_at = null")
        assert (await retain(days=0)).counts["conversations"] == 1

    async def test_a_conversation_a_worker_holds_waits_for_the_next_day(self, works, retain):
        await works.customer("你好")
        async with thread_lock(works.pool, works.thread()):
            assert (await retain(days=366)).counts["conversations"] == 0
        assert await count(works, "checkpoints") == 1
        assert (await retain(days=366)).counts["conversations"] == 1

    async def test_a_conversation_being_written_to_waits_for_the_next_day(self, works, retain):
        await works.customer("你好")
        async with works.pool.connection() as conn, conn.transaction():
            await conn.execute("select 1 from conversations for update")
            assert (await retain(days=366)).counts["conversations"] == 0

    async def test_many_idle_conversations_go_in_batches(self, works, retain):
        await works.run(
            "insert into conversations (thread_id, channel, account_id, customer_id)"
            " select 'wecom:wk1:c' || n, 'wecom', 'wk1', 'c' || n from generate_series(1, 450) n"
        )
        assert (await retain(days=366)).counts["conversations"] == 450
        assert await count(works, "conversations") == 0


class TestReport:
    async def test_a_dry_run_counts_what_the_run_changes_and_a_second_run_finds_nothing(self, works, retain, caplog):
        caplog.set_level(logging.INFO)
        works.knowledge.entries = {"如何退款?": "答案"}
        await works.customer("如何退款?")
        await works.customer("能刻字吗?")
        await works.agent("", action="done")
        await works.inbox.store_callback(signature="s", payload={}, account_id="", token="")
        dry = await retain(days=370, dry_run=True)
        assert dry.is_dry_run
        assert await count(works, "conversations") == await count(works, "callbacks") == 1
        real = await retain(days=370)
        assert real.counts == dry.counts
        assert min(real.counts[name] for name in ("inbox_texts", "outbox_texts", "callbacks", "conversations")) > 0
        assert set((await retain(days=370)).counts.values()) == {0}
        record = next(record for record in caplog.records if getattr(record, "action", "") == "retention")
        assert record.conversations == 1

    def test_the_command_prints_counts_and_changes_nothing_when_dry(
        self, database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
    ) -> None:
        import psycopg

        monkeypatch.setenv("KB_DB_URL", database_uri)
        with psycopg.connect(database_uri, autocommit=True) as conn:
            conn.execute(
                "insert into callbacks (signature, payload, received_at) values ('s', '{}', now() - interval '8 days')"
            )

            def run(*options: str) -> str:
                result = CliRunner().invoke(app, ["retention", "run", *options], catch_exceptions=False)
                assert result.exit_code == 0
                return result.stdout

            shown = json.loads(run("--dry-run", "--json"))
            assert (shown["dry_run"], shown["callbacks"], shown["conversations"]) == (True, 1, 0)
            assert conn.execute("select count(*) from callbacks").fetchone() == (1,)
            assert "1  callbacks" in run()
            assert conn.execute("select count(*) from callbacks").fetchone() == (0,)
            assert json.loads(run("--json"))["callbacks"] == 0

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("KEFU_RETENTION_INBOX_DAYS", "0", "greater than or equal to 1"),
            ("KEFU_RETENTION_INBOX_DAYS", "401", "less than or equal to 400"),
            ("KEFU_RETENTION_CONVERSATION_DAYS", "6", "greater than or equal to 7"),
        ],
    )
    def test_days_that_lose_what_is_needed_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, clean_environment: Path, name: str, value: str, said: str
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=f"{name}: .*{said}"):
            load_settings()


class TestOutreach:
    async def test_people_of_an_ended_campaign_go_after_their_time_and_consents_stay(self, works, retain):
        await works.run(
            "insert into outreach_campaigns"
            " (name, text, audience, holdout, starts_at, ends_at, state, created_by, finished_at)"
            " select name, '新品', '{}', 0, now() - interval '2 days', now() - interval '1 day', 'done', '店长',"
            " case name when 'ended' then now() end from unnest(array['ended', 'open']) as name"
        )
        await works.run(
            "insert into outreach_tasks (campaign_id, staff_id, text, state, called_at)"
            " select id, 'li', '新品', 'finished', now() from outreach_campaigns"
        )
        await works.run(
            "insert into outreach_targets (campaign_id, customer_id, is_holdout, task_id)"
            " select campaign_id, 'wm1', false, id from outreach_tasks"
        )
        await works.run("insert into outreach_consents (customer_id, direction, how) values ('wm1', 'out', 'message')")
        assert (await retain(days=399)).counts["outreach_targets"] == 0
        counts = (await retain(days=401)).counts
        assert (counts["outreach_targets"], counts["outreach_tasks"]) == (1, 1)
        left = "select name from outreach_targets t join outreach_campaigns c on c.id = t.campaign_id"
        assert await works.rows(left) == [{"name": "open"}]
        assert await count(works, "outreach_consents") == 1
        assert await count(works, "outreach_campaigns") == 2
