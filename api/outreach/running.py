"""Carrying out what was approved: one customer at a time, each in one transaction with the row that sends."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from api import audit
from api.customers import Customers
from api.database import Connection, Pool, Row
from api.deliveries import CAMPAIGN
from api.outbox import DurableOutbox
from api.outreach import campaigns
from api.outreach.campaigns import Campaign
from api.outreach.facts import facts_of
from api.outreach.law import Decision, Kf, Law, Skip, Staff, Wait
from api.outreach.staff_tasks import StaffTasks
from api.outreach.words import text_for, wants_name

logger = logging.getLogger(__name__)

ACTOR = "bot"
AT_ONCE = 100
BATCHES = 20
"""Batches of one run: then other jobs have their turn."""

DUE = """
select id, customer_id from outreach_targets
where campaign_id = %(campaign)s and state = 'planned' and id > %(after)s and (look_at is null or look_at <= %(now)s)
order by id limit %(limit)s
"""
CLAIM = """
select t.id, t.customer_id, t.is_holdout, t.tries
from outreach_targets t join outreach_campaigns c on c.id = t.campaign_id
where t.id = %s and t.state = 'planned' and c.state = 'approved' and c.approved_hash = %s
for update of t skip locked
"""
# What the deliverer wrote about the row; one that the channel reports as lost later flips back.
SETTLE = """
update outreach_targets t
set state = o.outcome,
    sent_at = case o.state when 'sent' then t.tried_at end,
    reason = case o.state when 'sent' then '' else coalesce(o.last_error, '') end
from (
    select thread_id, turn_id, destination, state, last_error, case
        when state = 'sent' then 'sent'
        -- Given up by an operator, it may have arrived all the same.
        when state = 'unknown' or state = 'dropped' and in_doubt then 'unknown'
        else 'failed' end as outcome
    from outbox
) o
where t.channel = 'kf' and (t.state = 'intent' or t.state in ('sent', 'unknown', 'failed') and t.tried_at > %(since)s)
    and o.thread_id = t.thread_id and o.turn_id = t.turn_id and o.destination = 'customer'
    and o.state in ('sent', 'unknown', 'failed', 'dropped')
    and t.state <> o.outcome
"""
FINISH = """
update outreach_campaigns c set state = 'done', finished_at = %(now)s
where c.id = %(campaign)s and c.state = 'approved' and not exists (
    select 1 from outreach_targets t where t.campaign_id = c.id and t.state in ('planned', 'intent'))
