"""How a conversation goes: the moods of its turns, what is asked again, how often the bot was not sure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from graph.lines import MAX_SHOWN, identity_of
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
    """Take down what is asked, and about what; the cards belong to it from now on."""
    before, new = _asked(course), _tidied(questions)
    # Without a card of its own a question goes on about the one before it.
    about = _about(questions) or (before[-1][1] if before else "")
    asked = [*before, *((text, about) for text in new)][-ASKED:]
    return {**course, "asked": [text for text, _ in asked], "asked_about": [card for _, card in asked], "shown": ""}


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
    return {**course, "moods": [], "asked": [], "asked_about": [], "unsure_turns": 0}


def repeats(course: Course, questions: Sequence[Question]) -> int:
    """Tell how often the question of this turn that was asked most often was asked, this time included.

    「这个多少钱」 about another card is another question; about no card it may be about any.
    """
    asked = _asked(course)
    about = _about(questions) or (asked[-1][1] if asked else "")
    same = [text for text, card in asked if not card or not about or card == about]
    return max((same.count(text) if text else 0 for text in _tidied(questions)), default=1)


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


def _asked(course: Course) -> list[tuple[str, str]]:
    """Return the latest questions with what they were about."""
    asked, about = course.get("asked", []), course.get("asked_about", [])
    return list(zip(asked, [""] * (len(asked) - len(about)) + about, strict=True))


def _about(questions: Sequence[Question]) -> str:
    shown = next((question["shown"] for question in questions if question.get("shown")), "")
    return identity_of(shown)
