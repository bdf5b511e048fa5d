"""The questions in what a customer wrote: one a line, follow-ups with their topic, long texts by their question."""

from __future__ import annotations

from collections.abc import Sequence

from graph.follow_up import in_context, is_follow_up
from graph.lines import topic_of
from graph.long_text import LONG, question_part, shortened
from graph.state import PastOption, Question, State

MAX_QUESTIONS = 20
"""Lines of one turn that are searched for on their own; a longer burst is read as one question."""


def questions_of(asked: Sequence[str], state: State, shown: str) -> list[Question]:
    """Split what is asked into questions; `shown` are the cards and pictures that came with them."""
    if not asked:
        return []
    previous = topic_of(shown) or _previous_question(state)
    if len(asked) == 1 or len(asked) > MAX_QUESTIONS:
        return [_question("\n".join(asked), previous, shown)]
    singles = []
    for text in asked:
        singles.append(_question(text, previous, shown))
        previous = topic_of(shown) or text
    return [*singles, whole(asked, shown)]


def again(option: PastOption) -> Question:
    """Make the question of an earlier menu's option."""
    return {
        "text": option["question"],
        "queries": [option["question"]],
        "is_whole": False,
        "wanted": option["entry_id"],
    }


def whole(asked: Sequence[str], shown: str = "") -> Question:
    """Read all lines as one question."""
    text = "\n".join(asked)
    question: Question = {"text": shortened(text, LONG), "queries": [_query(text)], "is_whole": True}
    return {**question, "shown": shown} if shown else question


def _question(text: str, previous: str, shown: str) -> Question:
    queries = [_query(text)]
    if previous and is_follow_up(text):
        queries.append(in_context(text, previous))
    question: Question = {"text": shortened(text, LONG), "queries": queries, "is_whole": False}
    return {**question, "shown": shown} if shown else question


def _query(text: str) -> str:
    return question_part(text) if len(text) > LONG else text


def _previous_question(state: State) -> str:
    questions = state.get("questions") or []
    return questions[-1]["text"][:LONG] if questions else ""
