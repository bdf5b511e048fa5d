"""Search over the stored chunks: by vector and by words; distance becomes score here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter

from kb.chunks import Hit
from kb.embeddings import Embedder
from kb.errors import IndexUnavailableError
from kb.lexical import simplify
from kb.lexical_index import LexicalIndex, Snapshot, StoredChunk, hit_of
from kb.ports import Breaker
from kb.ranking import LEXICAL_WIDTH, MAX_QUERY, best_per_entry, first_width
from kb.rerank import RERANKED, Reranker
from kb.vector_index import FoundRow, VectorIndex
from kb.vectors import Vector, clean_text

logger = logging.getLogger(__name__)

_CACHED_QUERIES = 1024
"""What customers ask again and again is kept; most of what they write is written once."""

WIDER = 8
"""How many times more pieces are looked at when too few of them are of the wanted categories."""

LEXICAL_SEARCHES = Counter("kefu_lexical_searches", "Searches by words alone, because the question has no embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a search waits for an embedding; a customer waits with it."""

    breaker: Breaker
    """Decides whether the embedding service is asked at all."""
    seconds: float = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """What a search passes over: a piece that is the query itself, or the entry it belongs to."""

    chunk_id: str = ""
    entry_id: str = ""

    def keeps(self, row: StoredChunk) -> bool:
        """Whether a row may be found."""
        return row.row_id != self.chunk_id and row.chunk.entry_id != self.entry_id


