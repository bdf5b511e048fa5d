"""The words of the stored chunks, in memory: the second opinion of a search, and all of it while no vector is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kb.chunks import Chunk, Hit
from kb.ranking import first_width
from kb.rows import parse_row
from kb.vector_index import Pool, fetch
from kb.word_table import WordTable, searched_text

LEG = "lexical"
"""The value of a hit's metadata `leg` that tells a grader not to read its score as a cosine."""

VERSION = "select coalesce(max(id), 0) || '.' || count(*) as version from knowledge_changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk as the table holds it."""

    row_id: str
    metadata: Mapping[str, Any]
    chunk: Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole base at one version."""

    version: str
    rows: Sequence[StoredChunk]
    words: WordTable

    def search(self, query: str, *, limit: int) -> list[Hit]:
        """Search by words alone: the best hits, best first, at most one per entry; their metadata names the leg."""
        best: dict[str, tuple[float, StoredChunk]] = {}
        for place in self.words.best(query, limit=first_width(limit)):
            row = self.rows[place]
            score = self.words.alike(query, searched_text(row.chunk))
            if row.chunk.entry_id not in best or score > best[row.chunk.entry_id][0]:
                best[row.chunk.entry_id] = score, row
        # Stable: among equal scores the order of BM25 stays.
        chosen = sorted(best.values(), key=lambda scored: -scored[0])[:limit]
        return [_hit(row, score) for score, row in chosen]


async def read_version(pool: Pool) -> str:
    """Return a mark of the base's state; any change of the table gives another.

    Raises:
        IndexUnavailableError: the database does not answer, or has no table yet.
    """
    [row] = await fetch(pool, VERSION, {})
    return str(row["version"])


class LexicalIndex:
    """Keeps a snapshot of `knowledge_chunks`; read at the first search and again when the table changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._snapshot: Snapshot | None = None
        self._reading = asyncio.Lock()

    async def current(self) -> Snapshot:
        """Return the base as it is now.

        Raises:
            IndexUnavailableError: the database does not answer, or has no table yet.
        """
        async with self._reading:
            version = await read_version(self._pool)
            if self._snapshot is None or self._snapshot.version != version:
                stored = await fetch(self._pool, "select id, content, metadata from knowledge_chunks order by id", {})
                self._snapshot = await asyncio.to_thread(_read, version, stored)
            return self._snapshot

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Search by words alone; see `Snapshot.search`.

        Raises:
            IndexUnavailableError: the database does not answer, or has no table yet.
        """
        snapshot = await self.current()
        return await asyncio.to_thread(snapshot.search, query, limit=limit)


def _read(version: str, stored: Sequence[Mapping[str, Any]]) -> Snapshot:
    rows = [
        StoredChunk(row_id=str(row["id"]), metadata=row["metadata"], chunk=parse_row(row["content"], row["metadata"]))
        for row in stored
    ]
    return Snapshot(version=version, rows=rows, words=WordTable([row.chunk for row in rows]))


def _hit(row: StoredChunk, score: float) -> Hit:
    chunk = row.chunk
    return Hit(
        chunk_id=row.row_id,
        entry_id=chunk.entry_id,
        content=chunk.content,
        question=chunk.question,
        answer=chunk.answer,
        score=score,
        metadata={**row.metadata, "leg": LEG},
    )
