"""The in-memory `Retriever`: for tests, for Studio, and for trying a base without storing it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kb.chunks import Chunk, Hit
from kb.embeddings import Embedder, embed_chunks
from kb.ranking import best_per_entry, first_width
from kb.retriever import asked_text
from kb.rows import row_metadata
from kb.word_table import WordTable


class MemoryRetriever:
    """Searches chunks held in memory; they are read and embedded at the first search."""

    def __init__(self, chunks: Sequence[Chunk] | Callable[[], Sequence[Chunk]], embedder: Embedder) -> None:
        self._source = chunks
        self._embedder = embedder
        self._loaded: tuple[Sequence[Chunk], NDArray[np.float32], WordTable] | None = None
        self._loading = asyncio.Lock()

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry.

        Raises:
            IndexUnavailableError: the embedding service does not answer.
        """
        asked = asked_text(query)
        chunks, matrix, words = await self._load()
        if not asked or not chunks:
            return []
        asked = words.spelled(asked)
        [vector] = await self._embedder.embed_questions([asked])
        scores = matrix @ vector
        nearest = np.argsort(-scores, kind="stable").tolist()
        width = first_width(limit)
        while True:
            found = nearest[:width]
            if len(found) < width or len({chunks[place].entry_id for place in found}) >= limit:
                break
            width *= 4
        shares = words.shared(asked, found)
        pieces = (
            _hit(place, chunks[place], float(scores[place]), shared)
            for place, shared in zip(found, shares, strict=True)
        )
        return best_per_entry(pieces, limit=limit)

    async def _load(self) -> tuple[Sequence[Chunk], NDArray[np.float32], WordTable]:
        async with self._loading:
            if self._loaded is None:
                chunks = await asyncio.to_thread(self._source) if callable(self._source) else self._source
                vectors = await embed_chunks(self._embedder, chunks)
                matrix = np.stack(vectors) if vectors else np.zeros((0, 1), dtype=np.float32)
                self._loaded = chunks, matrix, WordTable(chunks)
            return self._loaded


def _hit(index: int, chunk: Chunk, score: float, wording: float) -> Hit:
    return Hit(
        chunk_id=f"chunk-{index:06d}",
        entry_id=chunk.entry_id,
        content=chunk.content,
        question=chunk.question,
        answer=chunk.answer,
        score=min(max(score, 0.0), 1.0),
        wording=wording,
        metadata=row_metadata(chunk),
    )
