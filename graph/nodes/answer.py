"""Say what was found: the entry's own words, or what a reader wrote from the hits."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.choices import record_choice
from graph.context import Context
from graph.course import settled
from graph.questions import answer_of, decision_of
from graph.state import Question, State
from tools.ports import Outbox


async def answer(state: State, runtime: Runtime[Context], *, outbox: Outbox) -> State:
    """Say the answers of all sure questions in one message, naming the chunks they rest on."""
    del runtime
    turn = state["turn"]
    questions: list[Question] = [
        {**question, "is_answered": decision_of(question) == "answer"} for question in state["questions"]
    ]
    text, sources = answer_of(questions)
    await outbox.say(turn["thread_id"], turn["id"], "answer", text, sources=sources)
    await record_choice(turn, outbox)
    return {
        "questions": questions,
        "clarification": None,
        "course": settled(state),
        "messages": [AIMessage(id=f"{turn['id']}:answer", content=text, additional_kwargs={"sources": sources})],
    }
