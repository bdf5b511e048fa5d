"""Hand over to a person: tell the customer, open the ticket, show the card."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.choices import record_choice
from graph.context import Context, Ports, context_of
from graph.course import mood_of, relieved, settled
from graph.history import history_of
from graph.judge import is_for_a_person
from graph.long_text import shortened
from graph.profile import profile_lines
from graph.questions import open_questions
from graph.state import Question, State, Turn
from kb.chunks import SUGGESTED_HITS
from prompts.loader import EXPECTED
from tools.messages import Candidate, Handoff, HandoffReason

QUESTION = 600
"""Characters of one question on the card."""

DRAFT_CONFIDENCE = 0.2
"""Below this the best entry is about something else, and proposing it wastes the agent's time."""


async def escalate(state: State, runtime: Runtime[Context], *, ports: Ports) -> State:
    """Write the hold message and the ticket; the wait itself is the next node.

    Everything here is keyed by the turn, so a repeated run opens no second ticket.
    """
    turn, context, outbox = state["turn"], context_of(runtime), ports.outbox
    left = open_questions(state)
    reason = _reason(state, left)
    ticket_id = turn["id"]
    rule = turn.get("rule")
    text = _hold(turn, reason, ports) if context.has_desk else ports.texts.render("no_desk")
    known = await ports.profiles.facts(turn["thread_id"]) if ports.profiles else []
    course = settled(state)
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
        rule=rule["name"] if rule else "",
        priority=rule["priority"] if rule else "normal",
        channel=rule["channel"] if rule else None,
        mood=mood_of(course),
        profile=tuple(profile_lines(known)),
    )
    await outbox.say(turn["thread_id"], turn["id"], "hold", text)
    await record_choice(turn, outbox)
    await outbox.hand_over(handoff)
    return {
        "clarification": None,
        "course": relieved(course),
        "handoff": {"ticket_id": ticket_id, "reason": reason, "is_open": context.has_desk},
        "messages": [AIMessage(id=f"{turn['id']}:hold", content=text)],
    }


def _hold(turn: Turn, reason: HandoffReason, ports: Ports) -> str:
    name = "rate_limited" if reason == "rate_limited" else "hold"
    words = turn["rule"]["words"] if "rule" in turn and reason in {"rule", "asked_for_human"} else ""
    back = ports.hours.back_at()
    if not back:
        return ports.texts.render(words or name)
    closed = f"{words}_closed"
    return ports.texts.render(closed if words and closed in EXPECTED else f"{name}_closed", back=back)


def _asked(left: list[Question]) -> list[str]:
    """List what the customer wants to know, with the question that a menu did not settle."""
    origins = dict.fromkeys(question["origin"] for question in left if "origin" in question)
    shown = dict.fromkeys(question["shown"] for question in left if "shown" in question)
    return [*origins, *(shortened(question["text"], QUESTION) for question in left), *shown]


def _reason(state: State, left: list[Question]) -> HandoffReason:
    intent = state["turn"]["intent"]
    if intent == "human":
        return "asked_for_human"
    if intent == "failure":
        return "failure"
    if intent == "rate_limited":
        return "rate_limited"
    if is_for_a_person(state["turn"]):
        return "rule"
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
