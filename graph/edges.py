"""Where a conversation goes next: pure functions of the state."""

from __future__ import annotations

from typing import Literal

from graph.state import State


def route_after_intake(state: State) -> Literal["relay", "small_talk", "escalate", "retrieve", "__end__"]:
    """Questions are looked up; everything else needs no knowledge."""
    intent = state["turn"]["intent"]
    if intent == "listen":
        return "__end__"
    if intent == "relay":
        return "relay"
    if intent in {"small_talk", "unsupported"}:
        return "small_talk"
    if intent in {"human", "failure", "rate_limited"}:
        return "escalate"
    return "retrieve"


def route_after_grade_confidence(state: State) -> Literal["answer", "escalate"]:
    """Answer as soon as one question is sure; what is left is handed over afterwards."""
    return "answer" if any(question["is_sure"] for question in state["questions"]) else "escalate"


def route_after_answer(state: State) -> Literal["escalate", "__end__"]:
    """Hand over what stayed unanswered."""
    return "__end__" if all(question["is_answered"] for question in state["questions"]) else "escalate"


def route_after_escalate(state: State) -> Literal["human_resume", "__end__"]:
    """Wait only where somebody can answer."""
    return "human_resume" if state["handoff"]["is_open"] else "__end__"


def route_after_human_resume(state: State) -> Literal["human_resume", "__end__"]:
    """Keep waiting until the person hands back."""
    return "human_resume" if state["handoff"]["is_open"] else "__end__"
