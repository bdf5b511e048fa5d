"""What WeCom tells about friends: stored with the job it causes, then folded into the friendships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from api.database import Connection, Pool, Row, personal, storable
from api.friends.states import ACTED_ON, Friend, FriendEvent, after
from api.job_queue import FAST, WELCOME_PRIORITY

EVENT = "change_external_contact"
JOB = "friends"

# As with pulls: a job that has yet to begin will find this event too.
STORE = b"""
with stored as (
    insert into callbacks (signature, payload) values (%(signature)s, %(payload)s) on conflict do nothing returning id
), told as (
    insert into friend_events
        (change_type, staff_id, external_userid, state, welcome_code, detail, happened_at, handled_at)
    select %(change_type)s, %(staff_id)s, %(customer_id)s, %(state)s, %(welcome_code)s, %(detail)s,
        coalesce(to_timestamp(nullif(%(happened_at)s::bigint, 0)), now()),
        case when %(is_acted_on)s then null else now() end
    from stored returning id
)
select procrastinate_defer_jobs_v1(array[
    row(%(queue)s, %(job)s, %(priority)s, null, null, '{}'::jsonb, null)
]::procrastinate_job_to_defer_v1[])
from told
where %(is_acted_on)s and not exists (
    select 1 from procrastinate_jobs
    where status = 'todo' and priority = %(priority)s and queue_name = %(queue)s and task_name = %(job)s
)
"""

FOLD_AT_ONCE = 500

# One process at a time folds, so events are taken in the order they came; nothing is waited for inside.
LOCK = b"select pg_advisory_xact_lock(hashtextextended('kefu.friends', 14))"
WAITING = b"""
select id, change_type, staff_id, external_userid as customer_id, state, welcome_code, detail, happened_at, received_at
from friend_events where handled_at is null order by id limit %(limit)s
"""
KNOWN = b"""
select f.staff_id, f.external_userid as customer_id, f.state, f.added_at, f.confirmed_at, f.left_at, f.left_by,
    f.welcome_code, f.welcome_until, f.spare_code, f.spare_until, f.welcome_after, f.welcome_attempts, f.in_doubt,
    f.welcome_outcome, f.tend_after, f.tend_attempts, f.tended_at
from friends f
join unnest(%(staff)s::text[], %(customers)s::text[]) as p (staff_id, external_userid)
    on (f.staff_id, f.external_userid) = (p.staff_id, p.external_userid)
for update of f
"""
# What only the present friendship was told or given goes with it: it began when `added_at` moved forward.
SAVE = b"""
insert into friends as f (staff_id, external_userid, state, source, added_at, confirmed_at, left_at, left_by,
    welcome_code, welcome_until, spare_code, spare_until, welcome_after, welcome_attempts, in_doubt, welcome_outcome,
    tend_after, tend_attempts, tended_at)
values (%(staff_id)s, %(customer_id)s, %(state)s,
    coalesce((select w.source from contact_ways w where w.state = %(state)s), %(state)s),
    %(added_at)s, %(confirmed_at)s, %(left_at)s, %(left_by)s, %(welcome_code)s, %(welcome_until)s, %(spare_code)s,
    %(spare_until)s, %(welcome_after)s, %(welcome_attempts)s, %(in_doubt)s, %(welcome_outcome)s, %(tend_after)s,
    %(tend_attempts)s, %(tended_at)s)
on conflict (staff_id, external_userid) do update set
    state = excluded.state, source = excluded.source, added_at = excluded.added_at,
    confirmed_at = excluded.confirmed_at, left_at = excluded.left_at, left_by = excluded.left_by,
    welcome_code = excluded.welcome_code, welcome_until = excluded.welcome_until,
    spare_code = excluded.spare_code, spare_until = excluded.spare_until,
    welcome_after = excluded.welcome_after, welcome_attempts = excluded.welcome_attempts,
    in_doubt = excluded.in_doubt, welcome_outcome = excluded.welcome_outcome,
    welcome_error = case when excluded.welcome_outcome is null then null else f.welcome_error end,
    welcomed_at = case when excluded.added_at > f.added_at then null else f.welcomed_at end,
    tags = case when excluded.added_at > f.added_at then '{}' else f.tags end,
    has_remark = f.has_remark and excluded.added_at <= f.added_at,
    tend_after = excluded.tend_after, tend_attempts = excluded.tend_attempts, tended_at = excluded.tended_at
"""


async def store_friend_callback(pool: Pool, *, signature: str, payload: Mapping[str, Any]) -> None:
    """Store a verified callback about a friend once, with the job that acts on it, in one transaction."""
    kind = _text(payload, "ChangeType")
    created = _text(payload, "CreateTime")
    values = {
        "signature": signature,
        "payload": personal(payload),
        "change_type": kind,
        "staff_id": _text(payload, "UserID"),
        "customer_id": _text(payload, "ExternalUserID"),
        "state": _text(payload, "State"),
        "welcome_code": _text(payload, "WelcomeCode"),
        "detail": _text(payload, "Source") or _text(payload, "FailReason"),
        "happened_at": int(created) if created.isdecimal() and len(created) <= 10 else 0,
        "is_acted_on": kind in ACTED_ON and bool(_text(payload, "UserID")) and bool(_text(payload, "ExternalUserID")),
        "queue": FAST,
        "job": JOB,
        "priority": WELCOME_PRIORITY,
    }
    async with pool.connection() as conn:
        await conn.execute(STORE, values)


async def fold_events(pool: Pool) -> int:
    """Let every waiting event change its friendship; return how many there were."""
    total = 0
    while True:
        async with pool.connection() as conn, conn.transaction():
            await conn.execute(LOCK)
            rows = await (await conn.execute(WAITING, {"limit": FOLD_AT_ONCE})).fetchall()
            if rows:
                await _fold(conn, rows)
        total += len(rows)
        if len(rows) < FOLD_AT_ONCE:
            return total


async def _fold(conn: Connection, rows: Sequence[Row]) -> None:
    ids = [row.pop("id") for row in rows]
    events = [FriendEvent(**row) for row in rows]
    pairs = sorted({(event.staff_id, event.customer_id) for event in events})
    given = {"staff": [staff for staff, _ in pairs], "customers": [customer for _, customer in pairs]}
    known = [Friend(**row) for row in await (await conn.execute(KNOWN, given)).fetchall()]
    friends: dict[tuple[str, str], Friend | None] = {(each.staff_id, each.customer_id): each for each in known}
    for event in events:
        pair = event.staff_id, event.customer_id
        friends[pair] = after(friends.get(pair), event)
    async with conn.cursor() as cursor:
        await cursor.executemany(SAVE, [asdict(friend) for friend in friends.values() if friend is not None])
    now = datetime.now(UTC)
    await conn.execute("update friend_events set handled_at = %s where id = any(%s)", (now, ids))


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return storable(value)[:200] if isinstance(value, str) else ""
