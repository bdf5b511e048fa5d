"""Search over the stored chunks; distance becomes score here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from kb.chunks import Hit
from kb.embeddings import Embedder
from kb.errors import IndexUnavailableError
from kb.lexical_index import LexicalIndex
from kb.ports import Breaker
from kb.ranking import MAX_QUERY, best_per_entry, first_width
from kb.rows import parse_row
from kb.vector_index import VectorIndex
from kb.vectors import Vector, clean_text

logger = logging.getLogger(__name__)

_CACHED_QUERIES = 512

LEXICAL_SEARCHES = Counter("kefu_lexical_searches", "Searches by words alone, because the question has no embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What a search does while the embedding service does not answer."""

    lexical: LexicalIndex
    breaker: Breaker
    """Decides whether the embedding service is asked at all."""
    patience_seconds: float = 10
    """How long a search waits for an embedding; a customer waits with it."""


class PgRetriever:
    """The `Retriever` over PostgreSQL.

    Without a fallback an embedding service that does not answer makes every search fail.
    """

    def __init__(self, index: VectorIndex, embedder: Embedder, fallback: Fallback | None = None) -> None:
        self._index = index
        self._embedder = embedder
        self._fallback = fallback
        self._cache: OrderedDict[str, Vector] = OrderedDict()

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry; see `Fallback` for hits without embedding.

        Raises:
            IndexUnavailableError: the store does not answer, or the embedding service and there is no fallback.
        """
        asked = clean_text(query)[:MAX_QUERY]
        if not asked:
            return []
        vector = self._cached(asked)
        if vector is None and self._fallback is not None:
            vector = await self._try_embedding(asked, self._fallback)
            if vector is None:
                LEXICAL_SEARCHES.inc()
                return await self._fallback.lexical.search(asked, limit=limit)
        if vector is None:
            vector = await self._embed(asked)
        return await self._nearest(asked, vector, limit)

    async def _nearest(self, asked: str, vector: Vector, limit: int) -> list[Hit]:
        width = first_width(limit)
        while True:
            rows = await self._index.nearest(vector, limit=width)
            pieces = [_hit(*row) for row in rows]
            if len(rows) < width or len({piece.entry_id for piece in pieces}) >= limit:
                return best_per_entry(asked, pieces, limit=limit)
            width *= 4

    async def _try_embedding(self, text: str, fallback: Fallback) -> Vector | None:
        if not fallback.breaker.allow():
            _warn("not asked, it failed before")
            return None
        try:
            async with asyncio.timeout(fallback.patience_seconds):
                vector = await self._embed(text)
        except (IndexUnavailableError, TimeoutError) as error:
            fallback.breaker.failed()
            _warn(str(error) or "no answer in time")
            return None
        fallback.breaker.succeeded()
        return vector

    async def _embed(self, text: str) -> Vector:
        [vector] = await self._embedder.embed_questions([text])
        self._cache[text] = vector
        if len(self._cache) > _CACHED_QUERIES:
            self._cache.popitem(last=False)
        return vector

    def _cached(self, text: str) -> Vector | None:
        vector = self._cache.get(text)
        if vector is not None:
            self._cache.move_to_end(text)
        return vector


def _warn(reason: str) -> None:
    logger.warning("No embedding, searching by words", extra={"action": "retrieval_lexical", "reason": reason})


def _hit(row_id: str, content: str, metadata: Mapping[str, Any], distance: float) -> Hit:
    chunk = parse_row(content, metadata)
    return Hit(
        chunk_id=row_id,
        entry_id=chunk.entry_id,
        content=content,
        question=chunk.question,
        answer=chunk.answer,
        score=min(max(1 - distance, 0.0), 1.0),
        # The name is ours, see `kb.lexical_index`; a row may carry any metadata.
        metadata={name: value for name, value in metadata.items() if name != "leg"},
    )
