"""The last lines of a conversation, for the model and for the desk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from graph.long_text import shortened
from graph.state import HumanNote, State
from tools.messages import Line

KEPT_MESSAGES = 10
"""The latest messages, kept word for word."""

LONG_MESSAGES = 20
"""Messages that are put into fewer words, all but the latest."""

SPEAKER_WORDS = {"customer": "客户", "bot": "机器人", "human": "人工"}
NOTE_WORD = "此前人工处理"
SUMMARY_WORD = "此前"


def history_of(state: State, limit: int) -> tuple[Line, ...]:
    """Return the last `limit` lines, oldest first."""
    return tuple(_line(message) for message in (state.get("messages") or [])[-limit:])


def lines_of(state: State, limit: int) -> list[str]:
    """Return what was said and settled earlier, then the last lines as text, each with its speaker: a bounded text."""
    # What the lines show themselves needs no note.
    shown = {message.id for message in (state.get("messages") or [])[-limit:]}
    notes = [note for note in state.get("notes") or [] if f"{note['ticket_id']}:hold" not in shown]
    summary = state.get("summary")
    earlier = [f"{SUMMARY_WORD}: {summary['text']}"] if summary else []
    return [*earlier, *map(_noted, notes), *spoken(history_of(state, limit))]


def is_long(state: State) -> bool:
    """Tell whether more is kept word for word than anybody will look at."""
    return len(state.get("messages") or []) >= LONG_MESSAGES


def older_messages(state: State) -> Sequence[BaseMessage]:
    """Return what need not be kept word for word."""
    return (state.get("messages") or [])[:-KEPT_MESSAGES]


def write_down(messages: Iterable[BaseMessage]) -> list[str]:
    """Write messages down, each with its speaker."""
    return spoken(map(_line, messages))


def notes_of(state: State) -> list[str]:
    """Return what people settled earlier."""
    return [_noted(note) for note in state.get("notes") or []]


def spoken(lines: Iterable[Line]) -> list[str]:
    """Write lines down, each with its speaker; long ones shortened."""
    return [f"{SPEAKER_WORDS[line.speaker]}: {shortened(line.text)}" for line in lines]


def human_part(state: State) -> tuple[Line, ...]:
    """Return what was said since the latest handoff began; nothing when no person spoke."""
    messages = state.get("messages") or []
    hold = f"{state['handoff']['ticket_id']}:hold"
    begin = next((place for place, message in enumerate(messages) if message.id == hold), -1)
    lines = tuple(_line(message) for message in messages[begin + 1 :])
    return lines if any(line.speaker == "human" for line in lines) else ()


def _noted(note: HumanNote) -> str:
    return f"{NOTE_WORD}: {note['text']}"


def _line(message: BaseMessage) -> Line:
    if isinstance(message, HumanMessage):
        return Line(speaker="customer", text=message.text)
    return Line(speaker="human" if message.name == "human" else "bot", text=message.text)
