"""What people do at the desk, as rows: stored once, decided on at once, with the turn it causes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from psycopg.types.json import Jsonb

from api import audit, desk_rows, desk_tickets, desk_words
from api.database import Connection, Pool, storable
from api.desk_tickets import Standing, Ticket, agent_key
from api.job_queue import DESK_PRIORITY, JobQueue
from api.outbox import DurableOutbox
from graph.context import Texts
from tools.messages import DeskAction, DeskButton, DeskEvent, SendLimits

DeskOutcome = Literal["stored", "answered", "held_back", "refused", "repeated", "stale", "unknown", "too_early"]
"""What became of a person's action.

`stored` waits for its turn, `answered` is done already, and `held_back` wants to be confirmed. `refused`: somebody else
has the ticket. `stale` is a button without effect any more, `unknown` belongs to no conversation, and `too_early` may
belong to something that was posted but not yet recorded as posted.
"""

UNLIMITED = SendLimits(units=1000, window_seconds=float("inf"))

ONE_AT_A_TIME = frozenset({"text", "draft", "send", "confirm", "take", "assign", "give", "snooze", "done", "close"})
"""What only the one who has the ticket may do."""

NOBODY = "0"
"""The target that lets everybody take a ticket."""

RequestEntry = Callable[[Connection, str, str], Awaitable[None]]
"""Asks for an article: connection, ticket, and who wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskAnswer:
    """What became of an action, with the word a press of a button is answered with."""

    outcome: DeskOutcome
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """One action while it is stored."""

    conn: Connection
    event: DeskEvent
    thread_id: str
    inbox_id: int
    ticket: Ticket | None
    now: Standing

    @property
    def open_ticket(self) -> Ticket | None:
        return self.ticket if self.ticket is not None and self.ticket.is_open else None

    @property
    def is_press(self) -> bool:
        return self.event.callback_id is not None


