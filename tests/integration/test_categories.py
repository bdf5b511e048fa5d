"""Search within categories: exact however rare they are, with the index of a large base and by words alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from api.database import Pool
from kb.chunks import Chunk
from kb.errors import IndexUnavailableError
from kb.ingest import make_rows, write_rows
from kb.large_base import tend_index
from kb.lexical_index import LexicalIndex
from kb.pg_store import PgVectorIndex, open_store
from kb.retriever import CategoryRetriever, Patience, PgRetriever
from kb.vectors import Vector, unit
from tools.circuit_breaker import CircuitBreaker

ROWS, RARE_EACH = 600, 100
MODEL = "synthetic"
RARE, OFTEN = "售后", "商品"


class Numbers:
    """Points a text that holds a number its own way; may be away."""

    model_id = MODEL

    def __init__(self) -> None:
        self.is_away = False

    def vector(self, number: int) -> Vector:
        return unit(np.random.default_rng(number).normal(size=16).astype(np.float32))

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        if self.is_away:
            raise IndexUnavailableError("the embedding service is away")
        return [self.vector(int("".join(filter(str.isdecimal, text)))) for text in texts]

    embed_passages = embed_questions


def category_of(number: int) -> str:
    return RARE if number % RARE_EACH == 0 else "" if number % RARE_EACH == 1 else OFTEN


CHUNKS = [
    Chunk(
        content=f"第{n}问\n答{n}",
        question=f"第{n}问",
        answer=f"答{n}",
        entry_id=f"e{n}",
        source="big.csv",
        category=category_of(n),
    )
    for n in range(ROWS)
]


@pytest.fixture
async def numbers(pool: Pool) -> Numbers:
    made = Numbers()
    await write_rows(pool, list(make_rows(CHUNKS)), [made.vector(n) for n in range(ROWS)], MODEL)
    return made


@pytest.fixture(params=["small", "large, rare", "large, many"])
async def index(
    request: pytest.FixtureRequest, pool: Pool, database_uri: str, numbers: Numbers
) -> AsyncIterator[PgVectorIndex]:
    """Without the index of a large base, and with it: for rows few and many."""
    if request.param != "small":
        await tend_index(pool, MODEL, large=500, small=400)
    large = 100 if request.param == "large, many" else 10_000
    async with open_store(pool, database_uri, schema="public", model_id=MODEL, large=large) as opened:
        yield opened


@pytest.mark.parametrize("category", [RARE, OFTEN, ""])
async def test_the_nearest_of_a_category_are_found_however_many_are_nearer(
    index: PgVectorIndex, pool: Pool, numbers: Numbers, category: str
) -> None:
    own = [n for n in range(ROWS) if category_of(n) == category]
    retriever = PgRetriever(index, numbers, LexicalIndex(pool))
    for asked in range(0, ROWS, 150):
        vector = numbers.vector(asked)
        best = sorted(own, key=lambda n: -float(numbers.vector(n) @ vector))[:5]
        rows = await index.nearest(vector, limit=5, categories=frozenset({category}))
        distances = [round(float(1 - numbers.vector(n) @ vector), 4) for n in best]
        assert [round(distance, 4) for _, distance in rows] == distances
        hits = await retriever.search(f"{asked}", limit=5, categories=frozenset({category}))
        assert hits[0].score == pytest.approx(1 - distances[0], abs=1e-3)
        assert {category_of(int(hit.entry_id[1:])) for hit in hits} == {category}


async def test_several_categories_are_searched_as_one(index: PgVectorIndex, pool: Pool, numbers: Numbers) -> None:
    retriever = CategoryRetriever(PgRetriever(index, numbers, LexicalIndex(pool)), frozenset({RARE, ""}))
    hits = await retriever.search("7", limit=20)
    assert {category_of(int(hit.entry_id[1:])) for hit in hits} == {RARE, ""}
    assert len(hits) == 12


async def test_a_category_that_nobody_has_gives_nothing(index: PgVectorIndex, pool: Pool, numbers: Numbers) -> None:
    retriever = PgRetriever(index, numbers, LexicalIndex(pool))
    assert await retriever.search("7", limit=5, categories=frozenset({"无"})) == []


async def test_while_no_vector_is_made_words_are_searched_within_the_category(
    index: PgVectorIndex, pool: Pool, numbers: Numbers
) -> None:
    patience = Patience(breaker=CircuitBreaker("embedding", failures=9, pause_seconds=1), seconds=1)
    retriever = PgRetriever(index, numbers, LexicalIndex(pool), patience)
    numbers.is_away = True
    hits = await retriever.search("第7问", limit=5, categories=frozenset({RARE}))
    assert len(hits) == 5
    assert {category_of(int(hit.entry_id[1:])) for hit in hits} == {RARE}
