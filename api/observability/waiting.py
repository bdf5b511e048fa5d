"""What waits, failed, or is open now: read from the rows at every look, by indexes that hold nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from api.database import Connection
from api.observability.finished import Labels

LATE_SECONDS = 600
"""From this age on a message that waits to be sent is late: retries are a minute apart at most."""

DESTINATIONS = ("customer", "desk", "webhook")
OPEN_STATES = ("pending", "sending", "failed", "unknown")
QUEUES = ("fast", "turns", "desk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One family of numbers as they are now; `statement` returns the labels and `value`."""

    name: str
    help: str
    statement: LiteralString
    zeros: Sequence[Labels] = ((),)
    """What is told when there is no such row."""


JOBS: LiteralString = """
select queue_name as queue, count(*)::float8 as value from procrastinate_jobs
where status = 'todo' and (scheduled_at is null or scheduled_at <= now()) group by 1"""

OLDEST_JOBS: LiteralString = """
select j.queue_name as queue, coalesce(max(extract(epoch from now() - coalesce(j.scheduled_at,
    (select min(e.at) from procrastinate_events e where e.job_id = j.id)))), 0)::float8 as value
from procrastinate_jobs j
where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now()) group by 1"""

READINGS = (
    Reading(
        name="kefu_outbox_rows",
        help="Messages that wait to be sent, or could not be, by state",
        statement="select destination, state, count(*)::float8 as value from outbox"
        " where state in ('pending', 'sending') group by 1, 2 union all"
        " select destination, state, count(*) from outbox where state in ('failed', 'unknown') group by 1, 2",
        zeros=tuple((("destination", place), ("state", state)) for place in DESTINATIONS for state in OPEN_STATES),
    ),
    Reading(
        name="kefu_outbox_oldest_seconds",
        help="Age of the oldest message that waits to be sent",
        statement="select destination, extract(epoch from now() - min(created_at))::float8 as value from outbox"
        " where state in ('pending', 'sending') group by 1",
        zeros=tuple((("destination", place),) for place in DESTINATIONS),
    ),
    Reading(
        name="kefu_outbox_late_rows",
        help="Messages that wait to be sent for more than ten minutes",
        statement="select destination, count(*)::float8 as value from outbox where state in ('pending', 'sending')"
        " and created_at < now() - make_interval(secs => %(late)s) group by 1",
        zeros=tuple((("destination", place),) for place in DESTINATIONS),
    ),
    Reading(
        name="kefu_inbox_unhandled_rows",
        help="Messages waiting for a turn",
        statement="select count(*)::float8 as value from inbox where handled_at is null",
    ),
    Reading(
        name="kefu_inbox_oldest_seconds",
        help="Age of the oldest message waiting for a turn",
        statement="select coalesce(extract(epoch from now() - min(received_at)), 0)::float8 as value from inbox"
        " where handled_at is null",
    ),
    Reading(
        name="kefu_inbox_lost_rows",
        help="Messages of customers that were called handled in the last day without any turn: must be 0",
        statement="select count(*)::float8 as value from inbox where handled_at > now() - interval '1 day'"
        " and origin = 'customer' and outcome = 'handled' and turn_id is null",
    ),
    Reading(
        name="kefu_open_tickets",
        help="Conversations a person has",
        statement="select count(*)::float8 as value from tickets where closed_at is null",
    ),
    Reading(
        name="kefu_unanswered_tickets",
        help="Open tickets in which no person wrote yet",
        statement="select count(*)::float8 as value from tickets where closed_at is null and answered_at is null",
    ),
    Reading(
        name="kefu_unanswered_tickets_oldest_seconds",
        help="How long the customer waits who waits longest for a person's first words",
        statement="select coalesce(extract(epoch from now() - min(opened_at)), 0)::float8 as value from tickets"
        " where closed_at is null and answered_at is null",
    ),
    Reading(
        name="kefu_queue_jobs",
        help="Jobs that are due and not begun",
        statement=JOBS,
        zeros=tuple((("queue", name),) for name in QUEUES),
    ),
    Reading(
        name="kefu_queue_oldest_seconds",
        help="For how long the job is due that waits longest",
        statement=OLDEST_JOBS,
        zeros=tuple((("queue", name),) for name in QUEUES),
    ),
    Reading(
        name="kefu_workers",
        help="Parts of workers that gave a sign of life in the last ten seconds; three to a worker",
        statement="select count(*)::float8 as value from procrastinate_workers"
        " where last_heartbeat > now() - interval '10 seconds'",
    ),
    Reading(
        name="kefu_conversations_in_window",
        help="Conversations that may be written in, by how many messages are left until the customer writes again",
        statement="select greatest(%(units)s - units_used, 0)::text as units_left, count(*)::float8 as value"
        " from conversations where channel = 'wecom' and last_customer_at > now() - interval '48 hours' group by 1",
        zeros=((("units_left", "0"),),),
    ),
    Reading(
        name="kefu_knowledge_waiting_rows",
        help="Rows of the knowledge base that wait for their embedding",
        statement="select count(*)::float8 as value from knowledge_chunks where embedding is null",
    ),
)

Now = dict[str, dict[Labels, float]]


async def waiting_now(conn: Connection, *, units: int) -> Now:
    """Read every family; `units` is how many messages the channel allows after each of the customer's."""
    families: Now = {}
    for reading in READINGS:
        samples = dict.fromkeys(reading.zeros, 0.0)
        # Named parameters everywhere: a statement without any takes none.
        cursor = await conn.execute(reading.statement, {"late": LATE_SECONDS, "units": units})
        for row in await cursor.fetchall():
            value = float(row.pop("value"))
            samples[tuple(sorted((name, str(label)) for name, label in row.items()))] = value
        families[reading.name] = samples
    return families
