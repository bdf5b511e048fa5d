"""Messages that a member of staff confirms: one call a campaign and member, and never one too many.

WeCom takes no key for them. The row of a call is written before the call, with the customers in it; a call whose
outcome nobody knows is looked for in WeCom's list; where it is not found, a person decides (`kefu outreach resolve`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api import audit
from api.database import Connection, Pool, Row
from api.outreach.campaigns import Campaign
from api.outreach.errors import OutreachError
from api.outreach.facts import facts_of
from api.outreach.law import Facts, Law, Skip, Staff, Wait
from api.outreach.words import text_for_staff
from tools.errors import BadRequestError, ChannelError, ChannelSetupError, ChannelUnavailableError, RateLimitedError
from tools.wecom.outreach import CUSTOMERS_AT_MOST, NOBODY_TO_SEND_TO, CreatedTask, StaffMessages

logger = logging.getLogger(__name__)

ACTOR = "bot"

RETRY = timedelta(minutes=10)
"""Until a call that certainly made nothing is made again."""

FIRST_LOOK = timedelta(minutes=1)

HELD = """
select 1 from outreach_campaigns where id = %s and state = 'approved' and approved_hash = %s for update
"""
NEXT_STAFF = """
select staff_id from outreach_targets where campaign_id = %s and state = 'intent' and channel = 'template'
    and task_id is null order by staff_id limit 1
"""
RESERVED = """
select id, customer_id from outreach_targets where campaign_id = %s and staff_id = %s and state = 'intent'
    and channel = 'template' and task_id is null order by id limit %s for update
"""
RELEASE = """
update outreach_targets t set state = r.state, reason = r.reason, look_at = r.look_at, staff_id = null, channel = null,
    tried_at = null
from unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[]) as r (id, state, reason, look_at)
where t.id = r.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """A call about to be made; its row says so."""

    id: int
    staff_id: str
    text: str
    customers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffTasks:
    """Makes the calls."""

    pool: Pool
    messages: StaffMessages
    law: Law
    company: str
    clock: Callable[[], datetime]

    async def call_all(self, campaign: Campaign) -> int:
        """Ask every member for whom customers are reserved; return how many calls were made."""
        calls = 0
        while (staff_id := await self._next_staff(campaign)) is not None:
            try:
                # Without a token nothing can be asked, and that is no call whose outcome is unknown.
                await self.messages.check_access()
            except ChannelError as error:
                extra = {"action": "outreach_no_access", "campaign": campaign.name, "error": str(error)}
                logger.warning("Staff cannot be asked now", extra=extra)
                break
            task = await self.open(campaign, staff_id)
            if task is None:
                break
            if task.customers:
                await self.call(task)
                calls += 1
        return calls

    async def _next_staff(self, campaign: Campaign) -> str | None:
        async with self.pool.connection() as conn:
            row = await (await conn.execute(NEXT_STAFF.encode(), (campaign.id,))).fetchone()
        return row["staff_id"] if row else None

    async def open(self, campaign: Campaign, staff_id: str) -> OpenTask | None:
        """Write down a call to one member, after a last look at every customer in it; None when it may not be made."""
        async with self.pool.connection() as conn, conn.transaction():
            # Whoever cancels takes this row too; other workers wait and find nobody left.
            cursor = await conn.execute(HELD.encode(), (campaign.id, campaign.approved_hash))
            is_held = await cursor.fetchone() is not None
            now = self.clock()
            if not is_held or self.law.quiet.is_quiet(now) or not campaign.is_due(now):
                return None
            text = text_for_staff(campaign.text, company=self.company)
            values = (campaign.id, staff_id, CUSTOMERS_AT_MOST)
            rows = await (await conn.execute(RESERVED.encode(), values)).fetchall()
            kept = await self._still_willing(conn, campaign, staff_id, rows, now)
            if not kept:
                return OpenTask(id=0, staff_id=staff_id, text=text, customers=())
            return await self._write(conn, campaign, staff_id=staff_id, text=text, rows=kept, now=now)

    async def _still_willing(
        self, conn: Connection, campaign: Campaign, staff_id: str, rows: Sequence[Row], now: datetime
    ) -> list[Row]:
        """Let go whoever may not be written to any more, or may be by another way; return the others."""
        known = await facts_of(
            conn,
            [row["customer_id"] for row in rows],
            account=campaign.audience.account,
            campaign=campaign.id,
            now=now,
        )
        kept, gone = [], []
        for row in rows:
            state, reason, look_at = self._judged(known[row["customer_id"]], staff_id, now)
            if state == "intent":
                kept.append(row)
            else:
                gone.append((row["id"], state, reason, look_at))
        if gone:
            await conn.execute(RELEASE.encode(), [list(column) for column in zip(*gone, strict=True)])
        return kept

    def _judged(self, facts: Facts, staff_id: str, now: datetime) -> tuple[str, str, datetime | None]:
        decision = self.law.decide(facts, now)
        if isinstance(decision, Skip):
            return "skipped", decision.reason, None
        if isinstance(decision, Wait):
            return "planned", decision.reason, decision.until
        return ("intent" if decision == Staff(staff_id=staff_id) else "planned"), "", None

    async def _write(
        self, conn: Connection, campaign: Campaign, *, staff_id: str, text: str, rows: Sequence[Row], now: datetime
    ) -> OpenTask:
        cursor = await conn.execute(
            "insert into outreach_tasks (campaign_id, staff_id, text, called_at) values (%s, %s, %s, %s) returning id",
            (campaign.id, staff_id, text, now),
        )
        made = await cursor.fetchone()
        assert made is not None, "an insert returns its row"
        await conn.execute(
            "update outreach_targets set task_id = %s, tried_at = %s where id = any(%s)",
            (made["id"], now, [row["id"] for row in rows]),
        )
        detail = {"channel": "template", "task": made["id"], "staff": staff_id, "customers": len(rows)}
        await audit.record(conn, actor=ACTOR, action="outreach.sending", subject=campaign.name, detail=detail)
        customers = tuple(row["customer_id"] for row in rows)
        return OpenTask(id=made["id"], staff_id=staff_id, text=text, customers=customers)

    async def call(self, task: OpenTask) -> None:
        """Make the call and record what came of it."""
        try:
            created = await self.messages.create(staff_id=task.staff_id, customers=task.customers, text=task.text)
        except (RateLimitedError, ChannelSetupError) as error:
            # Refused for certain, and for now.
            await self._fail(task.id, error, state="planned", look_at=self.clock() + RETRY)
        except ChannelUnavailableError as error:
            await self._doubt(task.id, error)
        except BadRequestError as error:
            nobody = error.code == NOBODY_TO_SEND_TO
            await self._fail(task.id, error, state="skipped" if nobody else "failed")
        else:
            await adopt(self.pool, task.id, created, look_at=self.clock() + FIRST_LOOK)

    async def _fail(self, task_id: int, error: ChannelError, *, state: str, look_at: datetime | None = None) -> None:
        extra = {"action": "outreach_task_failed", "task": task_id, "code": error.code}
        logger.warning("Staff could not be asked", extra=extra)
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute(
                "update outreach_tasks set state = 'failed', error = %s, look_at = null where id = %s",
                (str(error)[:300], task_id),
            )
            await release(conn, task_id, state=state, reason=_reason(error, state), look_at=look_at)

    async def _doubt(self, task_id: int, error: ChannelError) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            await doubt(conn, task_id, str(error), look_at=self.clock() + FIRST_LOOK)


