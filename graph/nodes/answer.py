"""Answer what the knowledge base covers: the entry's own words, or a model bound to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from langchain_core.exceptions import LangChainException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from graph.context import Context, Texts, context_of
from graph.history import lines_of
from graph.state import Question, State
from prompts.fence import fence
from tools.errors import ToolError
from tools.ports import Outbox

logger = logging.getLogger(__name__)


async def answer(
    state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts, model: BaseChatModel | None
) -> State:
    """Say the answers of all sure questions in one message, naming the chunks they rest on.

    A model that refuses leaves its question unanswered, so that a person gets it; a model that fails or is too slow
    is replaced by the entry's own text.
    """
    turn, context = state["turn"], context_of(runtime)
    answers: list[str] = []
    sources: list[str] = []
    questions: list[Question] = []
    for question in state["questions"]:
        reply = await _reply(question, state, context, texts, model) if question["is_sure"] else None
        questions.append({**question, "is_answered": reply is not None})
        if reply is not None and reply not in answers:
            answers.append(reply)
            sources.extend(hit["chunk_id"] for hit in _cited(question, model))
    if not answers:
        return {"questions": questions}
    text = "\n\n".join(answers)
    await outbox.say(turn["thread_id"], turn["id"], "answer", text, sources=sources)
    message = AIMessage(id=f"{turn['id']}:answer", content=text, additional_kwargs={"sources": sources})
    return {"questions": questions, "messages": [message]}


def _cited(question: Question, model: BaseChatModel | None) -> list[dict[str, str]]:
    return question["hits"] if model is not None else question["hits"][:1]


async def _reply(
    question: Question, state: State, context: Context, texts: Texts, model: BaseChatModel | None
) -> str | None:
    verbatim: str = question["hits"][0]["answer"]
    if model is None:
        return verbatim
    refusal = texts.render("refusal").strip()
    asked = fence("question", question["text"])
    system = texts.render(
        "answer",
        refusal=refusal,
        hits=fence("knowledge", _numbered(question["hits"][: context.top_k])),
        history=fence("history", "\n".join(lines_of(state, context.history_lines))),
        question=asked,
    )
    try:
        async with asyncio.timeout(context.model_timeout_seconds):
            message = await model.ainvoke([SystemMessage(system), HumanMessage(asked)])
    except (TimeoutError, LangChainException, ToolError) as error:
        logger.warning(
            "Chat model failed, answering from the entry",
            extra={"action": "model_failed", "error": type(error).__name__, "turn_id": state["turn"]["id"]},
        )
        return verbatim
    text = message.text.strip()
    if refusal in text:
        return None
    return text or verbatim


def _numbered(hits: Sequence[Mapping[str, str]]) -> str:
    return "\n\n".join(f"[{number}] {hit['content']}" for number, hit in enumerate(hits, start=1))
