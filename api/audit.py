"""Who did what: rows that are only ever added, inside the transaction of what was done."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from api.database import Connection, Pool, Row, storable

LIST = """
select id, created_at, actor, action, ticket_id, thread_id, subject, detail from audit_log
where (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(ticket)s = '' or ticket_id = %(ticket)s)
  and (%(actor)s = '' or actor = %(actor)s)
  and (%(action)s = '' or action = %(action)s or action like %(action)s || '.%%')
order by id desc limit %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows; what is empty does not choose."""

    since: datetime | None = None
    ticket: str = ""
    actor: str = ""
    action: str = ""
    """An action, or the kind of thing before its dot."""


async def record(
    conn: Connection,
    *,
    actor: str,
    action: str,
    ticket_id: str | None = None,
    thread_id: str | None = None,
    subject: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Note what was done; it counts when the caller's transaction does. Nothing a customer said belongs here.

    Args:
        conn: the connection that does it.
        actor: `cli:<user of the machine>`, `desk:<name>`, `bot`.
        action: the kind of thing and what was done to it, `draft.approved`.
        ticket_id: the ticket it concerns.
        thread_id: the conversation it concerns.
        subject: which one, by its id.
        detail: more facts.
    """
    await conn.execute(
        "insert into audit_log (actor, action, ticket_id, thread_id, subject, detail) values (%s, %s, %s, %s, %s, %s)",
        (storable(actor), action, ticket_id, thread_id, subject, Jsonb(storable(detail or {}))),
    )


async def entries(pool: Pool, chosen: Filter, *, limit: int) -> list[Row]:
    """Return the rows, newest first."""
    values = {
        "since": chosen.since,
        "ticket": chosen.ticket,
        "actor": chosen.actor,
        "action": chosen.action,
        "limit": limit,
    }
    async with pool.connection() as conn:
        return await (await conn.execute(LIST, values)).fetchall()


def cli_actor() -> str:
    """Name who runs this command."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        # A container may run under a number nobody gave a name to.
        return f"cli:{os.getuid()}"
