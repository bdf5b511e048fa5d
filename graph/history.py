"""The last lines of a conversation, for the model and for the desk."""

from __future__ import annotations

from langchain_core.messages import BaseMessage, HumanMessage

from graph.state import State
from tools.messages import Line

SPEAKER_WORDS = {"customer": "客户", "bot": "机器人", "human": "人工"}


def history_of(state: State, limit: int) -> tuple[Line, ...]:
    """Return the last `limit` lines, oldest first."""
    return tuple(_line(message) for message in (state.get("messages") or [])[-limit:])


def lines_of(state: State, limit: int) -> list[str]:
    """Return the last lines as text, each with its speaker."""
    return [f"{SPEAKER_WORDS[line.speaker]}: {line.text}" for line in history_of(state, limit)]


def _line(message: BaseMessage) -> Line:
    if isinstance(message, HumanMessage):
        return Line(speaker="customer", text=message.text)
    return Line(speaker="human" if message.name == "human" else "bot", text=message.text)
