"""An action at the desk while it is stored, and how the person is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from api.database import Connection
from api.desk.addressee import Choice
from api.desk.tickets import Standing, Ticket
from api.outbox import DurableOutbox, answer_to
from graph.context import Texts
from tools.messages import DeskButton, DeskEvent, SendLimits

DeskOutcome = Literal["stored", "answered", "held_back", "refused", "repeated", "stale", "unknown", "too_early"]
"""What became of a person's action.

`stored` waits for its turn, `answered` is done already, and `held_back` wants to be confirmed. `refused`: somebody else
has the ticket. `stale` is a button without effect any more, `unknown` belongs to no conversation, and `too_early` may
belong to something that was posted but not yet recorded as posted.
"""

UNLIMITED = SendLimits(units=1000, window_seconds=float("inf"))

ONE_AT_A_TIME = frozenset(
    {"text", "draft", "send", "confirm", "take", "assign", "give", "snooze", "done", "close", "transfer"}
)
"""What only the one who has the ticket may do."""

ASKED_WHOM = frozenset({"text", "take", "done", "close", "transfer"})
"""What must not reach the wrong customer."""

NOBODY = "0"
"""The target that lets everybody take a ticket."""

RequestEntry = Callable[[Connection, str, str], Awaitable[None]]
"""Asks for an article: connection, ticket, and who wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskAnswer:
    """What became of an action, with the word a press of a button is answered with."""

    outcome: DeskOutcome
    word: str = ""


TakeReview = Callable[[Connection, str, DeskEvent], Awaitable[DeskAnswer | None]]
"""Does what an action says about a draft: connection, conversation, action; None when it is about none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One action while it is stored."""

    conn: Connection
    event: DeskEvent
    thread_id: str
    inbox_id: int
    ticket: Ticket | None
    now: Standing
    choices: tuple[Choice, ...] = ()
    """The customers who may be meant."""

    @property
    def open_ticket(self) -> Ticket | None:
        """The ticket, unless it is closed."""
        return self.ticket if self.ticket is not None and self.ticket.is_open else None

    @property
    def is_press(self) -> bool:
        """Whether a button was pressed."""
        return self.event.callback_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskVoice:
    """Answers people at the desk, in rows."""

    outbox: DurableOutbox
    texts: Texts

    async def say(
        self,
        act: Act,
        text: str,
        buttons: tuple[DeskButton, ...] = (),
        *,
        kind: Literal["notice", "choice"] = "notice",
    ) -> None:
        """Say something under what the person did."""
        await self.outbox.note(
            act.conn,
            act.thread_id,
            act.event.key,
            "answer",
            text,
            kind=kind,
            reply_to=act.event.message_id,
            buttons=buttons,
            to=answer_to(act.event),
        )

    async def answer(self, act: Act, name: str) -> DeskAnswer:
        """Answer one person: a press with a pop-up, anything else with a reply."""
        word = self.texts.render(name)
        if not act.is_press:
            await self.say(act, word)
        return DeskAnswer(outcome="answered", word=word)

    def stale(self) -> DeskAnswer:
        """Say that a button has no effect any more."""
        return DeskAnswer(outcome="stale", word=self.texts.render("desk_stale"))
