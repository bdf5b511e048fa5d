"""What the bot needs from the outside world, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tools.messages import (
    Choice,
    DeskEvent,
    DeskPlace,
    DeskPost,
    File,
    Handoff,
    Media,
    Menu,
    Outbound,
    Page,
    SendLimits,
    Session,
)


class Channel(Protocol):
    """Where customers write: pull what they said, send what we say."""

    @property
    def limits(self) -> SendLimits:
        """How much may be sent."""
        ...

    async def pull(self, account_id: str, *, cursor: str, token: str) -> Page:
        """Return the page after `cursor` (empty: from the oldest kept message)."""
        ...

    async def send(self, outbound: Outbound) -> None:
        """Send one text, menu or file; a repeated call under the same key is harmless.

        A channel without menus sends the numbered list.

        Raises:
            DuplicateMessageError: an earlier attempt under this key was accepted.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        ...

    async def fetch(self, media: Media) -> File:
        """Return a file that a customer sent.

        Raises:
            BadRequestError: it is gone, or too large.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        ...

    async def welcome(self, code: str, greeting: str | Menu, key: str) -> None:
        """Answer an enter event with its one-time code; a repeated call under the same key is harmless."""
        ...

    async def account_ids(self) -> Sequence[str]:
        """List the accounts this service answers for."""
        ...

    async def customer_name(self, customer_id: str) -> str:
        """Return the customer's display name, empty when unknown."""
        ...

    async def session(self, account_id: str, customer_id: str) -> Session:
        """Tell who has the customer's session now."""
        ...

    async def hand_to_staff(self, account_id: str, customer_id: str, staff_id: str) -> Session:
        """Give the customer to the staff in the channel's own client; return who has the session then.

        To the one of that id when they receive customers, else to whoever receives first; a repeated call is harmless.

        Raises:
            StaffUnavailableError: nobody receives customers now.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        ...

    def split(self, text: str) -> list[str]:
        """Cut a text into parts this channel can send whole."""
        ...


class Transcriber(Protocol):
    """Puts files that customers send into words."""

    def can_read(self, kind: str) -> bool:
        """Tell whether files of this kind can be read."""
        ...

    async def transcribe(self, file: File) -> str:
        """Return what a recording says or a picture shows; empty when that is nothing.

        Raises:
            BadRequestError: this file cannot be read.
            ModelUnavailableError: nobody answers.
        """
        ...


class Desk(Protocol):
    """Where human agents read and answer."""

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        """Return where this conversation is shown, made ready; `known` is where it was shown before.

        To be stored before anything is shown there: an answer can come as soon as something is.

        Raises:
            DeskError: see `tools.errors`; `transient` says whether to try again.
        """
        ...

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        """Show something and return the message's id.

        Raises:
            TopicGoneError: the place was deleted; ask for a new one.
            DeskError: see `tools.errors`; `transient` says whether to try again.
        """
        ...

    async def mark(self, post: DeskPost, place: DeskPlace) -> None:
        """Mark a person's message as delivered; the post's text, if any, is said with it.

        Raises:
            DeskError: as for `post`.
        """
        ...

    async def label(self, post: DeskPost, place: DeskPlace) -> None:
        """Make the place show the post's label; a card also opens it again.

        Raises:
            DeskError: as for `post`.
        """
        ...

    async def fetch(self, media: Media) -> File:
        """Return a file that a person at the desk sent.

        Raises:
            DeskError: as for `post`; not `transient` when it is gone or too large.
        """
        ...

    async def acknowledge(self, event: DeskEvent, text: str) -> None:
        """Answer a person's action with a short word that no customer sees."""
        ...


class Outbox(Protocol):
    """Durable output of a turn. Every call is idempotent under its turn id and part.

    Nodes write here and nowhere else; delivery happens later and elsewhere.

    Raises:
        OvertakenError: the customer wrote on, or took a message back, before anything of this turn was said.
    """

    async def say(self, thread_id: str, turn_id: str, part: str, text: str, *, sources: Sequence[str] = ()) -> None:
        """Tell the customer something; `sources` are the chunks an automatic answer rests on."""
        ...

    async def offer(self, thread_id: str, turn_id: str, part: str, menu: Menu) -> None:
        """Ask the customer to choose; one message."""
        ...

    async def record_choice(self, choice: Choice) -> None:
        """Record what the customer chose, once a turn."""
        ...

    async def hand_over(self, handoff: Handoff) -> None:
        """Open the ticket, record the unanswered question, and show the card at the desk."""
        ...

    async def relay(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Show the desk what the customer wrote while a person has the conversation."""
        ...

    async def notify_desk(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell the desk something about this conversation."""
        ...

    async def close_ticket(self, ticket_id: str) -> None:
        """Record that a person has finished."""
        ...
