"""What crosses the border between the bot and the outside: plain values, standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Sender = Literal["customer", "staff", "system"]
"""Who spoke: the customer, a person inside the vendor's own client, or the vendor's event stream."""

Effect = Literal["recalled", "not_delivered", "session_ended"]
"""What an event does: the customer took an earlier message back, it never reached them, or the staff in the vendor's
own client have finished with the customer."""

Session = Literal["bot", "queued", "staff", "closed"]
"""Who has a customer's session in the channel; only in `bot` may the service write."""

HandoffReason = Literal[
    "low_confidence", "none_of_these", "asked_for_human", "model_refused", "rate_limited", "failure", "rule"
]
"""Why the bot hands a conversation over; `none_of_these` is the customer's answer to a menu, `rule` the operator's
wish."""

Priority = Literal["normal", "high"]
"""How urgent a ticket is."""

Mood = Literal["negative", "neutral", "positive"]
"""How a customer sounds."""

DeskAction = Literal[
    "text", "draft", "send", "confirm", "cancel",
    "take", "assign", "give", "snooze", "done", "close", "mute", "unmute",
    "note", "history", "who", "kb", "entry", "approve", "reject", "transfer", "edited", "help", "unsupported",
]  # fmt: skip
"""What a person does at the desk.

`text` goes to the customer, and so do `draft` (the card's), `send` (a hit of `kb`) and `confirm` (a long text that was
held back, `cancel` drops it). `take` locks the ticket, `assign` asks for somebody to `give` it to, `snooze` puts it
off, `done` and `close` end the takeover. `mute` keeps the bot silent. `note` is for colleagues only; `history`, `who`
and `kb` ask for something; `entry` wants an article made of it, `approve` and `reject` decide on one. `transfer` gives
the customer to somebody in the channel's own client. `edited` is a text changed after it was sent.
"""

DeskStatus = Literal["waiting", "taken", "snoozed", "bot"]
"""Whose turn it is in a conversation, as the desk shows it."""

DeskName = Literal["telegram", "wecom"]
"""The desks people can answer at."""

MediaKind = Literal["image", "voice", "video", "file"]
"""What a file is to whoever receives it."""

ChoiceSource = Literal["click", "typed"]
"""How a customer chose."""


def thread_id_for(channel: str, account_id: str, customer_id: str) -> str:
    """Name the one conversation of a customer with an account; also the checkpointer's thread id."""
    return f"{channel}:{account_id}:{customer_id}"


def channel_of(thread_id: str) -> str:
    """Return the name of the channel a conversation is in."""
    return thread_id.partition(":")[0]


