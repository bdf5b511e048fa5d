"""Nothing is kept for ever: what was said is emptied, what is finished is deleted, idle conversations are forgotten.

Every rule names what is finished and old; what is unhandled, waiting to be sent, or with a person fits none. Rows go in
batches, each a transaction of its own, and rows that somebody holds are left for the next day, so this runs beside live
traffic, twice at once, and again after a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import sql

from api.database import Connection, Pool
from api.settings import RETENTION_ROW_DAYS, RetentionSettings

logger = logging.getLogger(__name__)

BATCH = 1_000
"""Rows a transaction may take: short enough that nobody waits for its locks.

No statement here is prepared: the plan made for any limit and any age reads whole tables for each batch.
"""

CONVERSATION_BATCH = 200
"""Conversations a transaction may take, each with everything that belongs to it."""

CALLBACK_DAYS = 7
JOB_DAYS = 7

Cutoffs = Mapping[str, datetime]
"""The moments before which each kind of row is old, by the names the rules use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rows of one table that are finished and old."""

    name: str
    table: LiteralString
    due: LiteralString
    """Which rows, as a condition on `t`."""
    change: Literal["delete", "empty"] = "delete"
    """`empty` takes the payload and leaves the row, whose key makes a repeated message known."""
    key: LiteralString = "id"
    first: int | str = 0
    """A value below every key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """How many rows were changed, or would be."""

    counts: Mapping[str, int]
    is_dry_run: bool


RULES = (
    Rule(
        name="inbox_texts",
        table="inbox",
        change="empty",
        due="handled_at is not null and payload <> '{}'"
        " and received_at < %(texts_before)s and received_at >= %(rows_before)s",
    ),
    Rule(name="inbox", table="inbox", due="handled_at is not null and received_at < %(rows_before)s"),
    Rule(
        name="outbox_texts",
        table="outbox",
        change="empty",
        # Not of what failed: an operator may still send it.
        due="state in ('sent', 'merged', 'dropped') and payload <> '{}'"
        " and created_at < %(texts_before)s and created_at >= %(rows_before)s",
    ),
    Rule(name="outbox", table="outbox", due="state not in ('pending', 'sending') and created_at < %(rows_before)s"),
    Rule(name="callbacks", table="callbacks", due="received_at < %(callbacks_before)s"),
    Rule(
        name="friend_events",
        table="friend_events",
        due="handled_at is not null and received_at < %(callbacks_before)s",
    ),
    Rule(name="friends", table="friends", due="left_at < %(rows_before)s"),
    Rule(
        name="outreach_targets",
        table="outreach_targets",
        due="exists (select 1 from outreach_campaigns c"
        " where c.id = t.campaign_id and c.finished_at < %(rows_before)s)",
    ),
    Rule(
        name="outreach_tasks",
        table="outreach_tasks",
        # After the people they were for.
        due="state in ('failed', 'finished') and called_at < %(rows_before)s"
        " and not exists (select 1 from outreach_targets o where o.task_id = t.id)",
    ),
    Rule(name="tickets", table="tickets", key="ticket_id", first="", due="closed_at < %(rows_before)s"),
    Rule(
        name="calibrations",
        table="calibrations",
        # The latest one of a model counts, however old it is.
        due="created_at < %(rows_before)s and id < (select max(c.id) from calibrations c"
        " where c.embedding_model = t.embedding_model)",
    ),
    Rule(
        name="queue_jobs",
        table="procrastinate_jobs",
        due="status in ('succeeded', 'failed', 'cancelled', 'aborted') and not exists ("
        " select 1 from procrastinate_events e where e.job_id = t.id and e.at >= %(jobs_before)s)",
    ),
    Rule(
        name="queue_schedules",
        table="procrastinate_periodic_defers",
        # The queue itself clears the earlier rows of a task that is still scheduled; this is for tasks that are not.
        due="to_timestamp(defer_timestamp) < %(jobs_before)s",
    ),
)

TAKE: LiteralString = """
with due as (
    select t.{key} from {table} t where t.{key} > %(after)s and {due}
    order by t.{key} limit %(limit)s for update of t skip locked
), done as ({change} returning t.{key})
select count(*)::int as rows, max({key}) as last from done
"""
DELETE: LiteralString = "delete from {table} t using due where t.{key} = due.{key}"
EMPTY: LiteralString = "update {table} t set payload = '{{}}' from due where t.{key} = due.{key}"
COUNT: LiteralString = "select count(*)::int as rows from {table} t where {due}"

