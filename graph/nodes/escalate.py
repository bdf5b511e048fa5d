"""Hand over to a person: tell the customer, open the ticket, show the card."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.choices import record_choice
from graph.context import Context, Hours, Texts, context_of
from graph.history import history_of
from graph.questions import open_questions
from graph.state import Question, State
from kb.chunks import SUGGESTED_HITS
from tools.messages import Candidate, Handoff, HandoffReason
from tools.ports import Outbox

DRAFT_CONFIDENCE = 0.2
"""Below this the best entry is about something else, and proposing it wastes the agent's time."""


async def escalate(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts, hours: Hours) -> State:
    """Write the hold message and the ticket; the wait itself is the next node.

    Everything here is keyed by the turn, so a repeated run opens no second ticket.
    """
    turn, context = state["turn"], context_of(runtime)
    left = open_questions(state)
    reason = _reason(state, left)
    ticket_id = turn["id"]
    text = _hold(reason, texts, hours) if context.has_desk else texts.render("no_desk")
    handoff = Handoff(
        ticket_id=ticket_id,
        thread_id=turn["thread_id"],
        customer_name="",
        question="\n".join(_asked(left)),
        reason=reason,
        confidence=min((question["confidence"] for question in left if "confidence" in question), default=None),
        history=history_of(state, context.history_lines),
        draft=_draft(left),
        hits=_candidates(left),
    )
    await outbox.say(turn["thread_id"], turn["id"], "hold", text)
    await record_choice(turn, outbox)
    await outbox.hand_over(handoff)
    return {
        "clarification": None,
        "handoff": {"ticket_id": ticket_id, "reason": reason, "is_open": context.has_desk},
        "messages": [AIMessage(id=f"{turn['id']}:hold", content=text)],
    }


def _hold(reason: HandoffReason, texts: Texts, hours: Hours) -> str:
    name = "rate_limited" if reason == "rate_limited" else "hold"
    back = hours.back_at()
    return texts.render(f"{name}_closed", back=back) if back else texts.render(name)


def _asked(left: list[Question]) -> list[str]:
    """List what the customer wants to know, with the question that a menu did not settle."""
    origins = dict.fromkeys(question["origin"] for question in left if "origin" in question)
    return [*origins, *(question["text"] for question in left)]


def _reason(state: State, left: list[Question]) -> HandoffReason:
    intent = state["turn"]["intent"]
    if intent == "human":
        return "asked_for_human"
    if intent == "failure":
        return "failure"
    if intent == "rate_limited":
        return "rate_limited"
    known = (question["handoff_reason"] for question in left if "handoff_reason" in question)
    return next(known, "low_confidence")


def _draft(left: list[Question]) -> str:
    # What was chosen from a menu against has no hits: the person shall not propose it again.
    likely = [q for q in left if q.get("confidence", 0) >= DRAFT_CONFIDENCE and q.get("hits")]
    drafts = [question.get("reply") or str(question["hits"][0]["answer"]) for question in likely]
    return "\n\n".join(dict.fromkeys(drafts))


def _candidates(left: list[Question]) -> tuple[Candidate, ...]:
    """List what came close, each entry once: the first of every question, then the second."""
    entries: dict[str, Candidate] = {}
    for rank in range(SUGGESTED_HITS):
        for question in left:
            # What a customer clicked on was not searched for: it has no score.
            for hit in question.get("hits", [])[rank : rank + 1]:
                if "score" in hit:
                    asked = hit["question"] or hit["content"]
                    close = Candidate(entry_id=hit["entry_id"], question=asked, score=float(hit["score"]))
                    entries.setdefault(close.entry_id, close)
    return tuple(entries.values())[:SUGGESTED_HITS]
