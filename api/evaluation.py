"""Runs search, grade and decision over a labelled set, in a schema of its own that is dropped at the end.

Format of both files: `docs/accuracy.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import BaseModel, ValidationError

from api.database import Pool, open_pool
from api.errors import ApiError
from api.knowledge import Knowledge, open_knowledge
from api.settings import Settings
from kb.calibration import Report
from kb.chunks import GRADED_HITS, SUGGESTED_HITS, Chunk, Grade, Hit
from kb.ingest import import_articles
from kb.measuring import Label, Progress, silent

AT_ONCE = 4
"""Searches at a time."""

WARM = 256
"""Messages embedded at a time."""

SCRATCH_TABLES = ("knowledge_chunks", "knowledge_changes", "calibrations", "answer_labels")


Line = TypeVar("Line", bound=BaseModel)


class EntryLine(BaseModel):
    """One entry of a labelled base."""

    id: str
    question: str
    similar: list[str] = []
    answer: str = ""
    category: str = ""


class QueryLine(BaseModel):
    """One message of a labelled set; what else the line holds is for the scorer only."""

    query: str


class LabelLine(BaseModel):
    """One message that somebody judged."""

    query: str
    gold_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out."""

    predictions: list[dict[str, Any]]
    report: Report


async def evaluate(
    settings: Settings,
    conninfo: str,
    entries: Sequence[EntryLine],
    queries: Sequence[QueryLine],
    labels: Sequence[Label] = (),
    *,
    max_wrong: float,
    progress: Progress = silent,
) -> Evaluation:
    """Import the entries, fit the confidence without looking at the messages, and decide on each message.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with _scratch(conninfo) as scratch, open_pool(scratch, size=2 + AT_ONCE) as pool:
        async with open_knowledge(settings, pool, scratch) as knowledge:
            await import_articles(pool, knowledge.embedder, [chunk for entry in entries for chunk in _chunks(entry)])
            report = await knowledge.calibrate(labels, max_wrong=max_wrong)
            predictions = await _decide(knowledge, queries, progress)
    return Evaluation(predictions=predictions, report=report)


async def _decide(knowledge: Knowledge, queries: Sequence[QueryLine], progress: Progress) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def predict(index: int, text: str) -> dict[str, Any]:
        nonlocal done
        async with slots:
            hits, grade = await knowledge.try_question(text, limit=GRADED_HITS)
        done += 1
        progress(done, len(queries))
        return prediction(index, hits, grade)

    predictions: list[dict[str, Any]] = []
    for start in range(0, len(queries), WARM):
        texts = [line.query for line in queries[start : start + WARM]]
        await knowledge.retriever.warm(texts)
        predictions += await asyncio.gather(*(predict(start + n, text) for n, text in enumerate(texts)))
    return predictions


def prediction(index: int, hits: Sequence[Hit], grade: Grade) -> dict[str, Any]:
    """Return one line of the scorer's format."""
    ids = [hit.entry_id for hit in hits]
    return {
        "query_index": index,
        "answered": grade.decision == "answer",
        "entry_id": ids[0] if ids else None,
        "confidence": round(grade.confidence, 6),
        "candidates": ids,
        "suggested": ids[:SUGGESTED_HITS] if grade.decision == "clarify" else [],
    }


def read_lines(path: Path, kind: type[Line]) -> list[Line]:
    """Read a file of JSON lines.

    Raises:
        ApiError: the file is not there, or a line is not what it should be.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(f"{path} cannot be read ({type(error).__name__})") from error
    lines: list[Line] = []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            lines.append(kind.model_validate(json.loads(text)))
        except (ValidationError, ValueError) as error:
            wanted = ", ".join(kind.model_fields)
            raise ApiError(f"{path}, line {number}: not a JSON object with {wanted}") from error
    return lines


def _chunks(entry: EntryLine) -> list[Chunk]:
    return [
        Chunk(
            content=f"{question}\n{entry.answer}".strip(),
            question=question,
            answer=entry.answer,
            entry_id=entry.id,
            source="",
            category=entry.category,
        )
        for question in dict.fromkeys([entry.question, *entry.similar])
    ]


@contextlib.asynccontextmanager
async def _scratch(conninfo: str) -> AsyncIterator[str]:
    """Make a schema with empty tables of the knowledge base; yield a connection string that sees it first."""
    schema = f"eval_{secrets.token_hex(6)}"
    name = sql.Identifier(schema)
    async with open_pool(conninfo, size=2) as pool:
        await _create(pool, name)
        try:
            yield make_conninfo(conninfo, options=f"-csearch_path={schema},public")
        finally:
            async with pool.connection() as conn:
                await conn.execute(sql.SQL("drop schema {} cascade").format(name))


async def _create(pool: Pool, schema: sql.Identifier) -> None:
    async with pool.connection() as conn, conn.transaction():
        await conn.execute(sql.SQL("create schema {}").format(schema))
        for table in SCRATCH_TABLES:
            await conn.execute(
                sql.SQL("create table {}.{} (like {} including all)").format(
                    schema, sql.Identifier(table), sql.Identifier(table)
                )
            )
        await conn.execute(
            sql.SQL(
                "create trigger knowledge_chunks_changed after insert or update or delete on {}.knowledge_chunks"
                " for each statement execute function knowledge_chunks_changed()"
            ).format(schema)
        )
