"""Search over the stored chunks; distance becomes score here and nowhere else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from kb.chunks import Hit
from kb.embeddings import Embedder
from kb.ranking import MAX_QUERY, best_per_entry, first_width
from kb.rows import parse_row
from kb.vector_index import VectorIndex
from kb.vectors import Vector, clean_text

_CACHED_QUERIES = 512


class PgRetriever:
    """The `Retriever` over PostgreSQL."""

    def __init__(self, index: VectorIndex, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder
        self._cache: OrderedDict[str, Vector] = OrderedDict()

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry.

        Raises:
            IndexUnavailableError: the store or the embedding service does not answer.
        """
        asked = clean_text(query)[:MAX_QUERY]
        if not asked:
            return []
        vector = await self._vector(asked)
        width = first_width(limit)
        while True:
            rows = await self._index.nearest(vector, limit=width)
            pieces = [_hit(*row) for row in rows]
            if len(rows) < width or len({piece.entry_id for piece in pieces}) >= limit:
                return best_per_entry(asked, pieces, limit=limit)
            width *= 4

    async def _vector(self, text: str) -> Vector:
        vector = self._cache.get(text)
        if vector is None:
            [vector] = await self._embedder.embed_questions([text])
            self._cache[text] = vector
            if len(self._cache) > _CACHED_QUERIES:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(text)
        return vector


def _hit(row_id: str, content: str, metadata: Mapping[str, Any], distance: float) -> Hit:
    chunk = parse_row(content, metadata)
    return Hit(
        chunk_id=row_id,
        entry_id=chunk.entry_id,
        content=content,
        question=chunk.question,
        answer=chunk.answer,
        score=min(max(1 - distance, 0.0), 1.0),
        metadata=metadata,
    )