def delivery_key(turn_id: str, part: str) -> str:
    """Derive the idempotency key of one part of a turn's output.

    32 hexadecimal characters: the longest `msgid` kf/send_msg takes (WeCom doc 94677).
    """
    return hashlib.sha256(f"{turn_id}:{part}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One message or event that a channel delivered."""

    channel: str
    account_id: str
    customer_id: str
    """Empty for events that concern the account alone."""
    message_id: str
    """The vendor's id, unique within the account."""
    sender: Sender
    kind: str
    """`text`, `image`, `voice`, …; for events the event's name, for unknown types the vendor's word."""
    text: str
    """What the customer wrote, or a short description in words of what is not text."""
    sent_at: float
    """Unix seconds."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The vendor's payload of this kind (media id, menu id, welcome code …)."""
    session: Session | None = None
    """Who has the session from now on, when this tells."""
    effect: Effect | None = None
    about: str = ""
    """The message an `effect` concerns: the vendor's id of a customer's message, or our key of a sent one."""

    @property
    def thread_id(self) -> str:
        """The conversation this belongs to."""
        return thread_id_for(self.channel, self.account_id, self.customer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a channel's message list."""

    messages: tuple[Inbound, ...]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    """What a channel allows between two messages of a customer."""

    units: int
    """Messages the service may send."""
    window_seconds: float
    """How long after the customer's message it may."""
    a_minute: int | None = None
    """Messages one customer gets in any minute, where the channel loses what is more; None: it loses none."""
    same_text_seconds: float = 0
    """How long the channel takes the same text for a repeated attempt; 0: it goes by the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuOption:
    """One thing a customer can choose."""

    option_id: str
    """At most 128 of `[a-zA-Z0-9_]`; comes back with the click."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """A question with the answers to choose from."""

    head: str
    options: tuple[MenuOption, ...]
    tail: str

    @property
    def text(self) -> str:
        """The menu as a numbered list, for where nothing can be clicked."""
        lines = [f"{number}. {option.label}" for number, option in enumerate(self.options, start=1)]
        return "\n".join([self.head, *lines, self.tail])


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a customer chose from a menu: a free label of the question that led to it."""

    thread_id: str
    turn_id: str
    question: str
    shown: tuple[str, ...]
    """The entries that were offered, in order."""
    entry_id: str | None
    """The entry chosen; None when it was none of them."""
    source: ChoiceSource
    confidence: float
    """How sure the bot was of the first entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A file somebody sent, as long as it is still with the vendor."""

    kind: MediaKind
    ref: str
    """The vendor's id of it."""
    name: str = ""
    """Empty when the vendor does not tell."""
    size: int | None = None
    """Bytes, when the vendor tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file on its way from one side to the other."""

    kind: MediaKind
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One text, menu or file to a customer; `key` makes a repeated send harmless."""

    account_id: str
    customer_id: str
    key: str
    text: str
    """What the customer reads; of a menu its numbered list, of a file its description in words."""
    menu: Menu | None = None
    file: File | None = None
    is_said_again: bool = False
    """The customer got the same text within the channel's `same_text_seconds`, and shall get it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a conversation as the desk sees it."""

    speaker: Literal["customer", "bot", "human"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An entry that came close."""

    entry_id: str
    question: str
    score: float
    """Of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """What a person needs to take a conversation over."""

    ticket_id: str
    """At most 40 characters of `[0-9a-zA-Z_-]`: it travels in button data."""
    thread_id: str
    customer_name: str
    """Empty when the channel does not tell."""
    question: str
    reason: HandoffReason
    confidence: float | None
    history: tuple[Line, ...]
    draft: str
    """A proposed answer; empty when there is none."""
    hits: tuple[Candidate, ...] = ()
    """The entries that came closest, best first."""
    rule: str = ""
    """The name of the rule that asked for a person or for haste; empty when none did."""
    priority: Priority = "normal"
    channel: DeskName | None = None
    """The desk that shall have it; None: the usual order."""
    mood: Mood = "neutral"
    """How the customer sounded last."""
    profile: tuple[str, ...] = ()
    """What is known of the customer, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPlace:
    """Where at the desk a conversation lives."""

    chat_id: int
    topic_id: int | None
    """The forum topic; None in a chat without topics, where each card is answered by replying to it."""
    desk: DeskName = "telegram"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskLabel:
    """What the place of a conversation says at a glance."""

    status: DeskStatus = "bot"
    holder: str = ""
    """Who has it."""
    holder_id: str = field(default="", compare=False)
    """The desk's id of that person."""
    is_muted: bool = False
    """The bot was told to be silent."""
    is_closed: bool = False
    """A person ended the conversation: nothing is expected here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskButton:
    """Something to press under a post; what it carries must fit 64 bytes together."""

    action: DeskAction
    label: str
    subject: str
    """What it is about: a ticket, or the id of something held or offered."""
    target: str = ""
    """What is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPost:
    """One thing to show at the desk: a ticket's card, or a line about the conversation."""

    kind: Literal["card", "customer", "notice", "sent", "choice"]
    """`card` opens a ticket, `customer` relays what the customer wrote, `notice` is kefu speaking, `sent` marks a
    person's message as delivered, `choice` asks a person which customer they mean."""
    thread_id: str
    customer_name: str
    text: str
    """The line; unused for a card."""
    handoff: Handoff | None = None
    """The ticket; set for a card."""
    reply_to: int | None = None
    """The message it is about."""
    buttons: tuple[DeskButton, ...] = ()
    label: DeskLabel = DeskLabel()
    since: float | None = None
    """Unix seconds of the customer's message that opened the ticket; set for a card."""
    source: str = ""
    """Where the customer came from, when known."""
    file: File | None = None
    """What the customer sent; the text says what it is."""
    to: str = ""
    """The desk's id of the only person it is for; empty: everybody who should see it."""
    key: str = ""
    """Names this post wherever it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskEvent:
    """What a person did at the desk."""

    update_id: int
    """The vendor's id, unique; the row that stores it is unique on it."""
    place: DeskPlace
    reply_to: int | None
    """The message answered, when it was a real reply."""
    agent: str
    """The person's display name."""
    action: DeskAction
    text: str
    """What was written, or follows a command."""
    ticket_id: str | None = None
    """The ticket whose card was replied to, or whose button was pressed."""
    callback_id: str | None = None
    """Set when a button was pressed: the desk wants it acknowledged."""
    agent_id: str = ""
    """Who it was for certain: names repeat. Empty only where the desk has no ids."""
    message_id: int | None = None
    """The message itself; of a button the one it is under."""
    subject: str = ""
    """What a pressed button is about, when that is no ticket."""
    target: str = ""
    """What was chosen with it."""
    media: Media | None = None
    """The file that was sent; the text is what was written under it."""

    @property
    def key(self) -> str:
        """Name this action among those of all desks, whose ids may be the same."""
        return f"{'desk' if self.place.desk == 'telegram' else self.place.desk}-{self.update_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanReply:
    """A person's answer to an open wait."""

    reply_id: str
    agent: str
    action: Literal["text", "done", "close", "resume"]
    """`text` goes to the customer, the others end the wait: `done` says so, `close` does not, `resume` is the bot
    taking over because nobody answers."""
    text: str
    """What the customer is told; of `done` and `close` unused, of `resume` it may be empty."""
