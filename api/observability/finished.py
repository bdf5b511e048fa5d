"""What the rows say once they are finished: counters and histograms over a stretch of time.

Every statement counts the rows that finished after `since` and up to `until`, so that stretches add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString

from api.database import Connection

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""

Totals = dict[tuple[str, Labels], float]
"""What samples of counters and histograms add up to, by name and labels."""

ANSWER_SECONDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 300.0, 1800.0)
PERSON_SECONDS = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)

# What a turn came to. One that answered and also called a person counts as the latter: somebody has work with it.
OUTCOME: LiteralString = """
case
    when i.outcome <> 'handled' then i.outcome
    when exists (select 1 from tickets t where t.ticket_id = i.turn_id) then 'escalated'
    else (
        select case split_part(min(o.part collate "C"), '.', 1)
            when 'answer' then case when bool_or(o.part = 'clarify.0') then 'clarified' else 'answered' end
            when 'clarify' then 'clarified'
            when 'relay' then 'relayed'
            when 'small_talk' then 'small_talk'
            else 'unanswered' end
        from outbox o where o.thread_id = i.thread_id and o.turn_id = i.turn_id
            and split_part(o.part, '.', 1) in ('answer', 'clarify', 'relay', 'small_talk')
    )
end"""

MESSAGES: LiteralString = (
    "select i.account_id as account, i.kind, "
    + OUTCOME
    + """ as outcome, count(*)::float8 as value
from inbox i
where i.origin = 'customer' and i.handled_at > %(since)s and i.handled_at <= %(until)s
group by 1, 2, 3"""
)

# The first thing a turn says; the newest of its messages counts, for which the customer still waits.
ANSWERS: LiteralString = """
with said as (
    select asked.sent_at as written_at, asked.received_at as stored_at, o.created_at as decided_at, o.sent_at
    from outbox o
    cross join lateral (
        select max(i.sent_at) as sent_at, max(i.received_at) as received_at from inbox i
        where i.turn_id = o.turn_id and i.origin = 'customer'
    ) asked
    where o.destination = 'customer' and o.sent_at > %(since)s and o.sent_at <= %(until)s
        and o.part in ('answer.0', 'clarify.0', 'hold.0', 'small_talk.0') and asked.received_at is not null
        and not exists (select 1 from outbox b where b.thread_id = o.thread_id and b.turn_id = o.turn_id
            and b.destination = 'customer' and b.id < o.id)
)
select stage, greatest(extract(epoch from until - since), 0)::float8 as seconds
from said cross join lateral (values
    ('pull', written_at, stored_at), ('decide', stored_at, decided_at), ('send', decided_at, sent_at),
    ('total', written_at, sent_at)
) as stages (stage, since, until)"""

ESCALATIONS: LiteralString = """
select reason, priority, count(*)::float8 as value from tickets
where opened_at > %(since)s and opened_at <= %(until)s group by 1, 2"""

# Without a desk a ticket is closed the moment it is opened: nobody waits.
HANDOFFS: LiteralString = """
select coalesce(ended_by, 'unknown') as ended_by, extract(epoch from closed_at - opened_at)::float8 as seconds
from tickets where closed_at > %(since)s and closed_at <= %(until)s and closed_at > opened_at"""

WAITS: LiteralString = """
select extract(epoch from said.at - t.opened_at)::float8 as seconds
from tickets t
cross join lateral (
    select min(o.created_at) as at from outbox o
    where o.thread_id = t.thread_id and o.destination = 'customer' and split_part(o.part, '.', 1) = 'human'
        and o.created_at between t.opened_at and t.closed_at
) said
where t.closed_at > %(since)s and t.closed_at <= %(until)s and t.closed_at > t.opened_at and said.at is not null"""

AUDITS: LiteralString = """
select case when is_right then 'right' else 'wrong' end as result, source, count(*)::float8 as value
from answer_audits where created_at > %(since)s and created_at <= %(until)s group by 1, 2"""

SENT: LiteralString = """
select destination, count(*)::float8 as value from outbox
where sent_at > %(since)s and sent_at <= %(until)s group by 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One family of numbers over finished rows: counted where it has no bounds, else how long something took."""

    name: str
    help: str
    statement: LiteralString
    bounds: Sequence[float] = ()
    zeros: Sequence[Labels] = ()
    """What is told from the start, before anything of the kind happened: an alert on it must see it rise."""

    @property
    def kind(self) -> Literal["counter", "histogram"]:
        """What Prometheus calls it."""
        return "histogram" if self.bounds else "counter"


MEASURES = (
    Measure(
        name="kefu_messages",
        help="Messages of customers that were handled, by what their turn came to",
        statement=MESSAGES,
    ),
    Measure(
        name="kefu_answer_latency_seconds",
        help="From a message to the first answer: pull, decide (with the wait for more lines), send, and in total",
        statement=ANSWERS,
        bounds=ANSWER_SECONDS,
        zeros=tuple((("stage", stage),) for stage in ("pull", "decide", "send", "total")),
    ),
    Measure(
        name="kefu_escalations",
        help="Tickets that were opened, by reason and haste",
        statement=ESCALATIONS,
    ),
    Measure(
        name="kefu_handoff_wait_seconds",
        help="From the ticket to the first words of a person; counted when the ticket is closed",
        statement=WAITS,
        bounds=PERSON_SECONDS,
        zeros=((),),
    ),
    Measure(
        name="kefu_handoff_resolve_seconds",
        help="From the ticket to its end, by what ended it",
        statement=HANDOFFS,
        bounds=PERSON_SECONDS,
    ),
    Measure(
        name="kefu_audits",
        help="Automatic answers that somebody judged",
        statement=AUDITS,
        zeros=tuple((("result", result), ("source", "operator")) for result in ("right", "wrong")),
    ),
    Measure(
        name="kefu_sent",
        help="Messages that were accepted, by where they went",
        statement=SENT,
        zeros=tuple((("destination", name),) for name in ("customer", "desk", "webhook")),
    ),
)


async def finished_between(conn: Connection, since: datetime, until: datetime) -> Totals:
    """Count what finished after `since` and up to `until`."""
    totals: Totals = defaultdict(float)
    for measure in MEASURES:
        cursor = await conn.execute(measure.statement, {"since": since, "until": until})
        for row in await cursor.fetchall():
            amount = float(row.pop("seconds" if measure.bounds else "value"))
            labels: Labels = tuple(sorted((name, str(value)) for name, value in row.items()))
            if measure.bounds:
                observe(totals, measure, labels, amount)
            else:
                totals[f"{measure.name}_total", labels] += amount
    return dict(totals)


def observe(totals: Totals, measure: Measure, labels: Labels, seconds: float) -> None:
    """Add one observation to a histogram."""
    for name, sample_labels in samples_of(measure, labels):
        if name.endswith("_sum"):
            totals[name, sample_labels] += seconds
        elif name.endswith("_count") or seconds <= float(dict(sample_labels)["le"]):
            totals[name, sample_labels] += 1


def samples_of(measure: Measure, labels: Labels) -> list[tuple[str, Labels]]:
    """List the samples a family has for these labels."""
    if not measure.bounds:
        return [(f"{measure.name}_total", labels)]
    buckets = [(*labels, ("le", bound)) for bound in (*map(str, measure.bounds), "+Inf")]
    return [
        *((f"{measure.name}_bucket", tuple(sorted(bucket))) for bucket in buckets),
        (f"{measure.name}_count", labels),
        (f"{measure.name}_sum", labels),
    ]
