"""Read a turn: what does the customer want, and which questions are in it?"""

from __future__ import annotations

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from graph.context import Context, Texts
from graph.follow_up import in_context, is_follow_up
from graph.state import Question, State, Turn, TurnLine

HANDED_OVER = frozenset({"failure", "rate_limited"})
"""Intents a caller sets: the turn goes to a person unread."""

MAX_QUESTIONS = 20
"""Lines of one turn that are searched for on their own; a longer burst is read as one question."""


async def intake(state: State, runtime: Runtime[Context], *, texts: Texts) -> State:
    """Classify the turn and split it into questions."""
    del runtime
    turn = state.get("turn")
    if turn is None or _is_over(turn):
        turn = _turn_from_messages(state)
    if turn.get("intent") in HANDED_OVER:
        return {"turn": turn, "questions": [_whole([line["text"] for line in turn["lines"]])]}
    if turn.get("intent") == "listen":
        return {"turn": turn}
    if turn["speaker"] != "customer":
        return {"turn": {**turn, "intent": "relay"}}
    return _read(turn, texts, _previous_question(state))


def _read(turn: Turn, texts: Texts, previous: str) -> State:
    written = [line["text"].strip() for line in turn["lines"] if line["kind"] == "text" and line["text"].strip()]
    if any(texts.wants_human(text) for text in written):
        return {"turn": {**turn, "intent": "human"}, "questions": [_whole(written)]}
    replies = [texts.small_talk_reply(text) for text in written]
    asked = [texts.strip_pleasantries(text) for text, reply in zip(written, replies, strict=True) if reply is None]
    if asked:
        return {"turn": {**turn, "intent": "question"}, "questions": _questions(asked, previous)}
    if not replies or any(line["kind"] != "text" for line in turn["lines"]):
        return {"turn": {**turn, "intent": "unsupported"}}
    return {"turn": {**turn, "intent": "small_talk", "reply": replies[-1] or ""}}


def _questions(asked: list[str], previous: str) -> list[Question]:
    if len(asked) == 1 or len(asked) > MAX_QUESTIONS:
        return [_question("\n".join(asked), previous)]
    singles = []
    for text in asked:
        singles.append(_question(text, previous))
        previous = text
    return [*singles, _whole(asked)]


def _question(text: str, previous: str) -> Question:
    queries = [text]
    if previous and is_follow_up(text):
        queries.append(in_context(text, previous))
    return {"text": text, "queries": queries, "is_whole": False}


def _whole(asked: list[str]) -> Question:
    text = "\n".join(asked)
    return {"text": text, "queries": [text], "is_whole": True}


def _previous_question(state: State) -> str:
    questions = state.get("questions") or []
    return questions[-1]["text"] if questions else ""


def _is_over(turn: Turn) -> bool:
    # A turn that was read before belongs to an earlier run: Studio sends messages alone and leaves it in the state.
    return turn.get("intent") not in {None, "listen", *HANDED_OVER}


def _turn_from_messages(state: State) -> Turn:
    lines: list[TurnLine] = []
    last_id = ""
    for message in reversed(state.get("messages") or []):
        if not isinstance(message, HumanMessage):
            break
        last_id = last_id or message.id or ""
        lines.insert(0, {"kind": "text", "text": message.text})
    return {"id": last_id, "thread_id": "", "speaker": "customer", "lines": lines}
