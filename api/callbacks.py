"""Storing a callback: all that stands between WeCom and its answer, so one statement, one round trip, one commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from api.database import Connection, personal
from api.job_queue import FAST, PULL_PRIORITY

# A pull that has yet to begin will bring everything that is there by now, so another is not needed. One job for each
# callback would also notify each time, and PostgreSQL commits transactions that notify one after the other.
STORE = b"""
with stored as (
    insert into callbacks (signature, payload) values (%(signature)s, %(payload)s) on conflict do nothing returning id
)
select procrastinate_defer_jobs_v1(array[
    row(%(queue)s, 'pull', %(priority)s, %(lock)s, null, %(arguments)s, null)
]::procrastinate_job_to_defer_v1[])
from stored
where %(account)s <> '' and not exists (
    select 1 from procrastinate_jobs where lock = %(lock)s and status = 'todo'
)
"""


async def store_callback(
    conn: Connection, *, signature: str, payload: Mapping[str, Any], account_id: str, token: str
) -> None:
    """Store a callback once, with the pull of the account it names; `conn` commits by itself."""
    parameters = {
        "signature": signature,
        "payload": personal(payload),
        "account": account_id,
        "queue": FAST,
        "priority": PULL_PRIORITY,
        "lock": f"pull:{account_id}",
        "arguments": Jsonb({"account_id": account_id, "token": token}),
    }
    await conn.execute(STORE, parameters)
