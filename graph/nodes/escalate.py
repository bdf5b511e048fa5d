"""Hand over to a person: tell the customer, open the ticket, show the card."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import Context, Texts, context_of
from graph.history import history_of
from graph.state import Question, State
from tools.messages import Handoff, HandoffReason
from tools.ports import Outbox

DRAFT_CONFIDENCE = 0.2
"""Below this the best entry is about something else, and proposing it wastes the agent's time."""


async def escalate(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts) -> State:
    """Write the hold message and the ticket; the wait itself is the next node.

    Everything here is keyed by the turn, so a repeated run opens no second ticket.
    """
    turn, context = state["turn"], context_of(runtime)
    open_questions = [question for question in state["questions"] if not question.get("is_answered")]
    reason = _reason(state, open_questions)
    ticket_id = turn["id"]
    hold = "rate_limited" if reason == "rate_limited" else "hold"
    text = texts.render(hold if context.has_desk else "no_desk")
    handoff = Handoff(
        ticket_id=ticket_id,
        thread_id=turn["thread_id"],
        customer_name="",
        question="\n".join(question["text"] for question in open_questions),
        reason=reason,
        confidence=min((q["confidence"] for q in open_questions if "confidence" in q), default=None),
        history=history_of(state, context.history_lines),
        draft=_draft(open_questions),
    )
    await outbox.say(turn["thread_id"], turn["id"], "hold", text)
    await outbox.hand_over(handoff)
    return {
        "handoff": {"ticket_id": ticket_id, "reason": reason, "is_open": context.has_desk},
        "messages": [AIMessage(id=f"{turn['id']}:hold", content=text)],
    }


def _reason(state: State, open_questions: list[Question]) -> HandoffReason:
    intent = state["turn"]["intent"]
    if intent == "human":
        return "asked_for_human"
    if intent == "failure":
        return "failure"
    if intent == "rate_limited":
        return "rate_limited"
    refused = any(question.get("is_sure") for question in open_questions)
    return "model_refused" if refused else "low_confidence"


def _draft(open_questions: list[Question]) -> str:
    likely = [question for question in open_questions if question.get("confidence", 0) >= DRAFT_CONFIDENCE]
    drafts = [question["hits"][0]["answer"] for question in likely]
    return "\n\n".join(dict.fromkeys(drafts))
