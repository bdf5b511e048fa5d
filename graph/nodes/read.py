"""Let a reader look at the hits before it is decided whether they answer."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from langgraph.runtime import Runtime

from graph.context import Context, context_of
from graph.course import graded, with_mood
from graph.history import lines_of, notes_of
from graph.judge import Judge
from graph.profile import Profiles, profile_lines
from graph.reader import Reader, Reading
from graph.state import Course, Question, State, Turn
from graph.support import doubts
from kb.chunks import Hit
from kb.ports import Grader
from tools.messages import Mood
from tools.model_usage import Usage

logger = logging.getLogger(__name__)


PERSONAL = re.compile(r"我的|我[^,。?？]{0,4}(?:买|下单|订)|上次|之前|\bmy\b|\bmine\b", re.IGNORECASE)
"""Questions that what is known of the customer helps to understand."""

WORST: Sequence[Mood] = ("negative", "neutral", "positive")


async def read(
    state: State,
    runtime: Runtime[Context],
    *,
    reader: Reader | None,
    grader: Grader,
    judge: Judge,
    profiles: Profiles | None,
) -> State:
    """Read each question that wants it, grade it anew with the verdict, and keep an answer that may be sent.

    A reader that has no usable verdict changes nothing. One that denies, or whose answer says more than the entries it
    cites, leaves its question unsure; one that affirms is believed as far as the grader believes it. What it says
    beside that, how the customer sounds and what they tell about themselves, is kept; the rules are asked last.
    """
    turn = state["turn"]
    if reader is None:
        return {}
    known = await profiles.facts(turn["thread_id"]) if profiles else []
    wanting = [question for question in state["questions"] if question.get("wants_reading")]
    readings = await asyncio.gather(
        *(_reading_of(question, state, context_of(runtime), reader, profile_lines(known)) for question in wanting)
    )
    pairs = zip(wanting, readings, strict=True)
    settled = iter([_settled(question, reading, grader) for question, reading in pairs])
    questions = [next(settled) if question.get("wants_reading") else question for question in state["questions"]]
    usage = sum((reading.usage for reading in readings), Usage())
    logger.info("Hits were read", extra={"action": "read", "turn_id": turn["id"], **asdict(usage)})
    if profiles:
        told = [(_message_of(turn), fact) for reading in readings for fact in reading.told]
        await profiles.learn(turn["thread_id"], told, said_by="model")
    turn = graded({**turn, "usage": asdict(usage)}, questions, state.get("course") or {})
    turn = {**turn, "course": _heard(turn.get("course", {}), readings)}
    return {"questions": questions, "turn": judge.judged(turn, questions)}


def _heard(course: Course, readings: Sequence[Reading]) -> Course:
    """Believe the reader about how the customer sounds: of several opinions the worst."""
    moods = {reading.mood for reading in readings}
    worst = next((mood for mood in WORST if mood in moods), None)
    return with_mood(course, worst) if worst else course


def _message_of(turn: Turn) -> str:
    return next((line["message_id"] for line in reversed(turn["lines"]) if "message_id" in line), turn["id"])


async def _reading_of(
    question: Question, state: State, context: Context, reader: Reader, profile: Sequence[str]
) -> Reading:
    # One way to search for it: it was understood as it stands, and the reader needs no history either, but for what
    # the customer has told a person and shall not be asked again.
    is_alone = len(question["queries"]) == 1
    history: Sequence[str] = notes_of(state) if is_alone else lines_of(state, context.history_lines)
    hits = [Hit(**hit) for hit in question["hits"][: context.top_k]]
    beside = {"shown": question.get("shown", "")}
    if profile and (not is_alone or PERSONAL.search(question["text"])):
        beside["profile"] = "\n".join(profile)
    return await reader.read(
        question["text"],
        hits,
        history=history,
        beside={label: text for label, text in beside.items() if text},
        seconds=context.model_timeout_seconds,
    )


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
