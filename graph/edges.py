"""Where a conversation goes next: pure functions of the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from graph.history import is_long
from graph.judge import is_for_a_person
from graph.questions import decision_of, open_questions, to_clarify
from graph.state import Intent, State

AfterIntake = Literal["relay", "small_talk", "escalate", "retrieve", "answer", "__end__"]

AFTER_INTAKE: Mapping[Intent, AfterIntake] = {
    "listen": "__end__",
    "quiet": "__end__",
    "relay": "relay",
    "small_talk": "small_talk",
    "wordless": "small_talk",
    "unsupported": "small_talk",
    "chosen": "answer",
    "human": "escalate",
    "failure": "escalate",
    "rate_limited": "escalate",
    "none_of_these": "escalate",
    "question": "retrieve",
}


def route_after_intake(state: State) -> AfterIntake:
    """Questions are looked up; everything else needs no search."""
    return "escalate" if is_for_a_person(state["turn"]) else AFTER_INTAKE[state["turn"]["intent"]]


def route_after_grade_confidence(state: State) -> Literal["read", "answer", "clarify", "escalate"]:
    """Let a reader look where that may decide."""
    if any(question.get("wants_reading") for question in state["questions"]):
        return "read"
    return route_after_read(state)


def route_beside_a_person(state: State) -> Literal["retrieve", "__end__"]:
    """Look up questions; a person does everything else."""
    return "retrieve" if state["turn"]["intent"] == "question" else "__end__"


def route_to_reading(state: State) -> Literal["read", "__end__"]:
    """Let a reader look where that may decide; beside a person that is all."""
    return "read" if route_after_grade_confidence(state) == "read" else "__end__"


def route_after_read(state: State) -> Literal["answer", "clarify", "escalate"]:
    """Answer as soon as one question is sure; what is left comes afterwards. A rule may want a person for all."""
    if is_for_a_person(state["turn"]):
        return "escalate"
    if any(decision_of(question) == "answer" for question in state["questions"]):
        return "answer"
    return "clarify" if to_clarify(state) else "escalate"


def route_after_answer(state: State) -> Literal["clarify", "escalate", "summarise", "__end__"]:
    """Ask back about the one question that stayed open, or hand over all that did."""
    if not open_questions(state):
        return route_to_the_end(state)
    return "clarify" if to_clarify(state) else "escalate"


def route_to_the_end(state: State) -> Literal["summarise", "__end__"]:
    """Put what was said long ago into fewer words, now that the customer has their answer."""
    return "summarise" if is_long(state) else "__end__"


def route_after_escalate(state: State) -> Literal["human_resume", "__end__"]:
    """Wait only where somebody can answer."""
    return "human_resume" if state["handoff"]["is_open"] else "__end__"


def route_after_human_resume(state: State) -> Literal["human_resume", "remember"]:
    """Keep waiting until the person hands back."""
    return "human_resume" if state["handoff"]["is_open"] else "remember"
