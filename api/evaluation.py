"""Runs search, grade and decision over a labelled set, beside the live knowledge base and without touching it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.database import open_pool
from api.knowledge import Knowledge, open_knowledge
from api.labelled_files import EntryLine, QueryLine
from api.scratch import scratch_schema
from api.settings import Settings
from kb.calibration import Report
from kb.chunks import GRADED_HITS, SUGGESTED_HITS, Chunk, Grade, Hit
from kb.embeddings import Embedder
from kb.ingest import import_articles
from kb.measuring import Label
from kb.vectors import Vector, clean_text

AT_ONCE = 4
"""Searches at a time."""

WARM = 256
"""Messages embedded at a time."""

Phases = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


def in_silence(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


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
    progress: Phases = in_silence,
) -> Evaluation:
    """Import the entries, fit the confidence without looking at the messages, and decide on each message.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with open_trial(settings, conninfo, entries, progress=progress) as trial:
        report = await trial.fit(labels, max_wrong=max_wrong)
        return Evaluation(predictions=await trial.decide([line.query for line in queries]), report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A base of its own that can be fitted and asked."""

    knowledge: Knowledge
    entry_ids: Mapping[str, str]
    """Our ids -> those of the entries; theirs may hold anything and are kept out of the tables."""
    progress: Phases = in_silence

    async def fit(self, labels: Sequence[Label], *, max_wrong: float) -> Report:
        """Fit the confidence; `labels` name the entries by their own ids."""
        ours = {entry_id: own for own, entry_id in self.entry_ids.items()}
        return await self.knowledge.calibrate(
            [
                Label(question=label.question, entry_id=None if label.entry_id is None else ours[label.entry_id])
                for label in labels
            ],
            max_wrong=max_wrong,
            progress=lambda done, total: self.progress("measuring", done, total),
        )

    async def decide(self, queries: Sequence[str]) -> list[dict[str, Any]]:
        """Decide on each message: a line of the scorer's format each."""
        searched = await self.search(queries)
        graded = ((hits, self.knowledge.grader.grade(text, hits)) for text, hits in zip(queries, searched, strict=True))
        return [
            prediction(index, [self.entry_ids[hit.entry_id] for hit in hits], grade)
            for index, (hits, grade) in enumerate(graded)
        ]

    async def search(self, queries: Sequence[str]) -> list[list[Hit]]:
        """Search for each message as the bot does."""
        slots = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def find(text: str) -> list[Hit]:
            nonlocal done
            async with slots:
                hits, _ = await self.knowledge.try_question(text, limit=GRADED_HITS)
            done += 1
            self.progress("deciding", done, len(queries))
            return hits

        found: list[list[Hit]] = []
        for start in range(0, len(queries), WARM):
            texts = queries[start : start + WARM]
            await asyncio.gather(*(self.knowledge.retriever.warm(half) for half in (texts[::2], texts[1::2])))
            found += await asyncio.gather(*(find(text) for text in texts))
        return found


@contextlib.asynccontextmanager
async def open_trial(
    settings: Settings, conninfo: str, entries: Sequence[EntryLine], *, progress: Phases = in_silence
) -> AsyncIterator[Trial]:
    """Import the entries into tables of their own, which are dropped at the end.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    # Lines that share an id are one entry.
    ours = {entry_id: f"e{number}" for number, entry_id in enumerate(dict.fromkeys(entry.id for entry in entries))}
    async with (
        scratch_schema(conninfo) as scratch,
        open_pool(scratch, size=2 + AT_ONCE) as pool,
        open_knowledge(settings, pool, scratch) as knowledge,
    ):
        await import_articles(
            pool,
            _Halves(knowledge.embedder),
            [chunk for entry in entries for chunk in _chunks(entry, ours[entry.id])],
            progress=lambda done, total: progress("importing", done, total),
        )
        entry_ids = {own: entry_id for entry_id, own in ours.items()}
        yield Trial(knowledge=knowledge, entry_ids=entry_ids, progress=progress)


def prediction(index: int, entry_ids: Sequence[str], grade: Grade) -> dict[str, Any]:
    """Return one line of the scorer's format."""
    return {
        "query_index": index,
        "answered": grade.decision == "answer",
        "entry_id": entry_ids[0] if entry_ids else None,
        "confidence": round(grade.confidence, 6),
        "candidates": list(entry_ids),
        "suggested": list(entry_ids[:SUGGESTED_HITS]) if grade.decision == "clarify" else [],
    }


def _chunks(entry: EntryLine, entry_id: str) -> Iterator[Chunk]:
    answer = clean_text(entry.answer)
    asked = dict.fromkeys(map(clean_text, [entry.question, *entry.similar]))
    for question in filter(None, asked) if any(asked) else ("",):
        content = f"{question}\n{answer}".strip()
        # An entry that says nothing at all is found by nobody.
        if content:
            yield Chunk(
                content=content,
                question=question,
                answer=answer,
                entry_id=entry_id,
                source="",
                category=clean_text(entry.category),
            )


class _Halves:
    """An embedder that works on two halves at a time; this process has nothing else to do."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.model_id = embedder.model_id

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        middle = len(texts) // 2
        both = (texts[:middle], texts[middle:])
        first, second = await asyncio.gather(*(self._embedder.embed_questions(half) for half in both))
        return [*first, *second]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        middle = len(texts) // 2
        both = (texts[:middle], texts[middle:])
        first, second = await asyncio.gather(*(self._embedder.embed_passages(half) for half in both))
        return [*first, *second]

    async def aclose(self) -> None:
        """Leave the inner one to its owner."""
