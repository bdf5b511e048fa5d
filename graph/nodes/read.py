"""Let a reader look at the hits before it is decided whether they answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from langgraph.runtime import Runtime

from graph.context import Context, context_of
from graph.history import lines_of, notes_of
from graph.reader import Reader, Reading
from graph.state import Question, State
from graph.support import doubts
from kb.chunks import Hit
from kb.ports import Grader
from tools.model_usage import Usage

logger = logging.getLogger(__name__)


async def read(state: State, runtime: Runtime[Context], *, reader: Reader | None, grader: Grader) -> State:
    """Read each question that wants it, grade it anew with the verdict, and keep an answer that may be sent.

    A reader that has no usable verdict changes nothing. One that denies, or whose answer says more than the entries it
    cites, leaves its question unsure; one that affirms is believed as far as the grader believes it.
    """
    if reader is None:
        return {}
    context = context_of(runtime)
    wanting = [question for question in state["questions"] if question.get("wants_reading")]
    readings = await asyncio.gather(*(_reading_of(question, state, context, reader) for question in wanting))
    settled = iter([_settled(question, reading, grader) for question, reading in zip(wanting, readings, strict=True)])
    questions = [next(settled) if question.get("wants_reading") else question for question in state["questions"]]
    usage = sum((reading.usage for reading in readings), Usage())
    logger.info("Hits were read", extra={"action": "read", "turn_id": state["turn"]["id"], **asdict(usage)})
    return {"questions": questions, "turn": {**state["turn"], "usage": asdict(usage)}}


async def _reading_of(question: Question, state: State, context: Context, reader: Reader) -> Reading:
    # One way to search for it: it was understood as it stands, and the reader needs no history either, but for what
    # the customer has told a person and shall not be asked again.
    is_alone = len(question["queries"]) == 1
    history: Sequence[str] = notes_of(state) if is_alone else lines_of(state, context.history_lines)
    hits = [Hit(**hit) for hit in question["hits"][: context.top_k]]
    return await reader.read(question["text"], hits, history=history, seconds=context.model_timeout_seconds)


def _settled(question: Question, reading: Reading, grader: Grader) -> Question:
    if reading.is_supported is None:
        return question
    cited = [hit for chunk_id in reading.cited for hit in question["hits"] if hit["chunk_id"] == chunk_id]
    is_supported = reading.is_supported and _is_backed(question, reading, cited)
    # Graded is the entry the answer rests on, wherever the search had put it.
    hits = [*cited, *(hit for hit in question["hits"] if hit not in cited)] if is_supported else question["hits"]
    grade = grader.grade(question["query"], [Hit(**hit) for hit in hits], is_supported=is_supported)
    graded: Question = {**question, "hits": hits, "confidence": grade.confidence}
    if is_supported and grade.is_sure:
        return {**graded, "is_sure": True, "decision": "answer", "reply": reading.answer, "cited": list(reading.cited)}
    has_choice = grade.shortlist >= grade.shortlist_threshold
    return {**graded, "is_sure": False, "decision": "clarify" if has_choice else "escalate"}


def _is_backed(question: Question, reading: Reading, cited: Sequence[Mapping[str, str]]) -> bool:
    if len(cited) < len(reading.cited):
        return False
    sources = [text for hit in cited for text in (hit["content"], hit["answer"])]
    found = doubts(reading.answer, sources, question=question["text"])
    if found:
        logger.warning("An answer says more than its entries", extra={"action": "answer_unsupported", "doubts": found})
    return not found