class DeskInbox:
    """Stores what people do; every lock is decided in the transaction that stores the action."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        outbox: DurableOutbox,
        texts: Texts,
        *,
        split: Callable[[str], list[str]] = lambda text: [text],
        limits: SendLimits = UNLIMITED,
        take_minutes: float = 15,
        request_entry: RequestEntry | None = None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._outbox = outbox
        self._texts = texts
        self._split = split
        self._limits = limits
        self._lock_for = timedelta(minutes=take_minutes)
        self._request_entry = request_entry
        self._acts: Mapping[DeskAction, Callable[[_Act], Awaitable[DeskAnswer]]] = {
            "text": self._text,
            "draft": self._draft,
            "send": self._send,
            "confirm": self._confirm,
            "cancel": self._cancel,
            "take": self._take,
            "assign": self._assign,
            "give": self._give,
            "snooze": self._snooze,
            "done": self._end,
            "close": self._end,
            "mute": self._mute,
            "unmute": self._mute,
            "note": self._note,
            "history": self._history,
            "who": self._who,
            "kb": self._turn,
            "entry": self._entry,
            "edited": self._edited,
        }

    async def store(self, event: DeskEvent) -> DeskAnswer:
        """Store an action once and do what it asks for, or refuse it."""
        async with self._pool.connection() as conn, conn.transaction():
            thread_id = await desk_rows.thread_of(conn, event)
            if thread_id is None:
                is_early = event.action != "edited" and await desk_rows.is_posting(conn)
                return DeskAnswer(outcome="too_early" if is_early else "unknown")
            inbox_id = await desk_rows.insert_action(conn, thread_id, event)
            if inbox_id is None:
                return DeskAnswer(outcome="repeated")
            await desk_tickets.remember_agent(conn, event)
            # The conversation first, then the ticket: two people at once come one after the other.
            now = await desk_tickets.standing(conn, thread_id, self._limits)
            ticket = await desk_tickets.ticket_for(conn, thread_id, event, self._lock_for)
            act = _Act(conn=conn, event=event, thread_id=thread_id, inbox_id=inbox_id, ticket=ticket, now=now)
            answer = await self._decide(act)
            if answer.outcome != "stored":
                await conn.execute(
                    "update inbox set handled_at = now(), outcome = %s where id = %s", (answer.outcome, inbox_id)
                )
            await audit.record(
                conn,
                actor=f"desk:{event.agent}",
                action=f"desk.{event.action}",
                ticket_id=ticket.ticket_id if ticket else None,
                thread_id=thread_id,
                subject=event.target or None,
                detail={"outcome": answer.outcome, "inbox_id": inbox_id, "agent_id": event.agent_id},
            )
            return answer

    async def _decide(self, act: _Act) -> DeskAnswer:
        action = act.event.action
        if action in ONE_AT_A_TIME:
            if act.ticket is not None and act.ticket.is_held_against(act.event):
                return await self._refuse(act, act.ticket)
            if act.is_press and act.event.ticket_id is not None and act.open_ticket is None:
                return self._stale()
        return await self._acts[action](act)

    async def _refuse(self, act: _Act, ticket: Ticket) -> DeskAnswer:
        assert ticket.taken_at is not None, "a held ticket says since when"
        word = self._texts.render(
            "desk_held",
            agent=ticket.holder,
            since=desk_words.clock(ticket.taken_at),
            minutes=f"{self._lock_for.total_seconds() / 60:g}",
        )
        if not act.is_press:
            await self._say(act, word)
        return DeskAnswer(outcome="refused", word=word)

    async def _text(self, act: _Act) -> DeskAnswer:
        await self._hold(act)
        parts = len(self._split(act.event.text))
        if parts == 1:
            return await self._turn(act)
        facts = {"parts": str(parts), "left": str(act.now.units_left)}
        if parts > act.now.units_left:
            await self._say(act, self._texts.render("desk_too_long", **facts))
            return DeskAnswer(outcome="answered")
        subject = str(act.inbox_id)
        buttons = (
            DeskButton(action="confirm", label="确认发送", subject=subject),
            DeskButton(action="cancel", label="取消", subject=subject),
        )
        await self._say(act, self._texts.render("desk_parts", **facts), buttons)
        return DeskAnswer(outcome="held_back")

    async def _confirm(self, act: _Act) -> DeskAnswer:
        held = await desk_rows.claim_held(act.conn, act.thread_id, act.event.subject, "confirmed")
        if held is None:
            return self._stale()
        await self._hold(act)
        # The tick belongs to the message that was written, not to the question about it.
        facts = {name: held[name] for name in ("text", "message_id")}
        return await self._turn(act, **facts)

    async def _cancel(self, act: _Act) -> DeskAnswer:
        if await desk_rows.claim_held(act.conn, act.thread_id, act.event.subject, "cancelled") is None:
            return self._stale()
        return DeskAnswer(outcome="answered", word=self._texts.render("desk_cancelled"))

    async def _draft(self, act: _Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None or ticket.is_draft_sent or not ticket.draft:
            return self._stale()
        await desk_tickets.use_draft(act.conn, ticket)
        await self._hold(act)
        return await self._turn(act, text=ticket.draft)

    async def _send(self, act: _Act) -> DeskAnswer:
        text = await desk_rows.claim_offer(act.conn, act.thread_id, act.event.subject, act.event.target)
        if text is None:
            return self._stale()
        await self._hold(act)
        return await self._turn(act, text=text)

    async def _turn(self, act: _Act, **facts: object) -> DeskAnswer:
        if facts:
            await act.conn.execute(
                "update inbox set payload = payload || %s where id = %s", (Jsonb(storable(facts)), act.inbox_id)
            )
        await self._queue.turn(act.conn, act.thread_id, priority=DESK_PRIORITY)
        return DeskAnswer(outcome="stored")

    async def _take(self, act: _Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None:
            return await self._answer(act, "desk_no_ticket")
        if ticket.holder_id:
            await self._hold(act)
            return await self._answer(act, "desk_yours")
        await self._hold(act)
        await self._say(act, self._texts.render("desk_taken", agent=act.event.agent))
        return DeskAnswer(outcome="answered")

    async def _assign(self, act: _Act) -> DeskAnswer:
        ticket = act.open_ticket
        assert ticket is not None, "buttons of closed tickets are stale"
        names = [(row["agent_id"], row["name"]) for row in await desk_tickets.colleagues(act.conn, act.event)]
        buttons = tuple(
            DeskButton(action="give", label=label, subject=ticket.ticket_id, target=target)
            for target, label in [*names, (NOBODY, "放开,谁都可以接手")]
        )
        await self._say(act, self._texts.render("desk_assign"), buttons)
        return DeskAnswer(outcome="answered")

    async def _give(self, act: _Act) -> DeskAnswer:
        ticket, target = act.open_ticket, act.event.target
        assert ticket is not None, "buttons of closed tickets are stale"
        name = await desk_tickets.colleague(act.conn, target)
        if target == NOBODY:
            await desk_tickets.release(act.conn, ticket)
            text = self._texts.render("desk_released", agent=act.event.agent)
        elif name is None:
            return self._stale()
        else:
            await desk_tickets.hold(act.conn, ticket, target, name)
            text = self._texts.render("desk_given", agent=act.event.agent, target=name)
        await self._say(act, text)
        return DeskAnswer(outcome="answered")

    async def _snooze(self, act: _Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None or ticket.is_snoozed:
            return self._stale()
        until = desk_words.clock(await desk_tickets.snooze(act.conn, ticket))
        await self._say(act, self._texts.render("desk_snoozed", agent=act.event.agent, time=until))
        return DeskAnswer(outcome="answered")

    async def _end(self, act: _Act) -> DeskAnswer:
        ticket, named = act.open_ticket, act.event.ticket_id
        is_meant = ticket is not None and named in {None, ticket.ticket_id}
        if ticket is not None and is_meant and not await desk_tickets.mark_ending(act.conn, ticket, act.event.action):
            return await self._answer(act, "desk_stale")
        return await self._turn(act)

    async def _mute(self, act: _Act) -> DeskAnswer:
        is_muting = act.event.action == "mute"
        await desk_tickets.set_muted(act.conn, act.thread_id, act.event.agent if is_muting else None)
        await self._say(act, self._texts.render(f"desk_{act.event.action}d", agent=act.event.agent))
        return DeskAnswer(outcome="answered")

    async def _note(self, act: _Act) -> DeskAnswer:
        return await self._answer(act, "desk_noted")

    async def _history(self, act: _Act) -> DeskAnswer:
        lines = await desk_words.history(act.conn, act.thread_id)
        await self._say(act, self._texts.render("desk_history", lines=lines or "(没有保留的对话)"))
        return DeskAnswer(outcome="answered")

    async def _who(self, act: _Act) -> DeskAnswer:
        await self._say(act, desk_words.who(self._texts, act.open_ticket, act.now))
        return DeskAnswer(outcome="answered")

    async def _entry(self, act: _Act) -> DeskAnswer:
        ticket = act.ticket
        if ticket is None or ticket.wants_entry:
            return self._stale()
        await desk_tickets.want_entry(act.conn, ticket)
        if self._request_entry is not None:
            await self._request_entry(act.conn, ticket.ticket_id, act.event.agent)
        await self._say(act, self._texts.render("desk_entry", agent=act.event.agent))
        return DeskAnswer(outcome="answered")

    async def _edited(self, act: _Act) -> DeskAnswer:
        return await self._answer(act, "desk_edited")

    async def _answer(self, act: _Act, name: str) -> DeskAnswer:
        """Answer one person: a press with a pop-up, anything else with a reply."""
        word = self._texts.render(name)
        if not act.is_press:
            await self._say(act, word)
        return DeskAnswer(outcome="answered", word=word)

    async def _hold(self, act: _Act) -> None:
        ticket = act.open_ticket
        if ticket is not None:
            await desk_tickets.hold(act.conn, ticket, agent_key(act.event), act.event.agent)
            if ticket.is_snoozed or ticket.holder_id != agent_key(act.event):
                # Nothing to show but whose turn it is.
                await self._queue.deliver(act.conn, act.thread_id, "desk")

    async def _say(self, act: _Act, text: str, buttons: tuple[DeskButton, ...] = ()) -> None:
        await self._outbox.note(
            act.conn,
            act.thread_id,
            f"desk-{act.event.update_id}",
            "answer",
            text,
            reply_to=act.event.message_id,
            buttons=buttons,
        )

    def _stale(self) -> DeskAnswer:
        return DeskAnswer(outcome="stale", word=self._texts.render("desk_stale"))
