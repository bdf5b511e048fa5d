"""The words of the stored chunks, in memory: the second opinion of a search, and all of it while no vector is made."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kb.chunks import Chunk, Hit
from kb.ranking import first_width
from kb.rows import parse_row
from kb.vector_index import Pool, fetch
from kb.word_table import WordTable, searched_text

LEG = "lexical"
"""The value of a hit's metadata `leg` that tells a grader not to read its score as a cosine."""

READ_AT_ONCE = 2000
"""Rows."""

STAMPS = (
    "select string_agg(uuid_send(id) || int8send(xmin::text::bigint), '' order by id) as stamps from knowledge_chunks"
)
"""A row's id and the transaction that wrote it last, of all rows in one value: that costs no object a row."""

CHUNKS = "select id, content, metadata from knowledge_chunks where id = any(%(ids)s::uuid[]) order by id"

RANKING = 2
"""Raised whenever the search ranks another way: what was fitted to it is fitted anew."""

VERSION = "select %(ranking)s || '.' || coalesce(max(id), 0) || '.' || count(*) as version from knowledge_changes"

_STAMP_SIZE = 24


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
    stamps: Sequence[bytes] = ()
    """Which row at which of its states, in the order of `rows`."""
    places: Mapping[str, int] = field(default_factory=dict)
    """Where in `rows` the row with an id is."""

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
        return [replace(hit_of(row, score), metadata={**row.metadata, "leg": LEG}) for score, row in chosen]


async def read_version(pool: Pool) -> str:
    """Return a mark of the base's state; any change of the table gives another.

    Raises:
        IndexUnavailableError: the database does not answer, or has no table yet.
    """
    [row] = await fetch(pool, VERSION, {"ranking": str(RANKING)})
    return str(row["version"])


class LexicalIndex:
    """Keeps a snapshot of `knowledge_chunks`; read at the first search, and what changed when the table changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._snapshot = Snapshot(version="", rows=(), words=WordTable([]))
        self._reading = asyncio.Lock()

    @property
    def latest(self) -> Snapshot:
        """The base as it was when it was last looked at; empty before that."""
        return self._snapshot

    async def current(self) -> Snapshot:
        """Return the base as it is now.

        Raises:
            IndexUnavailableError: the database does not answer, or has no table yet.
        """
        async with self._reading:
            version = await read_version(self._pool)
            if self._snapshot.version != version:
                self._snapshot = await self._read(version, self._snapshot)
            return self._snapshot

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Search by words alone; see `Snapshot.search`.

        Raises:
            IndexUnavailableError: the database does not answer, or has no table yet.
        """
        snapshot = await self.current()
        return await asyncio.to_thread(snapshot.search, query, limit=limit)

    async def _read(self, version: str, earlier: Snapshot) -> Snapshot:
        [row] = await fetch(self._pool, STAMPS, {})
        kept, wanted = await asyncio.to_thread(_compare, row["stamps"] or b"", earlier)
        fresh: list[StoredChunk] = []
        stamps: list[bytes] = []
        for start in range(0, len(wanted), READ_AT_ONCE):
            # In portions: a large base at once would hold up everything else in this process.
            portion = {_row_id(stamp): stamp for stamp in wanted[start : start + READ_AT_ONCE]}
            stored = await fetch(self._pool, CHUNKS, {"ids": list(portion)})
            # What changed since the stamps were taken has another one; the next reading sees that.
            fresh += await asyncio.to_thread(_parse, stored)
            stamps += (portion[str(found["id"])] for found in stored)
        return await asyncio.to_thread(_join, version, earlier, kept, fresh, stamps)


def _compare(raw: bytes, earlier: Snapshot) -> tuple[list[int], list[bytes]]:
    """Return the places of the rows that are as they were, and the stamps of all others."""
    stamps = [raw[start : start + _STAMP_SIZE] for start in range(0, len(raw), _STAMP_SIZE)]
    current, known = frozenset(stamps), frozenset(earlier.stamps)
    kept = [place for place, stamp in enumerate(earlier.stamps) if stamp in current]
    return kept, [stamp for stamp in stamps if stamp not in known]


def _row_id(stamp: bytes) -> str:
    return str(uuid.UUID(bytes=stamp[:16]))


def _parse(stored: Sequence[Mapping[str, Any]]) -> list[StoredChunk]:
    return [
        StoredChunk(
            row_id=str(row["id"]),
            # The name is ours; a row may carry any metadata.
            metadata={name: value for name, value in row["metadata"].items() if name != "leg"},
            chunk=parse_row(row["content"], row["metadata"]),
        )
        for row in stored
    ]


def _join(
    version: str, earlier: Snapshot, kept: Sequence[int], fresh: Sequence[StoredChunk], stamps: Sequence[bytes]
) -> Snapshot:
    rows = [*(earlier.rows[place] for place in kept), *fresh]
    return Snapshot(
        version=version,
        rows=rows,
        places={row.row_id: place for place, row in enumerate(rows)},
        words=WordTable([row.chunk for row in fresh], earlier=earlier.words, kept=kept),
        stamps=[*(earlier.stamps[place] for place in kept), *stamps],
    )


def hit_of(row: StoredChunk, score: float, *, wording: float = 0.0) -> Hit:
    """Return what a search says of a row."""
    chunk = row.chunk
    return Hit(
        chunk_id=row.row_id,
        entry_id=chunk.entry_id,
        content=chunk.content,
        question=chunk.question,
        answer=chunk.answer,
        score=score,
        wording=wording,
        metadata=row.metadata,
    )
