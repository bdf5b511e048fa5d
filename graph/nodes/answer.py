"""Say what was found: the entry's own words, or what a reader wrote from the hits."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.choices import record_choice
from graph.context import Context
from graph.questions import decision_of
from graph.state import Question, State
from tools.ports import Outbox


async def answer(state: State, runtime: Runtime[Context], *, outbox: Outbox) -> State:
    """Say the answers of all sure questions in one message, naming the chunks they rest on."""
    del runtime
    turn = state["turn"]
    questions: list[Question] = []
    answers: dict[str, list[str]] = {}
    for question in state["questions"]:
        is_sure = decision_of(question) == "answer"
        questions.append({**question, "is_answered": is_sure})
        if is_sure:
            answers.setdefault(_answer(question), _sources(question))
    sources = [source for found in answers.values() for source in found]
    text = "\n\n".join(answers)
    await outbox.say(turn["thread_id"], turn["id"], "answer", text, sources=sources)
    await record_choice(turn, outbox)
    return {
        "questions": questions,
        "clarification": None,
        "messages": [AIMessage(id=f"{turn['id']}:answer", content=text, additional_kwargs={"sources": sources})],
    }


def _answer(question: Question) -> str:
    return question.get("reply") or str(question["hits"][0]["answer"])


def _sources(question: Question) -> list[str]:
    return question["cited"] if question.get("reply") else [question["hits"][0]["chunk_id"]]