async def doubt(conn: Connection, task_id: int, words: str, *, look_at: datetime) -> None:
    """Record that nobody knows whether a call arrived."""
    logger.warning("Open whether staff were asked", extra={"action": "outreach_task_unknown", "task": task_id})
    await conn.execute(
        "update outreach_tasks set state = 'unknown', error = %s, look_at = %s where id = %s and state = 'calling'",
        (words[:300], look_at, task_id),
    )
    await conn.execute(
        "update outreach_targets set state = 'unknown', reason = 'no_answer' where task_id = %s and state = 'intent'",
        (task_id,),
    )


async def adopt(
    pool: Pool, task_id: int, created: CreatedTask, *, look_at: datetime, by: str = "", actor: str = ACTOR
) -> bool:
    """Record that a call made a task at WeCom; False when it was settled otherwise meanwhile."""
    async with pool.connection() as conn, conn.transaction():
        cursor = await conn.execute(
            "update outreach_tasks set state = 'created', msgid = %s, look_at = %s, error = '', resolved_by = %s"
            " where id = %s and state in ('calling', 'unknown') returning campaign_id",
            (created.msgid, look_at, by, task_id),
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        await conn.execute(
            "update outreach_targets set reason = '', state = 'staff_pending'"
            " where task_id = %s and state in ('intent', 'unknown')",
            (task_id,),
        )
        await conn.execute(
            "update outreach_targets set reason = 'refused', state = 'failed'"
            " where task_id = %s and state = 'staff_pending' and customer_id = any(%s)",
            (task_id, list(created.refused)),
        )
        detail = {"refused": len(created.refused), "by": by}
        await audit.record(conn, actor=actor, action="outreach.asked_staff", subject=f"task {task_id}", detail=detail)
    return True


async def release(conn: Connection, task_id: int, *, state: str, reason: str, look_at: datetime | None = None) -> None:
    """Take the customers out of a call that made nothing."""
    await conn.execute(
        "update outreach_targets set state = %s, reason = %s, look_at = %s,"
        " task_id = case when %s = 'planned' then null else task_id end,"
        " tried_at = case when %s <> 'planned' then tried_at end"
        " where task_id = %s and state in ('intent', 'unknown')",
        (state, reason, look_at, state, state, task_id),
    )


async def resolve(pool: Pool, task_id: int, *, msgid: str, by: str, actor: str, now: datetime) -> None:
    """Settle by hand whether WeCom made a task: `msgid` says which one, without one it made none.

    Raises:
        OutreachError: there is nothing to settle.
    """
    if not by.strip():
        raise OutreachError("who looked? say --by NAME")
    async with pool.connection() as conn:
        cursor = await conn.execute("select state from outreach_tasks where id = %s", (task_id,))
        row = await cursor.fetchone()
        taken = await (await conn.execute("select id from outreach_tasks where msgid = %s", (msgid,))).fetchone()
    if row is None or row["state"] != "unknown":
        what = "there is none of this number" if row is None else f"it is {row['state']}"
        raise OutreachError(f"task {task_id}: nothing to settle, {what}; see `kefu outreach report`")
    if taken is not None:
        raise OutreachError(f"task {task_id}: {msgid} is task {taken['id']} already")
    if msgid:
        await adopt(pool, task_id, CreatedTask(msgid=msgid, refused=()), look_at=now, by=by.strip(), actor=actor)
        return
    async with pool.connection() as conn, conn.transaction():
        await conn.execute(
            "update outreach_tasks set state = 'failed', look_at = null, resolved_by = %s where id = %s"
            " and state = 'unknown'",
            (by.strip(), task_id),
        )
        await release(conn, task_id, state="planned", reason="")
        # Its campaign may have been done but for these.
        await conn.execute(
            "update outreach_campaigns set state = 'approved', finished_at = null where state = 'done'"
            " and id = (select campaign_id from outreach_tasks where id = %s)",
            (task_id,),
        )
        await audit.record(
            conn, actor=actor, action="outreach.not_asked", subject=f"task {task_id}", detail={"by": by.strip()}
        )


def _reason(error: ChannelError, state: str) -> str:
    return "nobody_to_send_to" if state == "skipped" else str(error)[:300]
