"""The reranking service over a real socket: the order it gives, and the order that stays when it fails."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from api.database import Pool
from api.doctor.checks import OffError, TroubleError
from api.doctor.models import rerank_check
from kb.bundled import BundledEmbedder
from kb.chunks import Hit
from kb.evidence import evidence
from kb.ingest import import_articles
from kb.lexical_index import LexicalIndex
from kb.rerank import MAX_DOCUMENT, ApiReranker, open_reranker
from kb.retriever import PgRetriever, Without
from kb.settings import KbSettings
from kb.splitter import split_markdown
from kb.vector_index import open_vector_index
from tools.circuit_breaker import CircuitBreaker
from tools.simulators.model_server import ModelServer

CHUNKS = split_markdown(
    "### 如何退款?\n\n七天内。\n\n### 退款多久到账?\n\n三天。\n\n### 运费多少?\n\n包邮。\n\n### 怎么开发票?\n\n自助。",
    source="shop.md",
)
EMBEDDER = BundledEmbedder()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def reranker(server: ModelServer, clock: Clock) -> AsyncIterator[ApiReranker]:
    breaker = CircuitBreaker("reranking service", failures=2, pause_seconds=30, clock=clock)
    settings = KbSettings(
        _env_file=None, rerank_api_base=server.api_base, rerank_api_key=SecretStr("rk-1"), rerank_model="reader"
    )
    async with open_reranker(settings, breaker) as opened:
        assert opened is not None
        yield opened


@pytest.fixture
async def retriever(pool: Pool, database_uri: str, reranker: ApiReranker) -> AsyncIterator[PgRetriever]:
    await import_articles(pool, EMBEDDER, CHUNKS)
    async with open_vector_index(pool, database_uri, EMBEDDER) as index:
        yield PgRetriever(index, EMBEDDER, LexicalIndex(pool), reranker=reranker)


def hits(count: int) -> list[Hit]:
    return [
        Hit(chunk_id=f"c{n}", entry_id=f"e{n}", content=f"文{n}", question="", answer="", score=1 - n / 10)
        for n in range(count)
    ]


def questions(found: Sequence[Hit]) -> list[str]:
    return [hit.question for hit in found]


async def test_the_service_has_the_last_word_on_the_order(retriever: PgRetriever, server: ModelServer) -> None:
    server.relevance = {"运费": 0.9, "发票": 0.5}
    found = await retriever.search("如何退款", limit=2)
    assert questions(found) == ["运费多少?", "怎么开发票?"]
    assert [hit.rerank_score for hit in found] == [0.9, 0.5]
    [asked] = server.reranks
    assert (asked["model"], asked["query"], asked["top_n"], asked["return_documents"]) == (
        "reader",
        "如何退款",
        4,
        False,
    )
    assert asked["authorization"] == "Bearer rk-1"
    assert "如何退款?\n七天内。" in asked["documents"]


async def test_a_measurement_of_the_base_asks_nobody(retriever: PgRetriever, server: ModelServer) -> None:
    await retriever.search("如何退款", limit=1)
    await retriever.search("如何退款", limit=3, without=Without(entry_id="x"))
    assert server.calls["rerank"] == 0


async def test_a_hit_that_was_put_first_has_no_lead_of_its_own(retriever: PgRetriever, server: ModelServer) -> None:
    server.relevance = {"运费": 9000.0}
    assert evidence(await retriever.search("如何退款", limit=3), floor=0.8).lead == 0
    server.relevance = {"如何退款": -0.1, "": -5.0}
    assert evidence(await retriever.search("如何退款", limit=3), floor=0.8).lead > 0


@pytest.mark.parametrize("failure", ["500", "429", "401", "drop", "html", "not_json", "null", "no_choices"])
async def test_when_it_fails_the_order_stays(
    reranker: ApiReranker, server: ModelServer, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.breaks(failure)
    assert await reranker.rerank("问", hits(3)) == hits(3)
    [record] = [each for each in caplog.records if each.name == "kb.rerank"]
    assert (record.levelname, vars(record)["action"]) == ("WARNING", "rerank_failed")
    assert "rk-1" not in str(vars(record))


@pytest.mark.parametrize(
    "results",
    [
        [],
        [{"index": 0, "relevance_score": 1}],
        [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 2}],
        [{"index": 0, "relevance_score": 1}, {"index": 7, "relevance_score": 2}],
        [{"index": 0, "relevance_score": 1}, {"index": -1, "relevance_score": 2}],
        [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": float("nan")}],
        [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": None}],
        [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": "good"}],
        [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 2}, {"index": 2, "relevance_score": 3}],
        [{"index": 0, "relevance_score": 1}, {"index": [1], "relevance_score": 2}],
        [{"index": 0}, {"index": 1}],
        ["a", "b"],
        None,
    ],
)
async def test_nonsense_changes_nothing(reranker: ApiReranker, server: ModelServer, results: Any) -> None:
    server.rerank_answer = {"results": results}
    assert await reranker.rerank("问", hits(2)) == hits(2)


async def test_it_is_waited_for_no_longer_than_a_customer_can(server: ModelServer) -> None:
    breaker = CircuitBreaker("reranking service", failures=1, pause_seconds=30)
    slow = ApiReranker(base=server.api_base, api_key=None, model="m", breaker=breaker, patience_seconds=0.05)
    server.breaks("trickle")
    assert await slow.rerank("问", hits(2)) == hits(2)
    await slow.aclose()


async def test_after_two_failures_it_is_left_alone_until_the_pause_is_over(
    reranker: ApiReranker, server: ModelServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server.breaks("500")
    for _ in range(4):
        await reranker.rerank("问", hits(2))
    assert server.calls["rerank"] == 2
    assert [each.levelno for each in caplog.records if each.name == "kb.rerank"] == [logging.WARNING] * 2
    server.heals()
    clock.now += 30
    assert [hit.rerank_score for hit in await reranker.rerank("问", hits(2))] == [0, 0]


async def test_long_candidates_are_cut_and_none_asks_nobody(reranker: ApiReranker, server: ModelServer) -> None:
    assert await reranker.rerank("问", []) == []
    long = Hit(chunk_id="c", entry_id="e", content="长" * 9000, question="", answer="", score=1)
    await reranker.rerank("问", [long])
    assert [len(document) for document in server.reranks[0]["documents"]] == [MAX_DOCUMENT]


async def test_the_doctor_names_what_is_wrong(server: ModelServer) -> None:
    settings = KbSettings(_env_file=None, rerank_api_base=server.api_base, rerank_model="reader")
    assert await rerank_check(settings).run() == "reader at 127.0.0.1"
    server.breaks("401")
    with pytest.raises(TroubleError, match="401"):
        await rerank_check(settings).run()
    server.breaks("html")
    with pytest.raises(TroubleError, match="no usable answer"):
        await rerank_check(settings).run()
    with pytest.raises(OffError):
        await rerank_check(KbSettings(_env_file=None)).run()
