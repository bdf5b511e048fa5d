"""What a conversation remembers between turns.

State is a file format: old checkpoints must load, so channels are only added. Everything is messages and plain data;
whatever a customer wrote stays inside messages, lists and dicts, never in a top-level string, because only those are
covered by the encrypted serializer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict, TypeVar

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages

from kb.chunks import Decision
from tools.messages import ChoiceSource, DeskName, HandoffReason, Mood, Priority

Intent = Literal[
    "question",
    "chosen",
    "none_of_these",
    "small_talk",
    "wordless",
    "unsupported",
    "quiet",
    "human",
    "failure",
    "rate_limited",
    "relay",
    "listen",
]
"""What a turn wants: `chosen` and `none_of_these` answer a menu and ask nothing else, `wordless` is nothing but emoji
or punctuation, `unsupported` nothing the bot can read, `quiet` is left without an answer.

The caller may say it beforehand: `failure` is a turn the bot gave up on, `rate_limited` one of a customer who writes
too much, `listen` a customer speaking to staff in the channel's own client.
"""


Value = TypeVar("Value")


def latest(before: Value, after: Value) -> Value:
    """Reduce to the newer one: all updates of a waiting thread are one step, which else may write a channel once."""
    del before
    return after


class TurnLine(TypedDict):
    """One message of a turn."""

    kind: str
    """`text`, or the channel's word for what is not text."""
    text: str
    choice: NotRequired[str]
    """The id of the menu option the customer clicked."""
    words: NotRequired[str]
    """What a voice message says, or what a picture shows, as a model heard or saw it."""
    message_id: NotRequired[str]


class CustomerState(TypedDict):
    """What the caller knows of the customer."""

    source: str
    """Where they came from; empty when unknown."""
    tags: list[str]


class RuleState(TypedDict):
    """The rule that fits this turn."""

    name: str
    escalate: bool
    priority: Priority
    channel: DeskName | None
    words: str
    """The prompt that tells the customer; empty: the usual one."""


class Course(TypedDict, total=False):
    """How the conversation has gone: what rules look at, and what is not said twice in a row."""

    moods: list[Mood]
    """Of the latest turns, newest last."""
    asked: list[str]
    """The latest questions, tidied, newest last."""
    asked_about: list[str]
    """What each of these was about, a card or an order; empty when nothing was shown, missing in older checkpoints."""
    unsure_turns: int
    """Turns in a row in which the bot was not sure."""
    courtesy: str
    """`wordless` or `unsupported` when the latest turn was answered as such."""
    shown: str
    """Cards and pictures since the latest question."""


class ChoiceState(TypedDict):
    """What the customer chose in this turn from the open clarification."""

    question: str
    shown: list[str]
    entry_id: str | None
    source: ChoiceSource
    confidence: float


class Turn(TypedDict, total=False):
    """What is being handled: everything a customer wrote since the last turn, or one line of a person."""

    id: str
    thread_id: str
    speaker: Literal["customer", "human", "staff"]
    """`human` spoke at the desk, `staff` in the channel's own client."""
    lines: list[TurnLine]
    intent: Intent
    reply: str
    """The fixed reply to small talk."""
    choice: ChoiceState
    usage: dict[str, float]
    """What reading cost: calls, input_tokens, output_tokens, cost."""
    customer: CustomerState
    course: Course
    """How the conversation has gone with this turn; counts once something was said."""
    rule: RuleState


class Question(TypedDict, total=False):
    """One thing the customer wants to know, and what was found for it."""

    text: str
    queries: list[str]
    """Ways to search for it: as written, and with the previous topic when it looks like a follow-up."""
    is_whole: bool
    """All lines of the turn read as one question."""
    found: list[list[dict[str, Any]]]
    """Hits (`kb.chunks.Hit` as dicts), a list for each query."""
    hits: list[dict[str, Any]]
    """The hits of the query the confidence is highest for."""
    query: str
    """That query."""
    confidence: float
    is_sure: bool
    decision: Decision
    """What is to be done; missing in checkpoints from before there were three outcomes."""
    wants_reading: bool
    """A reader shall look at the hits before anything is decided for good."""
    reply: str
    """What a reader wrote from the hits."""
    cited: list[str]
    """The chunks that reply rests on."""
    is_answered: bool
    origin: str
    """The question before this one that a menu did not settle."""
    wanted: str
    """The entry of an earlier menu's option, whose text this question is."""
    handoff_reason: HandoffReason
    """Why a person gets it, where that is known beforehand."""
    shown: str
    """Cards and pictures that came with it: data, not words of the customer."""


class Option(TypedDict):
    """One option of a menu; `entry_id` is empty for none of these."""

    option_id: str
    entry_id: str
    chunk_id: str
    question: str
    """What is shown."""
    answer: str


class PastOption(TypedDict):
    """What is kept of an option once its menu is settled."""

    option_id: str
    entry_id: str
    question: str


class Clarification(TypedDict):
    """A menu that waits for the customer's choice."""

    turn_id: str
    question: str
    """What the customer had asked."""
    confidence: float
    options: list[Option]


class TicketState(TypedDict):
    """The handoff this conversation is or was in."""

    ticket_id: str
    reason: str
    is_open: bool
    closed_by: NotRequired[str]
    """The reply that ended it."""


class Assistance(TypedDict):
    """What the bot answers while a person has the conversation; decided once a turn."""

    turn_id: str
    text: str
    sources: list[str]
    """The chunks it rests on."""


class HumanNote(TypedDict):
    """What happened while a person had the conversation."""

    ticket_id: str
    text: str
    is_summary: bool
    """Written by a model; otherwise what the person last said, word for word."""


class Summary(TypedDict):
    """What was said before the messages that are kept."""

    text: str


class InputState(TypedDict, total=False):
    """The public face: messages alone are enough (LangGraph Studio sends just that)."""

    messages: Annotated[list[AnyMessage], add_messages]
    turn: Turn


class State(InputState, total=False):
    """Everything a conversation remembers."""

    questions: Annotated[list[Question], latest]
    """The current turn's questions; until the next turn, what follow-ups refer to."""
    handoff: TicketState
    """The latest handoff."""
    clarification: Clarification | None
    """The menu that is open; None when the customer's answer was handled."""
    assistance: Annotated[Assistance, latest]
    """The latest answer beside a person."""
    notes: list[HumanNote]
    """What people settled with the customer, newest last."""
    offered: list[PastOption]
    """Options of the latest menus, newest first: people click old ones too."""
    course: Course
    """How the conversation has gone up to the latest turn that was answered."""
    summary: Summary
    """Missing while all messages are kept, and without a model."""
