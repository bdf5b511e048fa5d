"""Decide which questions the bot is sure enough about to answer."""

from __future__ import annotations

from langgraph.runtime import Runtime

from graph.context import Context
from graph.state import Question, State
from kb.chunks import Grade, Hit
from kb.ports import Grader


async def grade_confidence(state: State, runtime: Runtime[Context], *, grader: Grader) -> State:
    """Grade each question and settle how a burst of lines is read.

    Several lines are several questions when each is sure on its own, or when together they are not sure either;
    otherwise they are one question typed in pieces.
    """
    del runtime
    graded = [_grade(question, grader) for question in state["questions"]]
    whole = [question for question in graded if question["is_whole"]]
    singles = [question for question in graded if not question["is_whole"]]
    if whole and whole[0]["is_sure"] and not any(question["is_sure"] for question in singles):
        return {"questions": whole}
    return {"questions": singles}


def _grade(question: Question, grader: Grader) -> Question:
    best: tuple[Grade, list[dict[str, object]]] | None = None
    for query, found in zip(question["queries"], question["found"], strict=True):
        grade = grader.grade(query, [Hit(**hit) for hit in found])
        if best is None or grade.confidence > best[0].confidence:
            best = (grade, found)
    assert best is not None, "a question has at least one query"
    grade, hits = best
    return {
        "text": question["text"],
        "queries": question["queries"],
        "is_whole": question["is_whole"],
        "hits": hits,
        "confidence": grade.confidence,
        "is_sure": grade.is_sure,
        "is_answered": False,
    }
