"""What people do at the desk besides answering: notes, questions, muting, articles wanted."""

from __future__ import annotations

from dataclasses import dataclass

from api.desk import tickets as desk_tickets
from api.desk import words as desk_words
from api.desk.acts import Act, DeskAnswer, DeskVoice, RequestEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskAsides:
    """Does what reaches no customer; everybody may, whoever has the ticket."""

    voice: DeskVoice
    request_entry: RequestEntry | None

    async def mute(self, act: Act) -> DeskAnswer:
        """Tell the bot to be silent, or no longer."""
        is_muting = act.event.action == "mute"
        await desk_tickets.set_muted(act.conn, act.thread_id, act.event.agent if is_muting else None)
        await self.voice.say(act, self.voice.texts.render(f"desk_{act.event.action}d", agent=act.event.agent))
        return DeskAnswer(outcome="answered")

    async def note(self, act: Act) -> DeskAnswer:
        """Keep a note for colleagues."""
        return await self.voice.answer(act, "desk_noted")

    async def history(self, act: Act) -> DeskAnswer:
        """Show the last lines."""
        lines = await desk_words.history(act.conn, act.thread_id)
        await self.voice.say(act, self.voice.texts.render("desk_history", lines=lines or "(没有保留的对话)"))
        return DeskAnswer(outcome="answered")

    async def who(self, act: Act) -> DeskAnswer:
        """Show who has the customer and what may still be sent."""
        await self.voice.say(act, desk_words.who(self.voice.texts, act.open_ticket, act.now))
        return DeskAnswer(outcome="answered")

    async def entry(self, act: Act) -> DeskAnswer:
        """Ask for an article."""
        ticket = act.ticket
        if ticket is None or ticket.wants_entry:
            return self.voice.stale()
        await desk_tickets.want_entry(act.conn, ticket)
        if self.request_entry is not None:
            await self.request_entry(act.conn, ticket.ticket_id, act.event.agent)
        await self.voice.say(act, self.voice.texts.render("desk_entry", agent=act.event.agent))
        return DeskAnswer(outcome="answered")

    async def edited(self, act: Act) -> DeskAnswer:
        """Say that the customer keeps the first version."""
        return await self.voice.answer(act, "desk_edited")
