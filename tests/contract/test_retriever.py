"""What every `Retriever` does, on the memory twin and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from api.database import Pool
from kb.bundled import BundledEmbedder
from kb.ingest import import_articles
from kb.lexical_index import LexicalIndex
from kb.memory import MemoryRetriever
from kb.ports import Retriever
from kb.retriever import PgRetriever
from kb.splitter import split_markdown
from kb.vector_index import open_vector_index

EMBEDDER = BundledEmbedder()
CHUNKS = split_markdown(
    "---\ncategory: 售后\n---\n### 如何退款?\n相似问法: "
    + "；".join(f"怎么退第{n}件" for n in range(70))
    + "\n\n七天内。\n\n### 运费多少?\n相似问法: 邮费怎么算\n\n包邮。\n\n### 怎么开发票?\n\n在订单页。\n\n## 品牌\n\n"
    + "我们在景德镇做了三十年的手工陶瓷杯子。" * 30,
    source="shop.md",
)


@pytest.fixture(params=["memory", "postgres"])
async def retriever(request: pytest.FixtureRequest, pool: Pool, database_uri: str) -> AsyncIterator[Retriever]:
    if request.param == "memory":
        yield MemoryRetriever(CHUNKS, EMBEDDER)
        return
    await import_articles(pool, EMBEDDER, CHUNKS)
    async with open_vector_index(pool, database_uri, EMBEDDER) as index:
        yield PgRetriever(index, EMBEDDER, LexicalIndex(pool))


async def test_the_question_itself_is_found_first_with_its_answer(retriever: Retriever) -> None:
    best = (await retriever.search("如何退款?", limit=3))[0]
    assert (best.question, best.answer, best.content) == ("如何退款?", "七天内。", "如何退款?\n七天内。")
    assert best.score == pytest.approx(1, abs=1e-4)
    assert best.metadata["category"] == "售后"
    assert best.metadata["source"] == "shop.md"


async def test_a_similar_question_leads_to_its_entry(retriever: Retriever) -> None:
    best = (await retriever.search("邮费怎么算呢", limit=3))[0]
    assert (best.question, best.answer) == ("邮费怎么算", "包邮。")


async def test_hits_name_each_entry_once_best_first(retriever: Retriever) -> None:
    hits = await retriever.search("怎么退第3件", limit=10)
    assert len(hits) == len({hit.entry_id for hit in hits}) == 4
    assert hits[0].question == "怎么退第3件"
    assert all(0 <= hit.score <= 1 for hit in hits)
    assert hits[0].score >= max(hit.score for hit in hits[1:])


async def test_no_more_than_the_limit(retriever: Retriever) -> None:
    assert len(await retriever.search("退款", limit=1)) == 1


async def test_passages_are_found_by_what_they_say(retriever: Retriever) -> None:
    best = (await retriever.search("你们做手工陶瓷多少年了", limit=3))[0]
    assert best.question == ""
    assert best.content == f"品牌\n{best.answer}"


@pytest.mark.parametrize("query", ["", "  ", "\0", "\ud800"])
async def test_a_query_without_text_finds_nothing(retriever: Retriever, query: str) -> None:
    assert await retriever.search(query, limit=3) == []


async def test_odd_queries_are_searched(retriever: Retriever) -> None:
    for query in ("🙂", "退" * 5000, "'; drop table knowledge_chunks; --", "a\ud800退款\0"):
        assert await retriever.search(query, limit=3)
