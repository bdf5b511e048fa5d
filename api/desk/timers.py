"""Nothing waits for ever: what time does to a ticket that nobody answers.

A wait begins when the ticket opens, and again with the first thing a customer asks after a person's answer. The desks
are reminded of it one after the other, the customer is told honestly, and in the mode `resume` the bot takes over.
Each step is written together with what it says, under the ticket's row lock: two workers, or one that dies, do it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString, Protocol

from api import audit
from api.database import Connection, Pool, Row, personal
from api.desk import tickets as desk_tickets
from api.job_queue import JobQueue
from api.outbox import DurableOutbox
from api.settings import HandoffSettings
from graph.context import Texts
from tools.office_hours import OfficeHours, Reception

logger = logging.getLogger(__name__)

ACTOR = "kefu"

# What a person did last is the ticket's opening where nobody did anything. Beside a person the bot may answer, and a
# question it answered waits for nobody.
TICKETS: LiteralString = """
select t.ticket_id, t.thread_id, t.opened_at, t.taken_by, t.taken_name, t.reminders, t.reminded_at, t.told_at,
    t.resumed_at, c.session_state, c.muted_at is not null as is_muted,
    greatest(t.answered_at, s.spoke_at) as answered_at,
    greatest(t.opened_at, t.answered_at, t.acted_at, s.spoke_at) as acted_at,
    coalesce(w.lines, '{}') as lines, coalesce(w.times, '{}') as times
