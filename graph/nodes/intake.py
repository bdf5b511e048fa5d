"""Read a turn: what does the customer want, and which questions are in it?"""

from __future__ import annotations

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from graph.asking import again, questions_of, whole
from graph.choices import Pick, past_option, pick, settled
from graph.context import Context, Texts
from graph.course import begun, with_questions
from graph.judge import Judge, is_for_a_person
from graph.lines import is_unread, kind_word, said, shown
from graph.state import ChoiceState, Clarification, Course, State, Turn, TurnLine

HANDED_OVER = frozenset({"failure", "rate_limited"})
"""Intents a caller sets: the turn goes to a person unread."""

COURTESIES = frozenset({"wordless", "unsupported"})
"""Intents that are answered with a courtesy, not twice in a row."""

JUDGED_LATER = frozenset({"question", "chosen"})
"""Intents of which more is known once their hits are graded, or that nobody needs to judge."""


async def intake(state: State, runtime: Runtime[Context], *, texts: Texts, judge: Judge) -> State:
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
        return _after_a_miss({"turn": turn, "questions": [whole([line["text"] for line in turn["lines"]])]}, state)
    clarification = state.get("clarification")
    picks = [(line, pick(line, clarification)) for line in turn["lines"]]
    left = [line for line, picked in picks if picked is None]
    spoken = "\n".join(filter(None, map(said, left)))
    turn = {**turn, "course": begun(state, mood=texts.mood_of(spoken), shown=shown(left))}
    read = _read(turn, left, state, texts)
    chosen = [picked for _, picked in picks if picked is not None]
    if clarification is not None and chosen:
        return _judged(_with_choice(read, chosen, clarification), judge)
    return _judged(_after_a_miss(read, state), judge)


def _read(turn: Turn, lines: list[TurnLine], state: State, texts: Texts) -> State:
    written = [line for line in lines if said(line)]
    past = [past_option(line, state.get("offered") or []) for line in written]
    spoken = [said(line) for line in written]
    if any(texts.wants_human(text) for text in spoken) or any(option and not option["entry_id"] for option in past):
        return {"turn": {**turn, "intent": "human"}, "questions": [whole(spoken, turn["course"]["shown"])]}
    chosen_again = [again(option) for option in past if option is not None]
    words = [text for text, option in zip(spoken, past, strict=True) if option is None and not texts.is_wordless(text)]
    replies = [texts.small_talk_reply(text) for text in words]
    asked = [texts.strip_pleasantries(text) for text, reply in zip(words, replies, strict=True) if reply is None]
    if asked or chosen_again:
        questions = [*chosen_again, *questions_of(asked, state, turn["course"]["shown"])]
        course = with_questions(turn["course"], questions)
        return {"turn": {**turn, "intent": "question", "course": course}, "questions": questions}
    return _without_question(turn, lines, replies, state, texts)


def _without_question(
    turn: Turn, lines: list[TurnLine], replies: list[str | None], state: State, texts: Texts
) -> State:
    if any(map(is_unread, lines)) or not lines:
        return _courtesy(turn, "unsupported", texts.render("unsupported", kind=kind_word(lines, default="这类")), state)
    if replies:
        return {"turn": {**turn, "intent": "small_talk", "reply": replies[-1] or ""}}
    if shown(lines):
        return _courtesy(turn, "unsupported", texts.render("card_seen", kind=kind_word(lines, default="内容")), state)
    wordless = next((text for text in reversed(list(map(said, lines))) if text), "")
    if wordless:
        return _courtesy(turn, "wordless", texts.small_talk_reply(wordless) or texts.render("wordless"), state)
    return {"turn": {**turn, "intent": "quiet"}}


def _courtesy(turn: Turn, intent: str, reply: str, state: State) -> State:
    """Answer what says nothing, once: whoever goes on in the same way is not told the same again."""
    before = (state.get("course") or {}).get("courtesy", "")
    course: Course = {**turn["course"], "courtesy": intent}
    if before == intent:
        # Nothing will be said, so this is where the course is kept.
        return {"turn": {**turn, "course": course, "intent": "quiet"}, "course": course}
    if intent == "wordless":
        return {"turn": {**turn, "course": course, "intent": "wordless", "reply": reply}}
    return {"turn": {**turn, "course": course, "intent": "unsupported", "reply": reply}}


def _judged(read: State, judge: Judge) -> State:
    """Ask the rules about what needs no search; what has no words calls nobody."""
    turn = read["turn"]
    if turn["intent"] in JUDGED_LATER or turn["intent"] in {"quiet", "wordless"}:
        return read
    questions = read.get("questions") or [whole([line["text"] for line in turn["lines"]])]
    turn = judge.judged(turn, questions)
    return {**read, "turn": turn, "questions": questions} if is_for_a_person(turn) else {**read, "turn": turn}


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
    turn: Turn = {**read["turn"], "choice": choice, "course": {**read["turn"]["course"], "courtesy": ""}}
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
