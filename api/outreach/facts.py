"""Who a campaign may be for, and what is known about each of them, read in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.database import Connection, Row
from api.outreach.errors import OutreachError
from api.outreach.law import Facts
from tools.wecom.channel import CHANNEL

DAYS_AT_MOST = 3650

PENDING_DAYS = 31
"""How long a message nobody confirmed keeps other campaigns away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """For whom a campaign is; what is set must all be true, of the tags one."""

    tags: tuple[str, ...] = ()
    active_days: int | None = None
    source: str = ""
    account: str = ""

    @classmethod
    def of(cls, *, tags: Sequence[str], active_days: int | None, source: str, account: str) -> Audience:
        """Check and tidy what an operator wrote.

        Raises:
            OutreachError: it names nobody, or everybody.
        """
        named = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
        made = cls(tags=named, active_days=active_days, source=source.strip(), account=account.strip())
        if made == cls():
            raise OutreachError("for whom? name --tag, --active-days, --source or --account")
        if active_days is not None and not 1 <= active_days <= DAYS_AT_MOST:
            raise OutreachError(f"--active-days: {active_days} is not 1 to {DAYS_AT_MOST}")
        return made

    @property
    def words(self) -> str:
        """It as a person reads it."""
        parts = [
            f"tag {' or '.join(self.tags)}" if self.tags else "",
            f"wrote within {self.active_days} days" if self.active_days else "",
            f"source {self.source}" if self.source else "",
            f"account {self.account}" if self.account else "",
        ]
        return ", ".join(part for part in parts if part)


MEMBERS = """
with known as (
    select customer_id from conversations where channel = %(channel)s
    union
    select external_userid from friends
)
select k.customer_id from known k
where k.customer_id <> ''
  and (%(tags)s::text[] = '{}' or exists (
    select 1 from friends f where f.external_userid = k.customer_id and f.tags && %(tags)s::text[]))
  and (%(source)s = '' or exists (
    select 1 from conversations c where c.customer_id = k.customer_id and c.channel = %(channel)s
      and c.source = %(source)s)
    or exists (select 1 from friends f where f.external_userid = k.customer_id and f.source = %(source)s))
  and ((%(since)s::timestamptz is null and %(account)s = '') or exists (
    select 1 from conversations c where c.customer_id = k.customer_id and c.channel = %(channel)s
      and (%(account)s = '' or c.account_id = %(account)s)
      and (%(since)s::timestamptz is null or c.last_customer_at >= %(since)s)))
order by k.customer_id
"""

FACTS = """
select w.customer_id, c.thread_id, c.last_customer_at, c.session_state as session,
    coalesce(c.units_used, 0) + coalesce(c.waiting, 0) as units_used,
    coalesce(p.has_person, false) as has_person, f.staff_id, coalesce(f.has_left, false) as has_left,
    coalesce((select o.direction = 'out' from outreach_consents o where o.customer_id = w.customer_id
        order by o.id desc limit 1), false) as is_opted_out,
    s.sends, s.has_pending
from unnest(%(customers)s::text[]) as w (customer_id)
left join lateral (
    select x.thread_id, x.last_customer_at, x.session_state, x.units_used,
        -- What is on its way counts already; campaigns' own messages are told apart below.
        (select count(*)::int from outbox o where o.thread_id = x.thread_id and o.destination = 'customer'
            and o.state in ('pending', 'sending') and o.part not like 'outreach.%%') as waiting
    from conversations x
    where x.customer_id = w.customer_id and x.channel = %(channel)s
        and (%(account)s = '' or x.account_id = %(account)s)
    order by x.last_customer_at desc nulls last, x.thread_id limit 1
) c on true
left join lateral (
    select bool_or(x.muted_at is not null or coalesce(x.session_state in ('queued', 'staff'), false)
        or exists (select 1 from tickets t where t.thread_id = x.thread_id and t.closed_at is null)) as has_person
    from conversations x where x.customer_id = w.customer_id
) p on true
left join lateral (
    select bool_and(x.left_at is not null) as has_left,
        (array_agg(x.staff_id order by x.added_at desc, x.staff_id)
            filter (where x.left_at is null and x.confirmed_at is not null))[1] as staff_id
    from friends x where x.external_userid = w.customer_id
) f on true
cross join lateral (
    select coalesce(array_agg(coalesce(t.sent_at, t.tried_at)), '{}') as sends,
        coalesce(bool_or(t.tried_at > %(pending_since)s and (t.state in ('intent', 'staff_pending')
            or t.state = 'unknown' and t.channel = 'template')), false) as has_pending
    from outreach_targets t
    where t.customer_id = w.customer_id and t.campaign_id is distinct from %(campaign)s::bigint
        and t.state in ('intent', 'sent', 'unknown', 'staff_pending', 'staff_sent') and t.tried_at > %(sends_since)s
) s
"""
_SENDS_DAYS = 62


async def members(conn: Connection, audience: Audience, now: datetime) -> list[str]:
    """List the customers a campaign is for, whether or not they may be written to."""
    values = {
        "channel": CHANNEL,
        "tags": list(audience.tags),
        "source": audience.source,
        "account": audience.account,
        "since": now - timedelta(days=audience.active_days) if audience.active_days else None,
    }
    rows = await (await conn.execute(MEMBERS.encode(), values)).fetchall()
    return [row["customer_id"] for row in rows]


async def facts_of(
    conn: Connection, customers: Sequence[str], *, account: str, campaign: int | None, now: datetime
) -> dict[str, Facts]:
    """Return what is known about each customer; what the campaign itself did to them does not count."""
    values = {
        "customers": list(customers),
        "channel": CHANNEL,
        "account": account,
        "campaign": campaign,
        "pending_since": now - timedelta(days=PENDING_DAYS),
        "sends_since": now - timedelta(days=_SENDS_DAYS),
    }
    rows = await (await conn.execute(FACTS.encode(), values)).fetchall()
    return {row["customer_id"]: _facts(row) for row in rows}


def _facts(row: Row) -> Facts:
    return Facts(**{**row, "sends": tuple(row["sends"])})
