"""What a conversation remembers between turns.

State is a file format: old checkpoints must load, so channels are only added. Everything is messages and plain data;
whatever a customer wrote stays inside messages, lists and dicts, never in a top-level string, because only those are
covered by the encrypted serializer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages

Intent = Literal["question", "small_talk", "unsupported", "human", "failure", "rate_limited", "relay", "listen"]
"""What a turn wants. The caller may say it beforehand: `failure` is a turn the bot gave up on, `rate_limited` one of a
customer who writes too much, `listen` a customer speaking to staff in the channel's own client."""


class TurnLine(TypedDict):
    """One message of a turn."""

    kind: str
    """`text`, or the channel's word for what is not text."""
    text: str


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
    confidence: float
    is_sure: bool
    is_answered: bool


class TicketState(TypedDict):
    """The handoff this conversation is or was in."""

    ticket_id: str
    reason: str
    is_open: bool


class InputState(TypedDict, total=False):
    """The public face: messages alone are enough (LangGraph Studio sends just that)."""

    messages: Annotated[list[AnyMessage], add_messages]
    turn: Turn


class State(InputState, total=False):
    """Everything a conversation remembers."""

    questions: list[Question]
    """The current turn's questions; until the next turn, what follow-ups refer to."""
    handoff: TicketState
    """The latest handoff."""