NOTHING = Without()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a search looks at."""

    without: Without = NOTHING
    categories: frozenset[str] | None = None
    """None: all of them; an entry without a category has the category ""."""

    def keeps(self, row: StoredChunk) -> bool:
        """Whether a row may be found."""
        is_in = self.categories is None or row.chunk.category in self.categories
        return is_in and self.without.keeps(row)


class PgRetriever:
    """The `Retriever` over PostgreSQL.

    Without `patience` an embedding service that does not answer makes every search fail; with it the search goes on by
    words alone.
    """

    def __init__(
        self,
        index: VectorIndex,
        embedder: Embedder,
        lexical: LexicalIndex,
        patience: Patience | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._lexical = lexical
        self._patience = patience
        self._reranker = reranker
        self._cache: OrderedDict[str, Vector] = OrderedDict()

    async def search(
        self, query: str, *, limit: int, without: Without = NOTHING, categories: frozenset[str] | None = None
    ) -> list[Hit]:
        """Return the best hits, best first, at most one per entry; see `Patience` for hits without embedding.

        Raises:
            IndexUnavailableError: the store does not answer, or the embedding service and there is no patience.
        """
        asked, scope = asked_text(query), Scope(without=without, categories=categories)
        if not asked:
            return []
        if self._reranker is None and (hits := await self._search_ahead(asked, limit, scope)) is not None:
            return hits
        base = await self._lexical.current()
        asked = base.words.spelled(asked)
        vector = self._cached(asked)
        if vector is None and self._patience is not None:
            vector = await self._try_embedding(asked, self._patience)
            if vector is None:
                LEXICAL_SEARCHES.inc()
                return await self._by_words(asked, limit, categories)
        if vector is None:
            vector = await self._embed(asked)
        # Who wants one hit, or leaves something out, measures the base: that is nothing to ask a service for.
        if self._reranker is None or limit == 1 or without != NOTHING:
            return await self._nearest(asked, vector, base, limit, scope)
        hits = await self._nearest(asked, vector, base, max(limit, RERANKED), scope)
        return best_per_entry(await self._reranker.rerank(query, hits), limit=limit)

    async def _search_ahead(self, asked: str, limit: int, scope: Scope) -> list[Hit] | None:
        """Search what was there a moment ago while asking whether it still is; None when it is not, or not known."""
        base = self._lexical.latest
        spelled = base.words.spelled(asked)
        vector = self._cached(spelled) if base.version else None
        if vector is None:
            return None
        hits, current = await asyncio.gather(
            self._nearest(spelled, vector, base, limit, scope), self._lexical.current()
        )
        return hits if current is base else None

    async def warm(self, queries: Sequence[str]) -> None:
        """Embed many queries at once, for searches soon to come.

        Raises:
            IndexUnavailableError: the store or the embedding service does not answer.
        """
        spelled = (await self._lexical.current()).words.spelled
        texts = dict.fromkeys(spelled(asked_text(query)) for query in queries)
        missing = [text for text in texts if text and text not in self._cache]
        for text, vector in zip(missing, await self._embedder.embed_questions(missing), strict=True):
            self._keep(text, vector)

    async def _nearest(self, asked: str, vector: Vector, base: Snapshot, limit: int, scope: Scope) -> list[Hit]:
        width = first_width(limit)
        nearest = partial(self._index.nearest, vector, categories=scope.categories)
        # The words are looked up while the database looks at the vectors.
        rows, worded = await asyncio.gather(nearest(limit=width), self._worded(asked, vector, base, scope))
        while True:
            found = _places(rows, base, scope)
            if len(rows) < width or len({base.rows[place].chunk.entry_id for place in found}) >= limit:
                break
            width *= 4
            rows = await nearest(limit=width)
        found = _places(worded, base, scope) | found
        shares = base.words.shared(asked, [*found])
        pieces = (
            hit_of(base.rows[place], score, wording=shared)
            for (place, score), shared in zip(found.items(), shares, strict=True)
        )
        return best_per_entry(pieces, limit=limit)

    async def _worded(self, asked: str, vector: Vector, base: Snapshot, scope: Scope) -> list[FoundRow]:
        places = _best_worded(asked, base, scope)
        return await self._index.scored(vector, [base.rows[place].row_id for place in places]) if places else []

    async def _by_words(self, asked: str, limit: int, categories: frozenset[str] | None) -> list[Hit]:
        """Search by words alone; as many as are wanted when others must be left out."""
        width = limit
        while True:
            hits = await self._lexical.search(asked, limit=width)
            kept = [hit for hit in hits if categories is None or _category(hit) in categories]
            if len(kept) >= limit or len(hits) < width:
                return kept[:limit]
            width *= WIDER

    async def _try_embedding(self, text: str, patience: Patience) -> Vector | None:
        if not patience.breaker.allow():
            _warn("not asked, it failed before")
            return None
        try:
            async with asyncio.timeout(patience.seconds):
                vector = await self._embed(text)
        except (IndexUnavailableError, TimeoutError) as error:
            patience.breaker.failed()
            _warn(str(error) or "no answer in time")
            return None
        patience.breaker.succeeded()
        return vector

    async def _embed(self, text: str) -> Vector:
        [vector] = await self._embedder.embed_questions([text])
        self._keep(text, vector)
        return vector

    def _keep(self, text: str, vector: Vector) -> None:
        self._cache[text] = vector
        if len(self._cache) > _CACHED_QUERIES:
            self._cache.popitem(last=False)

    def _cached(self, text: str) -> Vector | None:
        vector = self._cache.get(text)
        if vector is not None:
            self._cache.move_to_end(text)
        return vector


def asked_text(query: str) -> str:
    """Return what of a query is searched for."""
    return simplify(clean_text(query))[:MAX_QUERY].strip()


def _warn(reason: str) -> None:
    logger.warning("No embedding, searching by words", extra={"action": "retrieval_lexical", "reason": reason})


def _best_worded(asked: str, base: Snapshot, scope: Scope) -> list[int]:
    width = LEXICAL_WIDTH
    while True:
        places = base.words.best(asked, limit=width)
        kept = [place for place in places if scope.keeps(base.rows[place])]
        if scope.categories is None or len(kept) >= LEXICAL_WIDTH or len(places) < width:
            return kept[:LEXICAL_WIDTH]
        width *= WIDER


def _category(hit: Hit) -> str:
    category = hit.metadata.get("category")
    return category.strip() if isinstance(category, str) else ""


def _places(rows: Sequence[FoundRow], base: Snapshot, scope: Scope) -> dict[int, float]:
    """Return where in the base the rows are, and how close; what was written since is found by the next search."""
    known = ((base.places.get(row_id), distance) for row_id, distance in rows)
    return {
        place: min(max(1 - distance, 0.0), 1.0)
        for place, distance in known
        if place is not None and scope.keeps(base.rows[place])
    }


class CategoryRetriever:
    """The `Retriever` over some categories of a base; the confidence is the whole base's."""

    def __init__(self, retriever: PgRetriever, categories: frozenset[str]) -> None:
        self._retriever = retriever
        self._categories = categories

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits of the categories, best first, at most one per entry.

        Raises:
            IndexUnavailableError: see `PgRetriever.search`.
        """
        return await self._retriever.search(query, limit=limit, categories=self._categories)
