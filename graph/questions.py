"""What is still to be done about a turn's questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graph.state import Question, State
from kb.chunks import SUGGESTED_HITS, Decision


def decision_of(question: Question) -> Decision:
    """Tell what is to be done; checkpoints of earlier versions only say whether it is sure."""
    if "decision" in question:
        return question["decision"]
    return "answer" if question.get("is_sure") else "escalate"


def answer_of(questions: Iterable[Question]) -> tuple[str, list[str]]:
    """Put the answers of all sure questions into one text, and name the chunks they rest on."""
    answers: dict[str, list[str]] = {}
    for question in questions:
        if decision_of(question) == "answer":
            answers.setdefault(_answer(question), _sources(question))
    return "\n\n".join(answers), [source for found in answers.values() for source in found]


def open_questions(state: State) -> list[Question]:
    """Return what is not answered yet."""
    return [question for question in state["questions"] if not question.get("is_answered")]


def to_clarify(state: State) -> Question | None:
    """Return the question to ask back about.

    One menu, one question: with several left open a person gets them all. Whoever was asked back already is not
    asked again.
    """
    left = open_questions(state)
    if len(left) != 1 or decision_of(left[0]) != "clarify" or left[0].get("origin"):
        return None
    return left[0] if suggested(left[0]) else None


def suggested(question: Question) -> list[Mapping[str, Any]]:
    """Return the hits a customer can choose from: a passage has no question to show."""
    return [hit for hit in question["hits"][:SUGGESTED_HITS] if hit["question"]]


def _answer(question: Question) -> str:
    return question.get("reply") or str(question["hits"][0]["answer"])


def _sources(question: Question) -> list[str]:
    return question["cited"] if question.get("reply") else [question["hits"][0]["chunk_id"]]
