"""The last lines of a conversation, for the model and for the desk."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.messages import BaseMessage, HumanMessage

from graph.state import HumanNote, State
from tools.messages import Line

SPEAKER_WORDS = {"customer": "客户", "bot": "机器人", "human": "人工"}
NOTE_WORD = "此前人工处理"


def history_of(state: State, limit: int) -> tuple[Line, ...]:
    """Return the last `limit` lines, oldest first."""
    return tuple(_line(message) for message in (state.get("messages") or [])[-limit:])


def lines_of(state: State, limit: int) -> list[str]:
    """Return what people settled earlier, then the last lines as text, each with its speaker."""
    # What the lines show themselves needs no note.
    shown = {message.id for message in (state.get("messages") or [])[-limit:]}
    notes = [note for note in state.get("notes") or [] if f"{note['ticket_id']}:hold" not in shown]
    return [*map(_noted, notes), *spoken(history_of(state, limit))]


def notes_of(state: State) -> list[str]:
    """Return what people settled earlier."""
    return [_noted(note) for note in state.get("notes") or []]


def spoken(lines: Iterable[Line]) -> list[str]:
    """Write lines down, each with its speaker."""
    return [f"{SPEAKER_WORDS[line.speaker]}: {line.text}" for line in lines]


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
