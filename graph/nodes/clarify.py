"""Ask the customer which of the likely entries is meant, instead of guessing."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.choices import option_id_for
from graph.context import Context, Texts, context_of
from graph.course import settled
from graph.questions import suggested, to_clarify
from graph.state import Clarification, Option, PastOption, Question, State
from tools.messages import Menu, MenuOption
from tools.ports import Outbox

PAST_OPTIONS = 12
"""Options of how many menus are remembered: three of four."""


async def clarify(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts) -> State:
    """Offer the likely entries' questions and a way out; the next turn answers.

    Everything here is keyed by the turn, so a repeated run offers the same menu once.
    """
    turn, has_desk = state["turn"], context_of(runtime).has_desk
    question = to_clarify(state)
    assert question is not None, "routed here for exactly one question"
    none_of_these = texts.render("clarify_none" if has_desk else "clarify_none_no_desk")
    clarification = _clarification(turn["id"], question, none_of_these)
    options = tuple(
        MenuOption(option_id=option["option_id"], label=option["question"]) for option in clarification["options"]
    )
    menu = Menu(head=texts.render("clarify"), options=options, tail=texts.render("clarify_tail"))
    await outbox.offer(turn["thread_id"], turn["id"], "clarify", menu)
    offered = [*map(_past, clarification["options"]), *(state.get("offered") or [])]
    return {
        "clarification": clarification,
        "course": settled(state),
        "offered": offered[:PAST_OPTIONS],
        "messages": [AIMessage(id=f"{turn['id']}:clarify", content=menu.text)],
    }


def _clarification(turn_id: str, question: Question, none_of_these: str) -> Clarification:
    options: list[Option] = [
        {
            "option_id": option_id_for(turn_id, hit["entry_id"]),
            "entry_id": hit["entry_id"],
            "chunk_id": hit["chunk_id"],
            "question": hit["question"],
            "answer": hit["answer"],
        }
        for hit in suggested(question)
    ]
    way_out: Option = {
        "option_id": option_id_for(turn_id, ""),
        "entry_id": "",
        "chunk_id": "",
        "question": none_of_these,
        "answer": "",
    }
    return {
        "turn_id": turn_id,
        "question": question["text"],
        "confidence": question["confidence"],
        "options": [*options, way_out],
    }


def _past(option: Option) -> PastOption:
    return {"option_id": option["option_id"], "entry_id": option["entry_id"], "question": option["question"]}
