"""In-memory twins of the ports, with lists to look at: for Studio, the terminal chat and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.errors import BadRequestError, DeskError, StaffUnavailableError
from tools.messages import (
    Choice,
    DeskEvent,
    DeskLabel,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing written to the outbox."""

    thread_id: str
    turn_id: str
    part: str
    text: str
    sources: tuple[str, ...] = ()
    menu: Menu | None = None


@dataclass(slots=True)
class MemoryOutbox:
    """Keeps what was written, once per key."""

    said: dict[tuple[str, str], Said] = field(default_factory=dict)
    """To the customer, by turn and part."""
    to_desk: dict[tuple[str, str], Said] = field(default_factory=dict)
    tickets: dict[str, Handoff] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    choices: dict[str, Choice] = field(default_factory=dict)
    """What customers chose, by turn."""

    @property
    def texts(self) -> list[str]:
        """What the customer reads, oldest first."""
        return [said.text for said in self.said.values()]

    async def say(self, thread_id: str, turn_id: str, part: str, text: str, *, sources: Sequence[str] = ()) -> None:
        """Tell the customer something."""
        said = Said(thread_id=thread_id, turn_id=turn_id, part=part, text=text, sources=tuple(sources))
        self.said.setdefault((turn_id, part), said)

    async def offer(self, thread_id: str, turn_id: str, part: str, menu: Menu) -> None:
        """Ask the customer to choose."""
        said = Said(thread_id=thread_id, turn_id=turn_id, part=part, text=menu.text, menu=menu)
        self.said.setdefault((turn_id, part), said)

    async def record_choice(self, choice: Choice) -> None:
        """Keep what the customer chose."""
        self.choices.setdefault(choice.turn_id, choice)

    async def hand_over(self, handoff: Handoff) -> None:
        """Open a ticket."""
        self.tickets.setdefault(handoff.ticket_id, handoff)

    async def relay(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Show the desk what the customer wrote."""
        self.to_desk.setdefault((turn_id, part), Said(thread_id=thread_id, turn_id=turn_id, part=part, text=text))

    async def notify_desk(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell the desk something."""
        self.to_desk.setdefault((turn_id, part), Said(thread_id=thread_id, turn_id=turn_id, part=part, text=text))

    async def close_ticket(self, ticket_id: str) -> None:
        """Record that a person has finished."""
        self.closed.append(ticket_id)


@dataclass(slots=True)
class MemoryChannel:
    """A channel in which nobody writes and every send arrives."""

    limits: SendLimits = field(default_factory=lambda: SendLimits(units=1000, window_seconds=float("inf")))
    sent: list[Outbound] = field(default_factory=list)
    welcomed: list[tuple[str, str | Menu]] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)
    """What customers sent, by its ref."""

    async def pull(self, account_id: str, *, cursor: str, token: str) -> Page:
        """Return an empty page."""
        del account_id, token
        return Page(messages=(), next_cursor=cursor, has_more=False)

    async def send(self, outbound: Outbound) -> None:
        """Keep a text, a menu or a file, once per key."""
        if all(sent.key != outbound.key for sent in self.sent):
            self.sent.append(outbound)

    async def fetch(self, media: Media) -> File:
        """Return what a customer sent.

        Raises:
            BadRequestError: there is no such file.
        """
        if media.ref not in self.files:
            raise BadRequestError("the file is gone")
        return self.files[media.ref]

    async def welcome(self, code: str, greeting: str | Menu, key: str) -> None:
        """Keep a welcome."""
        del key
        self.welcomed.append((code, greeting))

    async def account_ids(self) -> Sequence[str]:
        """There are none."""
        return ()

    async def customer_name(self, customer_id: str) -> str:
        """Nobody has a name here."""
        del customer_id
        return ""

    async def session(self, account_id: str, customer_id: str) -> Session:
        """The bot has every session."""
        del account_id, customer_id
        return "bot"

    async def hand_to_staff(self, account_id: str, customer_id: str, staff_id: str) -> Session:
        """There is no staff.

        Raises:
            StaffUnavailableError: always.
        """
        del account_id, customer_id, staff_id
        raise StaffUnavailableError("nobody receives customers here")

    def split(self, text: str) -> list[str]:
        """Any length fits."""
        return [text]


@dataclass(slots=True)
class MemoryDesk:
    """A desk that keeps what it was shown."""

    posts: list[DeskPost] = field(default_factory=list)
    marks: list[DeskPost] = field(default_factory=list)
    labels: list[DeskLabel] = field(default_factory=list)
    acknowledged: list[tuple[DeskEvent, str]] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)
    """What people at the desk sent, by its ref."""

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        """There is one place."""
        del post
        return known or DeskPlace(chat_id=1, topic_id=None)

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        """Show something."""
        del place
        self.posts.append(post)
        return len(self.posts)

    async def mark(self, post: DeskPost, place: DeskPlace) -> None:
        """Mark a message as delivered."""
        del place
        self.marks.append(post)

    async def label(self, post: DeskPost, place: DeskPlace) -> None:
        """Show whose turn it is."""
        del place
        self.labels.append(post.label)

    async def fetch(self, media: Media) -> File:
        """Return what a person sent.

        Raises:
            DeskError: there is no such file.
        """
        if media.ref not in self.files:
            raise DeskError("the file is gone")
        return self.files[media.ref]

    async def acknowledge(self, event: DeskEvent, text: str) -> None:
        """Answer a person's action."""
        self.acknowledged.append((event, text))
