"""How a conversation goes: the moods of its turns, what is asked again, how often the bot was not sure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from graph.lines import MAX_SHOWN
from graph.questions import decision_of
from graph.state import Course, Question, State, Turn
from tools.messages import Mood

MOODS = 6
"""Turns whose mood is remembered."""

ASKED = 12
"""Questions that are remembered."""

ASKED_LENGTH = 200

# A point between two digits is part of a number, and iPhone15+ is no iPhone15.
_NOISE = re.compile(r"(?<!\d)(?:[^\w+]|_)+|(?:[^\w+]|_)+(?!\d)|请问|麻烦|你好|您好|谢谢|[吗呢啊呀吧了嘛么]")


def begun(state: State, *, mood: Mood, shown: str) -> Course:
    """Take this turn's mood and cards down."""
    before = state.get("course") or {}
    return {
        **before,
        "moods": [*before.get("moods", []), mood][-MOODS:],
        "shown": "\n".join(filter(None, [before.get("shown", ""), shown]))[-MAX_SHOWN:],
        "courtesy": "",
    }


def with_questions(course: Course, questions: Sequence[Question]) -> Course:
    """Take down what is asked; the cards belong to it from now on."""
    return {**course, "asked": [*course.get("asked", []), *_tidied(questions)][-ASKED:], "shown": ""}


def with_mood(course: Course, mood: Mood) -> Course:
    """Replace this turn's mood by what somebody who understands it says."""
    return {**course, "moods": [*course.get("moods", [])[:-1], mood]}


def graded(turn: Turn, questions: Sequence[Question], before: Course) -> Turn:
    """Take down whether the bot was sure in this turn."""
    is_sure = all(decision_of(question) == "answer" for question in questions)
    unsure = 0 if is_sure else before.get("unsure_turns", 0) + 1
    return {**turn, "course": {**turn.get("course", {}), "unsure_turns": unsure}}


def settled(state: State) -> Course:
    """Return the course once something was said in this turn."""
    return state["turn"].get("course") or state.get("course") or {}


def relieved(course: Course) -> Course:
    """Return the course once a person was called: what led there does not count twice."""
    return {**course, "moods": [], "asked": [], "unsure_turns": 0}


def repeats(course: Course, questions: Sequence[Question]) -> int:
    """Tell how often the question of this turn that was asked most often was asked, this time included."""
    asked = course.get("asked", [])
    return max((asked.count(text) if text else 0 for text in _tidied(questions)), default=1)


def mood_of(course: Course) -> Mood:
    """Return how the customer sounded last."""
    moods = course.get("moods", [])
    return moods[-1] if moods else "neutral"


def tidy(text: str) -> str:
    """Return what two ways of typing one question have in common."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", text[: 2 * ASKED_LENGTH]).casefold())[:ASKED_LENGTH]


def _tidied(questions: Sequence[Question]) -> list[str]:
    # The lines of a burst, each once; all of them together only where they are one question anyway.
    singles = [question for question in questions if not question["is_whole"] or len(questions) == 1]
    return list(dict.fromkeys(tidy(question["text"]) for question in singles))