from tickets t
join conversations c using (thread_id)
left join lateral (
    select max(received_at) as spoke_at from inbox
    where thread_id = t.thread_id and origin = 'staff' and received_at > t.opened_at
) s on true
left join lateral (
    select array_agg(i.payload ->> 'text' order by i.id) as lines, array_agg(i.received_at order by i.id) as times
    from inbox i
    where i.thread_id = t.thread_id and i.origin = 'customer' and i.received_at > greatest(t.answered_at, s.spoke_at)
        and i.outcome is distinct from 'recalled' and i.outcome is distinct from 'history'
        and not exists (select 1 from outbox o where o.thread_id = i.thread_id and o.turn_id = i.turn_id
            and o.destination = 'customer' and o.part = 'answer.0')
) w on true
where t.closed_at is null and t.opened_at <= %(latest)s and coalesce(t.snoozed_until <= %(now)s, true)
"""
LOCKED: LiteralString = TICKETS + " and t.ticket_id = %(ticket)s for update of t skip locked"

# The conversation's turns are in line: whoever wrote before this row has been heard when it is handled.
TAKE_OVER: LiteralString = """
update tickets t set ended_by = 'resume' where t.ticket_id = %(ticket)s and (t.ended_by = 'resume' or (
    t.closed_at is null and greatest(t.opened_at, t.answered_at, t.acted_at, (
        select max(received_at) from inbox where thread_id = t.thread_id and origin = 'staff'
    )) <= %(acted_at)s::timestamptz
)) returning 1
"""


class DeskLine(Protocol):
    """One of the desks: says something there within the caller's transaction, once a key."""

    async def note(self, conn: Connection, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell this desk something about a conversation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket:
    """A ticket and what happened to it."""

    ticket_id: str
    thread_id: str
    taken_name: str
    """Who has it; empty when nobody does."""
    acted_at: datetime
    """What a person did last: answered, took it, put it off; its opening where nobody did anything."""
    waiting_since: datetime | None
    """Since when the customer waits for an answer; None when they have one."""
    can_write: bool
    """Whether the bot may write to the customer: nobody told it to be silent, nobody has the session in the channel."""
    is_with_staff: bool
    """Somebody answers in the channel's own client."""
    reminders: int
    reminded_at: datetime | None
    told_at: datetime | None
    resumed_at: datetime | None

    @property
    def idle_since(self) -> datetime:
        """Since when neither the customer has an answer nor anybody did anything about it."""
        return max(self.waiting_since or self.acted_at, self.acted_at)

    @property
    def alone_since(self) -> datetime:
        """Since when nobody did anything about it, the bot included: a take-over that failed is tried again."""
        return max(self.acted_at, self.resumed_at or self.acted_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    """Remind a desk."""

    desk: int
    """Which one, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell the customer that nobody is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Let the bot take over."""


Step = Remind | Tell | Resume


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done when."""

    remind: timedelta
    tell: timedelta
    resume: timedelta | None
    """None: the bot never takes over by itself."""
    hours: OfficeHours
    desks: int = 1
    """How many desks there are to remind, one after the other."""

    def due(self, ticket: OpenTicket, now: datetime) -> list[Step]:
        """Tell what is to be done about a ticket now; a bot that takes over leaves nothing else to say."""
        if ticket.is_with_staff:
            return []
        if self.resume is not None and ticket.can_write and now >= ticket.alone_since + self.resume:
            return [Resume()]
        if ticket.alone_since > ticket.acted_at:
            # The turn in which the bot takes over waits in line.
            return []
        steps: list[Step] = []
        if (reminder := self._reminder(ticket, now)) is not None:
            steps.append(reminder)
        since = ticket.waiting_since
        is_told = ticket.told_at is not None and since is not None and ticket.told_at >= since
        if since is not None and ticket.can_write and not is_told and now >= since + self.tell:
            steps.append(Tell())
        return steps

    def _reminder(self, ticket: OpenTicket, now: datetime) -> Remind | None:
        # Outside office hours nobody reads it: it comes when people are back.
        if ticket.waiting_since is None or not self.hours.is_open(now):
            return None
        first = ticket.idle_since + self.remind
        is_same_wait = ticket.reminded_at is not None and ticket.reminded_at >= first
        given = ticket.reminders if is_same_wait else 0
        return Remind(desk=given) if given < self.desks and now >= first + given * self.remind else None


class HandoffTimers:
    """Looks at all open tickets and does what is due."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        outbox: DurableOutbox,
        texts: Texts,
        settings: HandoffSettings,
        *,
        other_desks: Sequence[DeskLine] = (),
        take_minutes: float = 15,
        texts_of: Callable[[str], Texts] | None = None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._outbox = outbox
        self._texts = texts
        self._texts_of = texts_of or (lambda _: texts)
        self._desks: tuple[DeskLine, ...] = (outbox, *other_desks)
        self._lock_for = timedelta(minutes=take_minutes)
        does_resume = settings.kefu_handoff_mode == "resume"
        self._plan = Plan(
            remind=timedelta(minutes=settings.kefu_handoff_remind_minutes),
            tell=timedelta(minutes=settings.kefu_handoff_tell_minutes),
            resume=timedelta(minutes=settings.kefu_handoff_resume_minutes) if does_resume else None,
            hours=settings.hours,
            desks=len(self._desks),
        )

    async def run(self, now: datetime) -> int:
        """Do what is due now; return how many steps that were."""
        plan = self._plan
        soonest = min(plan.remind, plan.tell, plan.resume or plan.remind)
        async with self._pool.connection() as conn, conn.transaction():
            for thread_id in await desk_tickets.let_lapse(conn, self._lock_for, now):
                # Nothing to show but that anybody may take it now.
                await self._queue.deliver(conn, thread_id, "desk")
        async with self._pool.connection() as conn:
            cursor = await conn.execute(TICKETS, {"now": now, "latest": now - soonest})
            tickets = [self._ticket(row) for row in await cursor.fetchall()]
        done = 0
        for ticket in tickets:
            if plan.due(ticket, now):
                done += await self._act(ticket.ticket_id, now)
        return done

    async def may_take_over(self, ticket_id: str, acted_at: str) -> bool:
        """Record that the bot takes over a ticket, unless somebody did anything about it since."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(TAKE_OVER, {"ticket": ticket_id, "acted_at": acted_at})
            return await cursor.fetchone() is not None

    async def _act(self, ticket_id: str, now: datetime) -> int:
        """Look again at a ticket, now locked, and do what is still due."""
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(LOCKED, {"now": now, "latest": now, "ticket": ticket_id})
            row = await cursor.fetchone()
            if row is None:
                return 0
            ticket = self._ticket(row)
            steps = self._plan.due(ticket, now)
            for step in steps:
                if isinstance(step, Remind):
                    await self._remind(conn, ticket, step, now)
                elif isinstance(step, Tell):
                    await self._tell(conn, ticket, now)
                else:
                    await self._resume(conn, ticket, now)
        return len(steps)

    async def _remind(self, conn: Connection, ticket: OpenTicket, step: Remind, now: datetime) -> None:
        minutes = _minutes(ticket, now)
        values = {"agent": ticket.taken_name, "minutes": minutes} if ticket.taken_name else {"minutes": minutes}
        text = self._texts.render("desk_reminder_taken" if ticket.taken_name else "desk_reminder", **values)
        key = _key(ticket, ticket.idle_since)
        await self._desks[step.desk].note(conn, ticket.thread_id, key, f"reminder{step.desk}", text)
        await conn.execute(
            "update tickets set reminders = %s, reminded_at = %s where ticket_id = %s",
            (step.desk + 1, now, ticket.ticket_id),
        )
        await self._record(conn, ticket, "ticket.reminded", minutes=minutes, desk=step.desk)

    async def _tell(self, conn: Connection, ticket: OpenTicket, now: datetime) -> None:
        back = Reception(self._plan.hours, clock=lambda: now).back_at()
        texts = self._texts_of(ticket.thread_id)
        text = texts.render("still_waiting_closed", back=back) if back else texts.render("still_waiting")
        minutes, key = _minutes(ticket, now), _key(ticket, ticket.waiting_since or ticket.acted_at)
        await self._outbox.tell(conn, ticket.thread_id, key, "still_waiting", text)
        note = self._texts.render("desk_told", minutes=minutes, text=text)
        await self._outbox.note(conn, ticket.thread_id, key, "told", note)
        await conn.execute("update tickets set told_at = %s where ticket_id = %s", (now, ticket.ticket_id))
        await self._record(conn, ticket, "ticket.told", minutes=minutes)

    async def _resume(self, conn: Connection, ticket: OpenTicket, now: datetime) -> None:
        """Add the turn in which the bot takes over; a customer who waits for nothing is told nothing."""
        minutes = _minutes(ticket, now)
        payload = {
            "ticket_id": ticket.ticket_id,
            "acted_at": ticket.acted_at.isoformat(),
            "text": "" if ticket.waiting_since is None else self._texts_of(ticket.thread_id).render("resumed"),
            "note": self._texts.render("desk_resumed", minutes=minutes),
        }
        await conn.execute(
            "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at)"
            " values (%s, 'timer', 'timer', %s, 'resume', %s, %s) on conflict do nothing",
            (ticket.thread_id, f"resume-{_key(ticket, ticket.alone_since)}", personal(payload), now),
        )
        await self._queue.turn(conn, ticket.thread_id)
        await conn.execute("update tickets set resumed_at = %s where ticket_id = %s", (now, ticket.ticket_id))
        await self._record(conn, ticket, "ticket.resumed", minutes=minutes)

    async def _record(self, conn: Connection, ticket: OpenTicket, action: str, **detail: object) -> None:
        await audit.record(
            conn, actor=ACTOR, action=action, ticket_id=ticket.ticket_id, thread_id=ticket.thread_id, detail=detail
        )
        logger.info("Nobody answered", extra={"action": action, "ticket_id": ticket.ticket_id})

    def _ticket(self, row: Row) -> OpenTicket:
        answered_at: datetime | None = row["answered_at"]
        return OpenTicket(
            ticket_id=row["ticket_id"],
            thread_id=row["thread_id"],
            taken_name=row["taken_name"] if row["taken_by"] else "",
            acted_at=row["acted_at"],
            waiting_since=row["opened_at"] if answered_at is None else self._asked_at(row),
            can_write=not row["is_muted"] and row["session_state"] not in {"queued", "staff"},
            is_with_staff=row["session_state"] == "staff",
            reminders=row["reminders"],
            reminded_at=row["reminded_at"],
            told_at=row["told_at"],
            resumed_at=row["resumed_at"],
        )

    def _asked_at(self, row: Row) -> datetime | None:
        """Return when the customer asked on; thanks are no question."""
        said = zip(row["lines"], row["times"], strict=True)
        return next((at for text, at in said if self._texts.small_talk_reply(text or "") is None), None)


def _minutes(ticket: OpenTicket, now: datetime) -> str:
    return str(int((now - (ticket.waiting_since or ticket.acted_at)) / timedelta(minutes=1)))


def _key(ticket: OpenTicket, since: datetime) -> str:
    """Name a step by what it follows from: the same step has the same name, whoever does it."""
    return f"{ticket.ticket_id}@{since.timestamp()}"
