"""What came of a campaign, and whether it did anything: who was written to against who was left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from scipy.stats import binomtest

from api.database import Pool, Row
from api.outreach.campaigns import Campaign

REPLY_DAYS = 7
LEVEL = 0.95

COUNTS = """
select state, reason, channel, count(*)::int as customers from outreach_targets where campaign_id = %s
group by state, reason, channel order by state, reason, channel
"""
# Refusing is no answer. Who was to be written to counts whether or not it arrived: to leave out those whom it did not
# reach would compare people who can be reached with people of all kinds.
REPLIES = """
select t.is_holdout, count(*)::int as customers, count(*) filter (where exists (
    select 1 from conversations c join inbox i using (thread_id)
    where c.customer_id = t.customer_id and i.origin = 'customer'
        and i.sent_at > t.tried_at and i.sent_at <= t.tried_at + make_interval(days => %(days)s)
        and not exists (select 1 from outreach_consents o where o.message_id = i.message_id
            and o.customer_id = t.customer_id)))::int as replied,
    count(*) filter (where t.tried_at + make_interval(days => %(days)s) > %(now)s)::int as open
from outreach_targets t
where t.campaign_id = %(campaign)s and t.tried_at is not null
    and (t.state in ('holdout', 'intent', 'sent', 'unknown', 'failed', 'staff_pending', 'staff_sent')
        or t.reason = 'nobody_to_send_to')
group by t.is_holdout
"""
OPTED_OUT = """
select count(distinct t.customer_id)::int as customers
from outreach_targets t join outreach_consents o using (customer_id)
where t.campaign_id = %(campaign)s and t.tried_at is not null and not t.is_holdout and o.direction = 'out'
    and o.said_at > t.tried_at and o.said_at <= t.tried_at + make_interval(days => %(days)s)
"""
TASKS = """
select k.id, k.staff_id, k.state, k.msgid, k.called_at, k.error, count(t.id)::int as customers,
    count(t.id) filter (where t.state = 'staff_sent')::int as sent
from outreach_tasks k left join outreach_targets t on t.task_id = k.id
where k.campaign_id = %s group by k.id order by k.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many of a group answered, with what that says about people like them."""

    customers: int
    replied: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """How much more who was written to answered than who was left alone."""

    treated: Rate
    holdout: Rate
    difference: float
    low: float
    high: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether chance alone is an unlikely explanation."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a campaign."""

    name: str
    state: str
    counts: Mapping[str, int]
    """Customers by state; `skipped:…` and `failed:…` with the reason."""
    ways: Mapping[str, int]
    """Customers by way."""
    opted_out: int
    open_windows: int
    """Customers who may still answer in time."""
    lift: Lift | None
    """None: one of the groups is empty."""
    tasks: Sequence[Row]

    @property
    def verdict(self) -> str:
        """Say in one sentence whether it did anything."""
        if self.lift is None:
            return "No comparison: nobody was written to, or nobody was left alone to compare with."
        so_far = " so far" if self.open_windows else ""
        low, high = (f"{100 * bound:+.1f}" for bound in (self.lift.low, self.lift.high))
        span = f"{100 * self.lift.difference:+.1f} points, 95 % interval {low} to {high}"
        if not self.lift.is_distinguishable:
            return f"The lift is not distinguishable from 0{so_far} ({span})."
        word = "more" if self.lift.difference > 0 else "fewer"
        return f"Who was written to answered {word} often than who was left alone{so_far} ({span})."


def rate_of(replied: int, customers: int) -> Rate:
    """Return a share with its Wilson interval."""
    told = binomtest(replied, customers).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Rate(
        customers=customers,
        replied=replied,
        rate=replied / customers,
        low=float(told.low),
        high=float(told.high),
    )


def lift_of(treated: Rate, holdout: Rate) -> Lift:
    """Return a difference with Newcombe's interval: of both groups' Wilson intervals, for small groups too."""
    difference = treated.rate - holdout.rate
    below = sqrt((treated.rate - treated.low) ** 2 + (holdout.high - holdout.rate) ** 2)
    above = sqrt((treated.high - treated.rate) ** 2 + (holdout.rate - holdout.low) ** 2)
    return Lift(
        treated=treated, holdout=holdout, difference=difference, low=difference - below, high=difference + above
    )


async def report(pool: Pool, campaign: Campaign, *, now: datetime) -> Report:
    """Count what came of a campaign."""
    values = {"campaign": campaign.id, "days": REPLY_DAYS, "now": now}
    async with pool.connection() as conn:
        counts = await (await conn.execute(COUNTS.encode(), (campaign.id,))).fetchall()
        groups = await (await conn.execute(REPLIES.encode(), values)).fetchall()
        refused = await (await conn.execute(OPTED_OUT.encode(), values)).fetchone()
        tasks = await (await conn.execute(TASKS.encode(), (campaign.id,))).fetchall()
    by_group = {row["is_holdout"]: rate_of(row["replied"], row["customers"]) for row in groups}
    return Report(
        name=campaign.name,
        state=campaign.state,
        counts=_named(counts),
        ways=_summed((row["channel"], row["customers"]) for row in counts if row["channel"]),
        opted_out=refused["customers"] if refused else 0,
        open_windows=sum(row["open"] for row in groups),
        lift=lift_of(by_group[False], by_group[True]) if len(by_group) == 2 else None,
        tasks=tasks,
    )


def _named(rows: Sequence[Row]) -> dict[str, int]:
    return _summed((_name(row), row["customers"]) for row in rows)


def _name(row: Row) -> str:
    has_reason = row["state"] in {"skipped", "failed"} and row["reason"]
    return f"{row['state']}:{row['reason']}" if has_reason else str(row["state"])


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, customers in pairs:
        total[name] += customers
    return dict(total)
