"""Read a turn: what does the customer want, and which questions are in it?"""

from __future__ import annotations

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from graph.choices import Pick, past_option, pick, settled
from graph.context import Context, Texts
from graph.follow_up import in_context, is_follow_up
from graph.state import ChoiceState, Clarification, PastOption, Question, State, Turn, TurnLine

HANDED_OVER = frozenset({"failure", "rate_limited"})
"""Intents a caller sets: the turn goes to a person unread."""

MAX_QUESTIONS = 20
"""Lines of one turn that are searched for on their own; a longer burst is read as one question."""


async def intake(state: State, runtime: Runtime[Context], *, texts: Texts) -> State:
    """Classify the turn, see what it chooses from an open menu, and split the rest into questions.

    The menu stays open until something was said about the choice: a turn that is begun anew must find it again.
    """
    del runtime
    turn = state.get("turn")
    if turn is None or _is_over(turn):
        turn = _turn_from_messages(state)
    if turn.get("intent") == "listen":
        return {"turn": turn, "clarification": None}
    if turn["speaker"] != "customer":
        return {"turn": {**turn, "intent": "relay"}}
    if turn.get("intent") in HANDED_OVER:
        read: State = {"turn": turn, "questions": [_whole([line["text"] for line in turn["lines"]])]}
    else:
        clarification = state.get("clarification")
        picks = [(line, pick(line, clarification)) for line in turn["lines"]]
        read = _read(turn, [line for line, picked in picks if picked is None], state, texts)
        chosen = [picked for _, picked in picks if picked is not None]
        if clarification is not None and chosen:
            return _with_choice(read, chosen, clarification)
    return _after_a_miss(read, state)


def _read(turn: Turn, lines: list[TurnLine], state: State, texts: Texts) -> State:
    written = [line for line in lines if line["kind"] == "text" and line["text"].strip()]
    past = [past_option(line, state.get("offered") or []) for line in written]
    spoken = [line["text"].strip() for line in written]
    if any(texts.wants_human(text) for text in spoken) or any(option and not option["entry_id"] for option in past):
        return {"turn": {**turn, "intent": "human"}, "questions": [_whole(spoken)]}
    again = [_again(option) for option in past if option is not None]
    words = [text for text, option in zip(spoken, past, strict=True) if option is None]
    replies = [texts.small_talk_reply(text) for text in words]
    asked = [texts.strip_pleasantries(text) for text, reply in zip(words, replies, strict=True) if reply is None]
    if asked or again:
        questions = [*again, *_questions(asked, _previous_question(state))]
        return {"turn": {**turn, "intent": "question"}, "questions": questions}
    if not replies or any(line["kind"] != "text" for line in lines):
        return {"turn": {**turn, "intent": "unsupported"}}
    return {"turn": {**turn, "intent": "small_talk", "reply": replies[-1] or ""}}


def _with_choice(read: State, chosen: list[Pick], clarification: Clarification) -> State:
    """Put what the customer chose before what else they wrote."""
    entries = [option["entry_id"] for option in clarification["options"] if option["entry_id"]]
    choice: ChoiceState = {
        "question": clarification["question"],
        "shown": entries,
        "entry_id": chosen[-1].option["entry_id"] or None,
        "source": chosen[-1].source,
        "confidence": clarification["confidence"],
    }
    turn: Turn = {**read["turn"], "choice": choice}
    questions = [settled(picked, clarification) for picked in chosen]
    if turn["intent"] in {"question", "human"}:
        return {"turn": turn, "questions": [*questions, *read["questions"]]}
    is_chosen = any(question["decision"] == "answer" for question in questions)
    turn["intent"] = "chosen" if is_chosen else "none_of_these"
    return {"turn": turn, "questions": questions}


def _after_a_miss(read: State, state: State) -> State:
    """Keep the question that an open menu did not settle beside those asked instead."""
    clarification = state.get("clarification")
    if clarification is None or "questions" not in read:
        return read
    return {**read, "questions": [{**question, "origin": clarification["question"]} for question in read["questions"]]}


def _questions(asked: list[str], previous: str) -> list[Question]:
    if not asked:
        return []
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


def _again(option: PastOption) -> Question:
    return {
        "text": option["question"],
        "queries": [option["question"]],
        "is_whole": False,
        "wanted": option["entry_id"],
    }


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