# The table has no dates. The outbox says how many of a conversation's posts are recent, and Telegram numbers the
# messages of a chat upwards: what lies below that many is old.
OLD_DESK_MESSAGES: LiteralString = """
select m.chat_id, m.message_id
from (
    select chat_id, message_id, thread_id,
        row_number() over (partition by thread_id, chat_id order by message_id desc) as place
    from desk_messages
) m
left join (
    select thread_id, count(*) as recent from outbox
    where destination = 'desk' and coalesce(sent_at, created_at) >= %(desk_before)s group by thread_id
) o using (thread_id)
where m.place > coalesce(o.recent, 0)
  and not exists (select 1 from tickets where thread_id = m.thread_id and closed_at is null)
"""

# Of the given conversations, or of all. Set operations: one pass over each table, whatever is believed of their sizes.
IDLE_THREADS: LiteralString = """
select thread_id from conversations where coalesce(last_customer_at, created_at) < %(idle_before)s
    and created_at < %(idle_before)s and (%(threads)s::text[] is null or thread_id = any(%(threads)s))
except (
    select thread_id from tickets
    where closed_at is null and (%(threads)s::text[] is null or thread_id = any(%(threads)s))
    union all
    select thread_id from inbox where (handled_at is null or received_at >= %(idle_before)s)
        and (%(threads)s::text[] is null or thread_id = any(%(threads)s))
    union all
    select thread_id from outbox where (state in ('pending', 'sending') or created_at >= %(idle_before)s)
        and (%(threads)s::text[] is null or thread_id = any(%(threads)s))
)
"""

FORGET: tuple[LiteralString, ...] = (
    # The rows stay until they are old themselves: a message that comes again must be known.
    "update inbox set payload = '{}' where thread_id = any(%s) and payload <> '{}' and handled_at is not null",
    "delete from outbox where thread_id = any(%s) and state not in ('pending', 'sending')",
    # The question is the operator's to answer in an article; who asked it is nobody's any more.
    "update unknown_questions set user_id = '', thread_id = null where thread_id = any(%s)",
    "update answer_labels set thread_id = null where thread_id = any(%s)",
    "select audit_log_forget(%s)",
    # What was known of the customer: `graph.profile` keeps one item for each conversation.
    "delete from store where prefix = 'profiles' and key = any(%s)",
    "delete from tickets where thread_id = any(%s)",
    "delete from desk_messages where thread_id = any(%s)",
    "delete from desk_places where thread_id = any(%s)",
    "delete from conversations where thread_id = any(%s)",
)


async def run_retention(
    pool: Pool, saver: AsyncPostgresSaver, settings: RetentionSettings, *, now: datetime, dry_run: bool = False
) -> RetentionReport:
    """Apply every rule; with `dry_run` only count what it would change."""
    cutoffs = _cutoffs(settings, now)
    counts = await _count_all(pool, cutoffs) if dry_run else await _apply_all(pool, saver, cutoffs)
    logger.info("Retention", extra={"action": "retention", "is_dry_run": dry_run, **counts})
    return RetentionReport(counts=counts, is_dry_run=dry_run)


def _cutoffs(settings: RetentionSettings, now: datetime) -> dict[str, datetime]:
    rows_before = now - timedelta(days=RETENTION_ROW_DAYS)
    idle_before = now - timedelta(days=settings.kefu_retention_conversation_days)
    return {
        "texts_before": now - timedelta(days=settings.kefu_retention_inbox_days),
        "rows_before": rows_before,
        "idle_before": idle_before,
        # Counted by the outbox, so no longer than its rows.
        "desk_before": max(idle_before, rows_before),
        "callbacks_before": now - timedelta(days=CALLBACK_DAYS),
        "jobs_before": now - timedelta(days=JOB_DAYS),
    }


async def _count_all(pool: Pool, cutoffs: Cutoffs) -> dict[str, int]:
    statements = {rule.name: _compose(COUNT, rule) for rule in RULES}
    desk = sql.SQL("select count(*)::int as rows from ({}) d").format(sql.SQL(OLD_DESK_MESSAGES))
    idle = sql.SQL("select count(*)::int as rows from ({}) c").format(sql.SQL(IDLE_THREADS))
    audit = sql.SQL("select count(*)::int as rows from audit_log where created_at < %(rows_before)s").format()
    statements = {"desk_messages": desk, **statements, "conversations": idle, "audit_log": audit}
    counts = {}
    async with pool.connection() as conn:
        for name, statement in statements.items():
            row = await (await conn.execute(statement, {**cutoffs, "threads": None})).fetchone()
            counts[name] = int(row["rows"]) if row else 0
    return counts


