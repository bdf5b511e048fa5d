"""The stored search while no embedding can be made: words alone, the table's changes, the way back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from api.database import Pool
from kb.api_embeddings import ApiEmbedder
from kb.errors import IndexUnavailableError
from kb.ingest import embed_waiting, import_articles
from kb.lexical_index import LexicalIndex
from kb.retriever import Patience, PgRetriever
from kb.splitter import split_markdown
from kb.vector_index import VectorIndex, open_vector_index
from kb.vectors import Vector
from tools.circuit_breaker import CircuitBreaker
from tools.simulators.model_server import ModelServer

CHUNKS = split_markdown(
    "### 如何退款?\n相似问法: 怎么申请退款\n\n七天内。\n\n### 运费多少?\n\n包邮。\n\n### 怎么开发票?\n\n在订单页。",
    source="shop.md",
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def embedder(server: ModelServer) -> AsyncIterator[ApiEmbedder]:
    async with contextlib.aclosing(ApiEmbedder(base=server.api_base, api_key=None, model="letters")) as opened:
        yield opened


@pytest.fixture
async def index(pool: Pool, database_uri: str, embedder: ApiEmbedder) -> AsyncIterator[VectorIndex]:
    await import_articles(pool, embedder, CHUNKS)
    async with open_vector_index(pool, database_uri, embedder) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retriever(pool: Pool, index: VectorIndex, embedder: ApiEmbedder, clock: Clock) -> PgRetriever:
    breaker = CircuitBreaker("embedding service", failures=2, pause_seconds=30, clock=clock)
    return PgRetriever(index, embedder, LexicalIndex(pool), Patience(breaker=breaker, seconds=1))


def legs(hits: Sequence[Any]) -> set[str | None]:
    return {hit.metadata.get("leg") for hit in hits}


def counted() -> float:
    return REGISTRY.get_sample_value("kefu_lexical_searches_total") or 0.0


async def run(pool: Pool, statement: str) -> None:
    async with pool.connection() as conn:
        await conn.execute(statement.encode())


async def test_while_embeddings_are_made_the_words_are_not_used(retriever: PgRetriever) -> None:
    hits = await retriever.search("如何退款", limit=3)
    assert hits[0].answer == "七天内。"
    assert legs(hits) == {None}


@pytest.mark.parametrize("failure", ["500", "429", "401", "drop", "html", "not_json", "null"])
async def test_a_service_that_fails_is_replaced_by_words(
    retriever: PgRetriever, server: ModelServer, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.breaks(failure)
    before = counted()
    async with asyncio.timeout(20):
        hits = await retriever.search("如何退款", limit=3)
    assert (hits[0].question, hits[0].answer, hits[0].score) == ("如何退款?", "七天内。", 1)
    assert legs(hits) == {"lexical"}
    assert counted() == before + 1
    [record] = [each for each in caplog.records if each.name == "kb.retriever"]
    assert (record.levelname, vars(record)["action"]) == ("WARNING", "retrieval_lexical")
    assert "退款" not in record.getMessage() + vars(record)["reason"]


async def test_a_service_that_hangs_is_waited_for_no_longer_than_a_customer_can(
    pool: Pool, index: VectorIndex, embedder: ApiEmbedder, server: ModelServer, clock: Clock
) -> None:
    breaker = CircuitBreaker("embedding service", failures=1, pause_seconds=30, clock=clock)
    retriever = PgRetriever(index, embedder, LexicalIndex(pool), Patience(breaker=breaker, seconds=0.05))
    server.breaks("hang")
    async with asyncio.timeout(5):
        assert legs(await retriever.search("如何退款", limit=3)) == {"lexical"}


async def test_a_refused_connection_is_replaced_by_words(retriever: PgRetriever, server: ModelServer) -> None:
    await server.stop()
    assert legs(await retriever.search("运费多少", limit=3)) == {"lexical"}


async def test_after_two_failures_the_service_is_left_alone_until_the_pause_is_over(
    retriever: PgRetriever, server: ModelServer, clock: Clock
) -> None:
    server.breaks("401")
    for query in ("如何退款", "运费多少", "怎么开发票"):
        await retriever.search(query, limit=3)
    asked = server.calls["embeddings"]
    await retriever.search("包邮吗", limit=3)
    assert server.calls["embeddings"] == asked
    server.heals()
    clock.now += 30
    assert legs(await retriever.search("如何退款", limit=3)) == {None}
    assert legs(await retriever.search("包邮吗", limit=3)) == {None}


async def test_a_question_whose_vector_is_known_needs_no_service(retriever: PgRetriever, server: ModelServer) -> None:
    await retriever.search("如何退款", limit=3)
    server.breaks("500")
    assert legs(await retriever.search("如何退款", limit=3)) == {None}


async def test_without_patience_the_search_fails(
    pool: Pool, index: VectorIndex, embedder: ApiEmbedder, server: ModelServer
) -> None:
    server.breaks("401")
    with pytest.raises(IndexUnavailableError, match="EMBEDDING_API_BASE"):
        await PgRetriever(index, embedder, LexicalIndex(pool)).search("如何退款", limit=3)


async def test_a_lost_database_is_unavailable_in_both_legs(
    pool: Pool, retriever: PgRetriever, server: ModelServer
) -> None:
    await run(pool, "alter table knowledge_chunks rename to gone")
    for _ in ("vector", "lexical"):
        with pytest.raises(IndexUnavailableError):
            await retriever.search("如何退款", limit=3)
        server.breaks("500")


async def test_a_row_cannot_pass_itself_off_as_found_by_words(
    pool: Pool, retriever: PgRetriever, embedder: ApiEmbedder
) -> None:
    await run(
        pool, "insert into knowledge_chunks (content, metadata) values ('能刻字吗\n可以。', '{\"leg\": \"lexical\"}')"
    )
    assert await embed_waiting(pool, embedder) == 1
    hits = await retriever.search("能刻字吗", limit=3)
    assert hits[0].answer == "可以。"
    assert legs(hits) == {None}


async def test_what_changes_in_the_table_changes_the_search(pool: Pool) -> None:
    index = LexicalIndex(pool)

    async def answers(query: str) -> list[str]:
        return [hit.answer for hit in await index.search(query, limit=1)]

    assert await answers("能刻字吗") == []
    await run(pool, "insert into knowledge_chunks (content) values ('能刻字吗\n可以刻字。')")
    # No vector yet: words need none.
    assert await answers("能刻字吗") == ["可以刻字。"]
    await run(pool, "update knowledge_chunks set content = '能刻字吗\n暂时不行。'")
    assert await answers("能刻字吗") == ["暂时不行。"]
    await run(pool, "delete from knowledge_chunks")
    assert await answers("能刻字吗") == []


async def test_an_unchanged_table_is_read_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    import kb.lexical_index as module

    reads: list[int] = []
    parse = module._parse

    def counting(stored: Any) -> Any:
        reads.append(len(stored))
        return parse(stored)

    monkeypatch.setattr(module, "_parse", counting)
    await run(pool, "insert into knowledge_chunks (content) values ('能刻字吗\n可以刻字。')")
    index = LexicalIndex(pool)
    await asyncio.gather(*(index.search("刻字", limit=1) for _ in range(5)))
    assert reads == [1]


async def test_an_embedder_that_is_cancelled_by_its_caller_stays_asked(
    index: VectorIndex, pool: Pool, clock: Clock
) -> None:
    class Slow:
        model_id = "slow"
        asked = 0

        async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
            self.asked += 1
            await asyncio.Event().wait()
            return []

        embed_passages = embed_questions

    slow = Slow()
    breaker = CircuitBreaker("embedding service", failures=1, pause_seconds=30, clock=clock)
    lexical = LexicalIndex(pool)
    # Read beforehand: it is the embedder that is to be waited for.
    await lexical.current()
    retriever = PgRetriever(index, slow, lexical, Patience(breaker=breaker))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await retriever.search("如何退款", limit=1)
    assert slow.asked == 2
