"""What people do at the desk, as rows: stored once, decided on at once, with the turn it causes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from api import audit
from api.database import Connection, Pool, personal
from api.desk import rows as desk_rows
from api.desk import tickets as desk_tickets
from api.desk import words as desk_words
from api.desk.acts import (
    ASKED_WHOM,
    NOBODY,
    ONE_AT_A_TIME,
    UNLIMITED,
    Act,
    DeskAnswer,
    DeskVoice,
    RequestEntry,
    TakeReview,
)
from api.desk.addressee import Addressee, addressee
from api.desk.asides import DeskAsides
from api.desk.buttons import AT_HAND, button, ticket_buttons
from api.desk.farewell import Move, say_it_left
from api.desk.tickets import Ticket, agent_key
from api.job_queue import DESK_PRIORITY, JobQueue
from api.media import said, sent_in
from api.outbox import DurableOutbox
from graph.context import Texts
from tools.files import FILE_BYTES
from tools.messages import DeskAction, DeskButton, DeskEvent, SendLimits


class DeskInbox:
    """Stores what people do; every lock is decided in the transaction that stores the action."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        outbox: DurableOutbox,
        texts: Texts,
        *,
        split: Callable[[str, str], list[str]] = lambda _, text: [text],
        limits: Callable[[str], SendLimits] = lambda _: UNLIMITED,
        take_minutes: float = 15,
        request_entry: RequestEntry | None = None,
        take_review: TakeReview | None = None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._texts = texts
        self._split = split
        self._limits = limits
        self._lock_for = timedelta(minutes=take_minutes)
        self._voice = DeskVoice(outbox=outbox, texts=texts)
        asides = DeskAsides(voice=self._voice, request_entry=request_entry)
        self._take_review = take_review
        self._acts: Mapping[DeskAction, Callable[[Act], Awaitable[DeskAnswer]]] = {
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
            "transfer": self._transfer,
            "mute": asides.mute,
            "unmute": asides.mute,
            "note": asides.note,
            "history": asides.history,
            "who": asides.who,
            "kb": self._turn,
            "entry": asides.entry,
            "edited": asides.edited,
        }

    async def store(self, event: DeskEvent) -> DeskAnswer:
        """Store an action once and do what it asks for, or refuse it."""
        async with self._pool.connection() as conn, conn.transaction():
            meant = await self._meant(conn, event)
            thread_id = meant.thread_id if meant else await desk_rows.thread_of(conn, event)
            if thread_id is None and await desk_rows.is_known(conn, event):
                return DeskAnswer(outcome="repeated")
            if thread_id is None:
                can_be_early = event.action != "edited" and event.place.desk == "telegram"
                is_early = can_be_early and await desk_rows.is_posting(conn)
                return DeskAnswer(outcome="too_early" if is_early else "unknown")
            inbox_id = await desk_rows.insert_action(conn, thread_id, event)
            if inbox_id is None:
                return DeskAnswer(outcome="repeated")
            await desk_tickets.remember_agent(conn, event)
            # The conversation first, then the ticket: two people at once come one after the other.
            now = await desk_tickets.standing(conn, thread_id, self._limits(thread_id))
            ticket = await desk_tickets.ticket_for(conn, thread_id, event, self._lock_for)
            act = Act(
                conn=conn,
                event=event,
                thread_id=thread_id,
                inbox_id=inbox_id,
                ticket=ticket,
                now=now,
                choices=meant.choices if meant else (),
            )
            answer = await self._decide(act)
            if event.action in ONE_AT_A_TIME and answer.outcome in {"stored", "answered", "held_back"}:
                await self._come(act)
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

    async def _come(self, act: Act) -> None:
        desk = act.event.place.desk
        if (left := await desk_rows.come_to(act.conn, act.thread_id, act.event.place)) is not None:
            move = Move(thread_id=act.thread_id, occasion=act.event.key, left=left, to=desk)
            await say_it_left(act.conn, self._voice.outbox, self._texts, move)

    async def _meant(self, conn: Connection, event: DeskEvent) -> Addressee | None:
        """Tell whom an action is about that neither its place nor a button names."""
        if event.place.desk == "telegram" or event.ticket_id or event.subject:
            return None
        return await addressee(conn, event)

    async def _decide(self, act: Act) -> DeskAnswer:
        action = act.event.action
        review = await self._take_review(act.conn, act.thread_id, act.event) if self._take_review else None
        if review is not None:
            return review
        if action not in self._acts:
            return self._voice.stale()
        if len(act.choices) > 1 and action in ASKED_WHOM:
            return await self._ask_whom(act)
        if action in ONE_AT_A_TIME:
            if act.ticket is not None and act.ticket.is_held_against(act.event):
                return await self._refuse(act, act.ticket)
            if act.is_press and act.event.ticket_id is not None and act.open_ticket is None:
                return self._voice.stale()
        return await self._acts[action](act)

    async def _refuse(self, act: Act, ticket: Ticket) -> DeskAnswer:
        assert ticket.taken_at is not None, "a held ticket says since when"
        word = self._texts.render(
            "desk_held",
            agent=ticket.holder,
            since=desk_words.clock(ticket.taken_at),
            minutes=f"{self._lock_for.total_seconds() / 60:g}",
        )
        if not act.is_press:
            await self._voice.say(act, word)
        return DeskAnswer(outcome="refused", word=word)

    async def _text(self, act: Act) -> DeskAnswer:
        await self._hold(act)
        file, parts = act.event.media, self._units(act, act.event.text, has_file=act.event.media is not None)
        if file is not None and (file.size or 0) > FILE_BYTES:
            megabytes = str(FILE_BYTES // 2**20)
            await self._voice.say(act, self._texts.render("desk_file_too_large", megabytes=megabytes))
            return DeskAnswer(outcome="answered")
        if parts == 1:
            return await self._turn(act)
        if parts > act.now.units_left:
            return await self._refuse_length(act, parts, has_file=file is not None)
        if file is not None and parts == 2:
            # A file and what belongs to it, as it was written.
            return await self._turn(act)
        subject = str(act.inbox_id)
        buttons = (button(self._texts, "confirm", subject), button(self._texts, "cancel", subject))
        facts = {"parts": str(parts), "left": str(act.now.units_left)}
        await self._voice.say(act, self._texts.render("desk_parts", **facts), buttons)
        return DeskAnswer(outcome="held_back")

    def _units(self, act: Act, text: str, *, has_file: bool) -> int:
        """Count the messages that something takes: the file, and what was written with it."""
        return has_file + len(self._split(act.thread_id, text) if text else ())

    async def _refuse_length(self, act: Act, parts: int, *, has_file: bool) -> DeskAnswer:
        name = "desk_file_no_room" if has_file else "desk_too_long"
        await self._voice.say(act, self._texts.render(name, parts=str(parts), left=str(act.now.units_left)))
        return DeskAnswer(outcome="answered")

    async def _ask_whom(self, act: Act) -> DeskAnswer:
        """Hold back what could be for somebody else; one press says for whom, and does it."""
        action, held = act.event.action, str(act.inbox_id)
        buttons = tuple(
            DeskButton(action="confirm", label=choice.name, subject=choice.ticket_id, target=held)
            if action == "text"
            else DeskButton(action=action, label=choice.name, subject=choice.ticket_id)
            for choice in act.choices
        )
        text = self._texts.render("desk_which", text=said(act.event) or f"/{action}")
        await self._voice.say(act, text, buttons, kind="choice")
        return DeskAnswer(outcome="held_back" if action == "text" else "answered")

    async def _chosen(self, act: Act) -> DeskAnswer:
        held = await desk_rows.claim_held_of(act.conn, act.event.agent_id, act.event.target)
        if held is None:
            return self._voice.stale()
        await self._hold(act)
        parts = self._units(act, held["text"], has_file="media" in held)
        if parts > act.now.units_left:
            return await self._refuse_length(act, parts, has_file="media" in held)
        return await self._turn(act, **sent_in(held))

    async def _confirm(self, act: Act) -> DeskAnswer:
        if act.event.target:
            return await self._chosen(act)
        held = await desk_rows.claim_held(act.conn, act.thread_id, act.event.subject, "confirmed")
        if held is None:
            return self._voice.stale()
        await self._hold(act)
        # The tick belongs to the message that was written, not to the question about it.
        return await self._turn(act, **sent_in(held))

    async def _cancel(self, act: Act) -> DeskAnswer:
        if await desk_rows.claim_held(act.conn, act.thread_id, act.event.subject, "cancelled") is None:
            return self._voice.stale()
        return DeskAnswer(outcome="answered", word=self._texts.render("desk_cancelled"))

    async def _draft(self, act: Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None or ticket.is_draft_sent or not ticket.draft:
            return self._voice.stale()
        await desk_tickets.use_draft(act.conn, ticket)
        await self._hold(act)
        return await self._turn(act, text=ticket.draft)

    async def _send(self, act: Act) -> DeskAnswer:
        text = await desk_rows.claim_offer(act.conn, act.thread_id, act.event.subject, act.event.target)
        if text is None:
            return self._voice.stale()
        await self._hold(act)
        return await self._turn(act, text=text)

    async def _turn(self, act: Act, **facts: object) -> DeskAnswer:
        if facts:
            await act.conn.execute(
                "update inbox set payload = payload || %s where id = %s", (personal(facts), act.inbox_id)
            )
        await self._queue.turn(act.conn, act.thread_id, priority=DESK_PRIORITY)
        return DeskAnswer(outcome="stored")

    async def _take(self, act: Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None:
            return await self._voice.answer(act, "desk_no_ticket")
        if ticket.holder_id:
            await self._hold(act)
            return await self._voice.answer(act, "desk_yours")
        await self._hold(act)
        shown = () if act.event.place.desk == "telegram" else AT_HAND
        has_draft = bool(ticket.draft) and not ticket.is_draft_sent
        buttons = ticket_buttons(self._texts, shown, ticket.ticket_id, has_draft=has_draft)
        await self._voice.say(act, self._texts.render("desk_taken", agent=act.event.agent), buttons)
        return DeskAnswer(outcome="answered")

    async def _assign(self, act: Act) -> DeskAnswer:
        ticket = act.open_ticket
        assert ticket is not None, "buttons of closed tickets are stale"
        names = [(row["agent_id"], row["name"]) for row in await desk_tickets.colleagues(act.conn, act.event)]
        buttons = tuple(
            DeskButton(action="give", label=label, subject=ticket.ticket_id, target=target)
            for target, label in [*names, (NOBODY, self._texts.render("desk_anyone"))]
        )
        await self._voice.say(act, self._texts.render("desk_assign"), buttons)
        return DeskAnswer(outcome="answered")

    async def _give(self, act: Act) -> DeskAnswer:
        ticket, target = act.open_ticket, act.event.target
        assert ticket is not None, "buttons of closed tickets are stale"
        name = await desk_tickets.colleague(act.conn, target)
        if target == NOBODY:
            await desk_tickets.release(act.conn, ticket)
            text = self._texts.render("desk_released", agent=act.event.agent)
        elif name is None:
            return self._voice.stale()
        else:
            await desk_tickets.hold(act.conn, ticket, target, name)
            text = self._texts.render("desk_given", agent=act.event.agent, target=name)
        await self._voice.say(act, text)
        return DeskAnswer(outcome="answered")

    async def _snooze(self, act: Act) -> DeskAnswer:
        ticket = act.open_ticket
        if ticket is None or ticket.is_snoozed:
            return self._voice.stale()
        until = desk_words.clock(await desk_tickets.snooze(act.conn, ticket))
        await self._voice.say(act, self._texts.render("desk_snoozed", agent=act.event.agent, time=until))
        return DeskAnswer(outcome="answered")

    async def _end(self, act: Act) -> DeskAnswer:
        ticket, named = act.open_ticket, act.event.ticket_id
        is_meant = ticket is not None and named in {None, ticket.ticket_id}
        if ticket is not None and is_meant and not await desk_tickets.mark_ending(act.conn, ticket, act.event.action):
            return await self._voice.answer(act, "desk_stale")
        return await self._turn(act)

    async def _transfer(self, act: Act) -> DeskAnswer:
        await self._hold(act)
        return await self._turn(act)

    async def _hold(self, act: Act) -> None:
        ticket = act.open_ticket
        if ticket is not None:
            await desk_tickets.hold(act.conn, ticket, agent_key(act.event), act.event.agent)
            if ticket.is_snoozed or ticket.holder_id != agent_key(act.event):
                # Nothing to show but whose turn it is.
                await self._queue.deliver(act.conn, act.thread_id, "desk")