async def _apply_all(pool: Pool, saver: AsyncPostgresSaver, cutoffs: Cutoffs) -> dict[str, int]:
    # The desk's messages first, because the outbox tells their age.
    counts = {"desk_messages": await _forget_desk_messages(pool, cutoffs)}
    for rule in RULES:
        counts[rule.name] = await _apply(pool, rule, cutoffs)
    counts["conversations"] = await _forget_conversations(pool, saver, cutoffs)
    counts["audit_log"] = await _expire_audit_log(pool, cutoffs)
    return counts


async def _apply(pool: Pool, rule: Rule, cutoffs: Cutoffs) -> int:
    statement = _compose(TAKE, rule)
    after = rule.first
    total = 0
    async with pool.connection() as conn:
        while True:
            parameters = {**cutoffs, "after": after, "limit": BATCH}
            row = await (await conn.execute(statement, parameters, prepare=False)).fetchone()
            assert row is not None, "an aggregate always has a row"
            total += int(row["rows"])
            if row["rows"] < BATCH:
                return total
            # Onwards from the last one, not past all the finished ones again.
            after = row["last"]


def _compose(template: LiteralString, rule: Rule) -> sql.Composed:
    parts = {"table": sql.Identifier(rule.table), "key": sql.Identifier(rule.key), "due": sql.SQL(rule.due)}
    change = sql.SQL(DELETE if rule.change == "delete" else EMPTY).format(**parts)
    return sql.SQL(template).format(change=change, **parts)


async def _expire_audit_log(pool: Pool, cutoffs: Cutoffs) -> int:
    # The table refuses deletes; this function of its own is the way out.
    total = 0
    async with pool.connection() as conn:
        while True:
            cursor = await conn.execute(
                "select audit_log_expire(%(rows_before)s, %(limit)s) as rows", {**cutoffs, "limit": BATCH}
            )
            row = await cursor.fetchone()
            assert row is not None, "a function call always has a row"
            total += int(row["rows"])
            if row["rows"] < BATCH:
                return total


async def _forget_desk_messages(pool: Pool, cutoffs: Cutoffs) -> int:
    statement = sql.SQL(
        "delete from desk_messages d using ({} limit %(limit)s) old"
        " where (d.chat_id, d.message_id) = (old.chat_id, old.message_id)"
    ).format(sql.SQL(OLD_DESK_MESSAGES))
    total = 0
    async with pool.connection() as conn:
        while True:
            cursor = await conn.execute(statement, {**cutoffs, "limit": BATCH}, prepare=False)
            total += cursor.rowcount
            if cursor.rowcount < BATCH:
                return total


async def _forget_conversations(pool: Pool, saver: AsyncPostgresSaver, cutoffs: Cutoffs) -> int:
    async with pool.connection() as conn:
        idle = await _threads(conn, sql.SQL(IDLE_THREADS), {**cutoffs, "threads": None})
    total = 0
    for start in range(0, len(idle), CONVERSATION_BATCH):
        async with pool.connection() as conn, conn.transaction():
            threads = await _hold(conn, idle[start : start + CONVERSATION_BATCH], cutoffs)
            # Before the rows, in a transaction of its own: a crash in between leaves the rows that lead here again.
            await saver.aprune(threads, strategy="delete")
            for change in FORGET:
                await conn.execute(change, (threads,), prepare=False)
            total += len(threads)
    return total


async def _hold(conn: Connection, threads: list[str], cutoffs: Cutoffs) -> list[str]:
    """Lock the conversations, as a new message and `api.database.thread_lock` do; return those that are ours.

    Only then it is asked again whether they are idle: something may have been said since the first look.
    """
    lock = "select thread_id from conversations where thread_id = any(%(threads)s) for update skip locked"
    locked = await _threads(conn, sql.SQL(lock), {"threads": threads})
    ours = sql.SQL(
        "select c.thread_id from ({}) c where pg_try_advisory_xact_lock(hashtextextended(c.thread_id, 7))"
    ).format(sql.SQL(IDLE_THREADS))
    return await _threads(conn, ours, {**cutoffs, "threads": locked})


async def _threads(conn: Connection, statement: sql.SQL | sql.Composed, parameters: Mapping[str, object]) -> list[str]:
    rows = await (await conn.execute(statement, parameters, prepare=False)).fetchall()
    return [row["thread_id"] for row in rows]