returning name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run did with one campaign."""

    name: str
    counts: Mapping[str, int]
    """Customers by what was done about them."""
    note: str = ""
    """Why nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs approved campaigns; any number of processes at once."""

    pool: Pool
    outbox: DurableOutbox
    customers: Customers
    law: Law
    company: str
    staff: StaffTasks | None
    """None: WeCom's 客户联系 is not configured, so there is only 微信客服."""
    clock: Callable[[], datetime]

    async def run(self, name: str = "") -> list[Ran]:
        """Do what is due now, for all approved campaigns or for one."""
        async with self.pool.connection() as conn:
            await conn.execute(SETTLE.encode(), {"since": self.clock() - campaigns.RECENT})
        done = [await self._run(campaign) for campaign in await campaigns.approved(self.pool, name)]
        for ran in done:
            extra = {"action": "outreach_run", "campaign": ran.name, "note": ran.note, **ran.counts}
            logger.info("Campaign run", extra=extra)
        return done

    async def _run(self, campaign: Campaign) -> Ran:
        counts: Counter[str] = Counter()
        note = await self._obstacle(campaign)
        if not note:
            counts, is_whole = await self._send(campaign)
            # A member has one task to confirm for all their customers, so everybody is looked at first.
            if is_whole and self.staff is not None:
                await self.staff.call_all(campaign)
        async with self.pool.connection() as conn, conn.transaction():
            if self.clock() >= campaign.ends_at:
                counts["skipped"] += await campaigns.end_planned(conn, campaign.id, "window_over")
            finished = await conn.execute(FINISH.encode(), {"campaign": campaign.id, "now": self.clock()})
            if await finished.fetchone():
                await audit.record(conn, actor=ACTOR, action="outreach.done", subject=campaign.name)
        return Ran(name=campaign.name, counts=dict(counts), note=note)

    async def _obstacle(self, campaign: Campaign) -> str:
        """Say why nothing of a campaign is sent now, empty when nothing stands in its way."""
        now = self.clock()
        async with self.pool.connection() as conn:
            if not await campaigns.is_as_approved(conn, campaign):
                extra = {"action": "outreach_changed", "campaign": campaign.name}
                logger.error("A campaign is not what was approved", extra=extra)
                return "it was changed after the approval; approve it again"
        if now < campaign.starts_at:
            return f"it begins at {campaign.starts_at.astimezone(self.law.quiet.zone):%Y-%m-%d %H:%M}"
        if now >= campaign.ends_at:
            return "its time is over"
        if self.law.quiet.is_quiet(now):
            return f"quiet hours until {self.law.quiet.ends_at(now):%Y-%m-%d %H:%M}"
        return ""

    async def _send(self, campaign: Campaign) -> tuple[Counter[str], bool]:
        """Decide about whoever is due, as far as one run goes; return what became of them, and whether that was all."""
        counts: Counter[str] = Counter()
        after = 0
        for _ in range(BATCHES):
            now = self.clock()
            values = {"campaign": campaign.id, "after": after, "now": now, "limit": AT_ONCE}
            async with self.pool.connection() as conn:
                rows = await (await conn.execute(DUE.encode(), values)).fetchall()
            names = await self._names(campaign, rows, now)
            for row in rows:
                counts[await self._step(campaign, row["id"], names.get(row["customer_id"], ""))] += 1
            if len(rows) < AT_ONCE:
                return counts, True
            after = rows[-1]["id"]
        return counts, False

    async def _names(self, campaign: Campaign, rows: list[Row], now: datetime) -> dict[str, str]:
        """Ask for the names that will be said, before anything is locked."""
        if not wants_name(campaign.text):
            return {}
        async with self.pool.connection() as conn:
            facts = await facts_of(
                conn,
                [row["customer_id"] for row in rows],
                account=campaign.audience.account,
                campaign=campaign.id,
                now=now,
            )
        ways = {customer: self.law.decide(each, now) for customer, each in facts.items()}
        return {
            customer: await self.customers.name(way.thread_id) for customer, way in ways.items() if isinstance(way, Kf)
        }

    async def _step(self, campaign: Campaign, target_id: int, name: str) -> str:
        """Decide about one customer and do it; return what became of them."""
        async with self.pool.connection() as conn, conn.transaction():
            # Nothing under an approval other than the one this run has the text of.
            row = await (await conn.execute(CLAIM.encode(), (target_id, campaign.approved_hash))).fetchone()
            if row is None:
                return "busy"
            decision = await self._decide(conn, campaign, row["customer_id"])
            if row["is_holdout"] and isinstance(decision, Kf | Staff):
                await self._set(conn, target_id, state="holdout", tried_at=self.clock())
                return "holdout"
            return await self._do(conn, campaign, row, decision, name)

    async def _decide(self, conn: Connection, campaign: Campaign, customer_id: str) -> Decision:
        # One campaign at a time decides about a customer, and nothing they write is missed meanwhile.
        await conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 16))", (customer_id,))
        await conn.execute(
            "select 1 from conversations where customer_id = %s order by thread_id for update", (customer_id,)
        )
        now = self.clock()
        facts = await facts_of(conn, [customer_id], account=campaign.audience.account, campaign=campaign.id, now=now)
        decision = self.law.decide(facts[customer_id], now)
        return Skip(reason="no_channel") if self.staff is None and isinstance(decision, Staff) else decision

    async def _do(self, conn: Connection, campaign: Campaign, row: Row, decision: Decision, name: str) -> str:
        if isinstance(decision, Skip):
            await self._set(conn, row["id"], state="skipped", reason=decision.reason)
            return "skipped"
        if isinstance(decision, Wait):
            await self._set(conn, row["id"], look_at=decision.until, reason=decision.reason)
            return "waiting"
        tried = {"state": "intent", "reason": "", "tries": row["tries"] + 1, "tried_at": self.clock()}
        if isinstance(decision, Staff):
            await self._set(conn, row["id"], channel="template", staff_id=decision.staff_id, **tried)
            return "staff"
        turn_id = _turn_id(campaign, row)
        text = text_for(campaign.text, name=name, company=self.company)
        await self.outbox.tell(conn, decision.thread_id, turn_id, "outreach", text, marks={CAMPAIGN: row["id"]})
        await self._set(conn, row["id"], channel="kf", thread_id=decision.thread_id, turn_id=turn_id, **tried)
        await audit.record(
            conn,
            actor=ACTOR,
            action="outreach.sending",
            thread_id=decision.thread_id,
            subject=campaign.name,
            detail={"channel": "kf", "target": row["id"]},
        )
        return "kf"

    async def _set(self, conn: Connection, target_id: int, **values: object) -> None:
        await campaigns.set_target(conn, target_id, values)


def _turn_id(campaign: Campaign, row: Row) -> str:
    # From the approval and not from our ids: a fresh database must not reuse the keys of messages already sent.
    made_of = f"{campaign.name}:{campaign.approved_hash}:{campaign.approved_at}:{row['customer_id']}:{row['tries']}"
    return "o" + hashlib.sha256(made_of.encode()).hexdigest()[:24]
