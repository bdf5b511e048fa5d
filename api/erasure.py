"""One person is forgotten: everywhere, at once, and it is looked up afterwards that nothing is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import sql

from api import audit
from api.database import Connection, Pool
from api.errors import ErasureError
from api.resealing import COLUMNS, SealedColumn

LOCK_WAIT = "30s"
"""How long a turn of theirs that is being worked on is waited for."""

# In this order: what names a turn or a ticket goes before the rows that lead there.
ERASE: Mapping[LiteralString, LiteralString] = {
    "answer_audits": "delete from answer_audits where turn_id in ("
    "select turn_id from inbox where thread_id = any(%(threads)s)"
    " union all select turn_id from outbox where thread_id = any(%(threads)s))",
    "answer_labels": "delete from answer_labels where thread_id = any(%(threads)s)",
    "unknown_questions": "delete from unknown_questions where thread_id = any(%(threads)s) or user_id = %(customer)s",
    # The drafted entry is nobody's: names and numbers were taken out when it was made.
    "kb_drafts": "update kb_drafts set ticket_id = null where ticket_id in"
    " (select ticket_id from tickets where thread_id = any(%(threads)s))",
    "audit_log": "select audit_log_erase(%(named)s, %(threads)s)",
    "store": "delete from store where prefix = 'profiles' and key = any(%(threads)s)",
    "inbox": "delete from inbox where thread_id = any(%(threads)s)",
    "outbox": "delete from outbox where thread_id = any(%(threads)s)",
    "tickets": "delete from tickets where thread_id = any(%(threads)s)",
    "desk_messages": "delete from desk_messages where thread_id = any(%(threads)s)",
    "desk_places": "delete from desk_places where thread_id = any(%(threads)s)",
    "friend_events": "delete from friend_events where external_userid = %(customer)s",
    "friends": "delete from friends where external_userid = %(customer)s",
    "outreach_targets": "delete from outreach_targets where customer_id = %(customer)s",
    "outreach_consents": "select outreach_consents_erase(%(customer)s)",
    "conversations": "delete from conversations where thread_id = any(%(threads)s)",
    "procrastinate_jobs": "delete from procrastinate_jobs where status <> 'doing'"
    " and concat_ws(' ', args, lock, queueing_lock) ~ %(named)s",
}

# Also those whose conversation is gone: a delivery that was on its way may have noted where it came.
_THREADS = b"""
select thread_id from conversations where customer_id = %(customer)s
union
select thread_id from (
    select thread_id from inbox union select thread_id from outbox union select thread_id from tickets
    union select thread_id from desk_messages union select thread_id from desk_places
    union select thread_id from checkpoints
) known where right(thread_id, length(%(customer)s) + 1) = ':' || %(customer)s
order by thread_id
"""
_TABLES = """
select c.relname as name from pg_class c
where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace order by c.relname
"""
# Bytes are shown as hexadecimal digits; after an id comes none that could be a part of it.
_ENDS = "(?!2d|3[0-9]|4[0-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a])"
_NAMED: LiteralString = (
    "select count(*)::int as rows from {table} t where strpos(t::text, %(customer)s) > 0 and t::text ~ %(named)s"
    " or t::text ~ (encode(convert_to(%(customer)s, 'UTF8'), 'hex') || %(ends)s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was forgotten, and what was found of it afterwards."""

    rows: Mapping[str, int]
    """Rows deleted or changed, by table."""
    left: Mapping[str, int]
    """Rows that still name the person, by table; empty as it should be."""
    places: tuple[str, ...]
    """Where the desk saw them: what people read there is not ours to delete."""


