"""Decide what to do about each question: answer, ask back, or hand over."""

from __future__ import annotations

from dataclasses import asdict

from langgraph.runtime import Runtime

from graph.context import Context
from graph.course import graded as graded_turn
from graph.judge import Judge
from graph.state import Question, State
from kb.chunks import Decision, Grade, Hit
from kb.ports import Grader

READ_FLOOR = 0.05
"""Below this neither the best hit nor the first three are worth a reader's time."""

RANK: dict[Decision, int] = {"answer": 2, "clarify": 1, "escalate": 0}


async def grade_confidence(
    state: State, runtime: Runtime[Context], *, grader: Grader, judge: Judge, can_read: bool
) -> State:
    """Grade each question and settle how a burst of lines is read.

    Several lines are several questions unless together they come further than each on its own: then they are one
    question typed in pieces. What the customer chose from a menu is decided already. The rules are asked here, or by
    the reader's node where a reader looks first.
    """
    del runtime
    settled = [question for question in state["questions"] if "decision" in question]
    graded = [_grade(question, grader, can_read) for question in state["questions"] if "decision" not in question]
    whole = [question for question in graded if question["is_whole"]]
    singles = [question for question in graded if not question["is_whole"]]
    best_single = max((RANK[question["decision"]] for question in singles), default=-1)
    if whole and RANK[whole[0]["decision"]] > best_single:
        singles = whole
    questions = [*settled, *singles]
    if any(question.get("wants_reading") for question in questions):
        return {"questions": questions}
    turn = graded_turn(state["turn"], questions, state.get("course") or {})
    return {"questions": questions, "turn": judge.judged(turn, questions)}


def _grade(question: Question, grader: Grader, can_read: bool) -> Question:
    readings = [
        (query, hits, grader.grade(query, hits))
        for query, found in zip(question["queries"], question["found"], strict=True)
        for hits in [[Hit(**hit) for hit in found]]
    ]
    query, hits, grade = max(readings, key=lambda reading: reading[2].confidence)
    wanted = [hit for hit in hits if hit.entry_id == question.get("wanted")]
    decided: Question = {
        "text": question["text"],
        "queries": question["queries"],
        "is_whole": question["is_whole"],
        "query": query,
        "hits": [asdict(hit) for hit in wanted or hits],
        "confidence": grade.confidence,
        # An option of an earlier menu was clicked: what is wanted is known, whatever the words alone would tell.
        "is_sure": bool(wanted) or grade.is_sure,
        "decision": "answer" if wanted else grade.decision,
        "wants_reading": can_read and not wanted and _is_worth_reading(grade, hits),
        "is_answered": False,
    }
    if "origin" in question:
        decided["origin"] = question["origin"]
    if "shown" in question:
        decided["shown"] = question["shown"]
    return decided


def _is_worth_reading(grade: Grade, hits: list[Hit]) -> bool:
    if grade.is_sure:
        # A passage is not an answer as it stands.
        return not hits[0].question
    return bool(hits) and max(grade.confidence, grade.shortlist) >= READ_FLOOR
