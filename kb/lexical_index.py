"""Search by words alone, for when no vector can be made of a question."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.chunks import Chunk, Hit
from kb.lexical import bigrams, clean, core
from kb.ranking import first_width
from kb.rows import parse_row
from kb.vector_index import Pool, fetch

LEG = "lexical"
"""The value of a hit's metadata `leg` that tells a grader not to read its score as a cosine."""

ANSWER_WEIGHT = 0.3
"""What a word in the answer counts beside one in the question."""

CORE_SHARE = 0.75
"""How much of the score the telling words make; the rest is the whole wording, politeness and question words too."""

_K1, _B = 1.2, 0.75  # BM25's usual constants

Posting = tuple[NDArray[np.int32], NDArray[np.float32]]


class WordTable:
    """Stored chunks by the words in them: BM25 finds candidates, shared wording with the question scores them."""

    def __init__(self, rows: Sequence[tuple[str, Mapping[str, Any], Chunk]]) -> None:
        self._rows = rows
        self._idf: dict[str, float] = {}
        self._postings: dict[str, Posting] = {}
        self._rarest = math.log(1 + len(rows))
        found: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        lengths = np.zeros(len(rows), dtype=np.float32)
        for number, (_, _, chunk) in enumerate(rows):
            units = _units(chunk)
            lengths[number] = sum(units.values())
            for unit, count in units.items():
                found[unit].append((number, count))
        usual = float(lengths.mean()) if len(rows) else 1.0
        for unit, places in found.items():
            self._idf[unit] = math.log(1 + (len(rows) - len(places) + 0.5) / (len(places) + 0.5))
            numbers = np.asarray([number for number, _ in places], dtype=np.int32)
            counts = np.asarray([count for _, count in places], dtype=np.float32)
            damping = _K1 * (1 - _B + _B * lengths[numbers] / usual)
            weights = self._idf[unit] * counts * (_K1 + 1) / (counts + damping)
            self._postings[unit] = numbers, weights.astype(np.float32)

    def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry; only chunks that share a word with the query."""
        asked = clean(query)
        rank = np.zeros(len(self._rows), dtype=np.float32)
        for unit in bigrams(asked):
            if (posting := self._postings.get(unit)) is not None:
                rank[posting[0]] += posting[1]
        ordered = [number for number in np.argsort(-rank, kind="stable").tolist() if rank[number] > 0]
        best: dict[str, tuple[float, int]] = {}
        width = first_width(limit)
        for place, number in enumerate(ordered):
            if place >= width and len(best) >= limit:
                break
            entry_id = self._rows[number][2].entry_id
            score = self._likeness(asked, self._rows[number][2])
            if entry_id not in best or score > best[entry_id][0]:
                best[entry_id] = score, number
        # Stable: among equal scores the order of BM25 stays.
        chosen = sorted(best.values(), key=lambda scored: -scored[0])[:limit]
        return [self._hit(number, score) for score, number in chosen]

    def _likeness(self, asked: str, chunk: Chunk) -> float:
        """Tell how alike the wording is, 0..1, rare words counting more; 1 is the same text."""
        found = clean(chunk.question or chunk.content)
        if asked == found:
            return 1.0
        telling = self._shared(core(asked), core(found))
        whole = self._shared(frozenset(bigrams(asked)), frozenset(bigrams(found)))
        return CORE_SHARE * telling + (1 - CORE_SHARE) * whole

    def _shared(self, left: frozenset[str], right: frozenset[str]) -> float:
        total = self._weight(left) + self._weight(right)
        return 2 * self._weight(left & right) / total if total else 0.0

    def _weight(self, units: frozenset[str]) -> float:
        return sum(self._idf.get(unit, self._rarest) for unit in units)

    def _hit(self, number: int, score: float) -> Hit:
        row_id, metadata, chunk = self._rows[number]
        return Hit(
            chunk_id=row_id,
            entry_id=chunk.entry_id,
            content=chunk.content,
            question=chunk.question,
            answer=chunk.answer,
            score=score,
            metadata={**metadata, "leg": LEG},
        )


class LexicalIndex:
    """The words of `knowledge_chunks`, held in memory; read at the first search and again when the table changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._state: tuple[datetime | None, int] = (None, 0)
        self._table = WordTable([])
        self._reading = asyncio.Lock()

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry; their metadata names the leg.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        table = await self._current()
        return await asyncio.to_thread(table.search, query, limit=limit)

    async def _current(self) -> WordTable:
        async with self._reading:
            [facts] = await fetch(
                self._pool, "select max(updated_at) as changed_at, count(*) as rows from knowledge_chunks", {}
            )
            state = (facts["changed_at"], facts["rows"])
            if state != self._state:
                stored = await fetch(self._pool, "select id, content, metadata from knowledge_chunks order by id", {})
                self._table = await asyncio.to_thread(_read, stored)
                self._state = state
            return self._table


def _read(stored: Sequence[Mapping[str, Any]]) -> WordTable:
    return WordTable([(str(row["id"]), row["metadata"], parse_row(row["content"], row["metadata"])) for row in stored])


def _units(chunk: Chunk) -> dict[str, float]:
    # A passage is its content; headings and text are all it can be found by.
    units: Counter[str] = bigrams(clean(chunk.question or chunk.content))
    weighed: dict[str, float] = dict(units)
    if chunk.question:
        for unit, count in bigrams(clean(chunk.answer)).items():
            weighed[unit] = weighed.get(unit, 0.0) + ANSWER_WEIGHT * count
    return weighed