async def erase_customer(
    pool: Pool,
    saver: AsyncPostgresSaver,
    customer_id: str,
    *,
    actor: str,
    progress: Callable[[int, int], None],
) -> Erasure:
    """Remove a person from every table, the checkpoints, the queue and the store; then look for them everywhere.

    An id of which nothing is known is looked for all the same. Safe to run again after a crash.

    Raises:
        ErasureError: a turn of theirs is being worked on and does not end.
    """
    async with pool.connection() as conn:
        cursor = await conn.execute(_THREADS, {"customer": customer_id})
        threads = [row["thread_id"] for row in await cursor.fetchall()]
        places = await _places(conn, threads)
        try:
            await conn.execute(f"set lock_timeout = '{LOCK_WAIT}'".encode())
            for thread in threads:
                # The lock of `api.database.thread_lock`: no turn begins or goes on meanwhile.
                await conn.execute("select pg_advisory_lock(hashtextextended(%s, 7))", (thread,))
            for thread in threads:
                await saver.adelete_thread(thread)
            rows = {"callbacks": await _erase_callbacks(conn, customer_id)}
            rows |= await _erase_rows(conn, customer_id, threads, actor)
        except psycopg.errors.LockNotAvailable as error:
            raise ErasureError(
                "a message of this customer is being worked on, not everything is gone yet; run it again"
            ) from error
        finally:
            await conn.execute("select pg_advisory_unlock_all()")
            await conn.execute("reset lock_timeout")
    return Erasure(rows=rows, left=await look_for(pool, customer_id, progress=progress), places=places)


async def look_for(pool: Pool, customer_id: str, *, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Count, by table, the rows that name a person anywhere; sealed values are opened for it."""
    left: dict[str, int] = {}
    async with pool.connection() as conn:
        tables = [row["name"] for row in await (await conn.execute(_TABLES)).fetchall()]
        for number, table in enumerate(tables):
            statement = sql.SQL(_NAMED).format(table=sql.Identifier(table))
            values = {"customer": customer_id, "named": _named(customer_id), "ends": _ENDS}
            cursor = await conn.execute(statement, values, prepare=False)
            [row] = await cursor.fetchall()
            left[table] = row["rows"]
            progress(number + 1, len(tables) + len(COLUMNS))
        for number, column in enumerate(COLUMNS):
            left[column.table] += len(await _sealed_keys(conn, column, customer_id))
            progress(len(tables) + number + 1, len(tables) + len(COLUMNS))
    return {table: rows for table, rows in left.items() if rows}


async def _erase_rows(conn: Connection, customer_id: str, threads: list[str], actor: str) -> dict[str, int]:
    rows = {}
    values = {"customer": customer_id, "threads": threads, "named": _named(customer_id)}
    async with conn.transaction():
        for table, statement in ERASE.items():
            cursor = await conn.execute(statement, values, prepare=False)
            # A ledger that refuses changes has a function of its own for this, which says how many rows it changed.
            told = await cursor.fetchone() if cursor.description else None
            rows[table] = int(next(iter(told.values()))) if told else cursor.rowcount
        if any(rows.values()):
            await audit.record(conn, actor=actor, action="customer.erased", detail={"conversations": len(threads)})
    return rows


async def _erase_callbacks(conn: Connection, customer_id: str) -> int:
    column = next(column for column in COLUMNS if column.table == "callbacks")
    keys = await _sealed_keys(conn, column, customer_id)
    cursor = await conn.execute(
        "delete from callbacks where id = any(%s) or payload::text ~ %s", (keys, _named(customer_id))
    )
    return cursor.rowcount


async def _sealed_keys(conn: Connection, column: SealedColumn, customer_id: str) -> list[object]:
    """Return the keys of the rows whose sealed values name somebody."""
    statement = sql.SQL("select {key}, {column}::text as opened from {table} where strpos({column}::text, '~k1.') > 0")
    names = {
        "key": sql.Identifier(column.key[0]),
        "column": sql.Identifier(column.column),
        "table": sql.Identifier(column.table),
    }
    named = re.compile(_named(customer_id))
    async with conn.transaction(), conn.cursor(name="sealed") as cursor:
        await cursor.execute(statement.format(**names))
        return [row[column.key[0]] async for row in cursor if named.search(row["opened"])]


def _named(customer_id: str) -> str:
    """Return what finds an id, and not where it is a part of somebody else's; for PostgreSQL as for Python."""
    # In a JSON text a line that begins with an id has the escape of the line's end before it.
    begins = r"(?:(?<![A-Za-z0-9_@.-])|(?<=\\[nrt]))"
    return rf"{begins}{re.escape(customer_id)}(?![A-Za-z0-9_@-]|\.[A-Za-z0-9_])"


async def _places(conn: Connection, threads: list[str]) -> tuple[str, ...]:
    cursor = await conn.execute(
        "select desk, chat_id, topic_id from desk_places where thread_id = any(%s) order by thread_id", (threads,)
    )
    return tuple(
        f"{row['desk']} {row['chat_id']}" + (f", topic {row['topic_id']}" if row["topic_id"] else "")
        for row in await cursor.fetchall()
    )
