"""The index of a large base on a real database: made, used, dropped; and imports that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from api.database import Pool
from kb import large_base
from kb.chunks import Chunk
from kb.ingest import BATCH, import_articles, make_rows, write_rows
from kb.large_base import drop_indexes, find_index, tend_index
from kb.lexical_index import LexicalIndex
from kb.retriever import PgRetriever
from kb.vector_index import fetch, open_vector_index
from kb.vectors import Vector, unit

ROWS = 600
MODEL = "synthetic"


class Numbers:
    """Points a text that holds a number its own way; counts what it embeds."""

    model_id = MODEL

    def __init__(self, size: int = 16) -> None:
        self.size = size
        self.embedded = 0

    def vector(self, number: int) -> Vector:
        return unit(np.random.default_rng(number).normal(size=self.size).astype(np.float32))

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        self.embedded += len(texts)
        return [self.vector(int("".join(filter(str.isdecimal, text)))) for text in texts]

    embed_passages = embed_questions


def chunks(count: int) -> list[Chunk]:
    return [
        Chunk(content=f"第{n}问\n答{n}", question=f"第{n}问", answer=f"答{n}", entry_id=f"e{n}", source="big.csv")
        for n in range(count)
    ]


async def fill(pool: Pool, count: int = ROWS, embedder: Numbers | None = None) -> None:
    numbers = embedder or Numbers()
    rows = list(make_rows(chunks(count)))
    vectors = [numbers.vector(n) for n in range(count)]
    await write_rows(pool, rows, vectors, numbers.model_id)


async def indexes(pool: Pool) -> list[str]:
    query = "select indexname from pg_indexes where indexname like 'knowledge_chunks_near_%%'"
    return [row["indexname"] for row in await fetch(pool, query, {})]


async def test_a_small_base_has_no_index(pool: Pool) -> None:
    await fill(pool)
    await tend_index(pool, MODEL)
    assert await indexes(pool) == []
    assert await find_index(pool, MODEL) is None


async def test_a_base_that_became_large_has_one_until_it_is_small_again(pool: Pool) -> None:
    await fill(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    [made] = await indexes(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    assert await indexes(pool) == [made]
    found = await find_index(pool, MODEL)
    assert found is not None
    assert (found.name, found.dimensions) == (made, 16)
    await tend_index(pool, MODEL, large=700, small=600)
    assert await indexes(pool) == [made]
    await tend_index(pool, MODEL, large=800, small=700)
    assert await indexes(pool) == []


async def test_the_index_of_another_model_goes(pool: Pool) -> None:
    await fill(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    assert await find_index(pool, "another") is None
    await tend_index(pool, "another", large=500, small=400)
    assert await indexes(pool) == []


async def test_an_index_whose_building_was_interrupted_is_built_anew(pool: Pool) -> None:
    await fill(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    [made] = await indexes(pool)
    async with pool.connection() as conn:
        await conn.execute(f"update pg_index set indisvalid = false where indexrelid = '{made}'::regclass".encode())
    assert await find_index(pool, MODEL) is None
    await tend_index(pool, MODEL, large=500, small=400)
    assert await find_index(pool, MODEL) is not None


async def test_only_one_process_works_on_the_index(pool: Pool) -> None:
    await fill(pool)
    async with pool.connection() as conn:
        await conn.execute(large_base._LOCK)
        await tend_index(pool, MODEL, large=500, small=400)
        assert await indexes(pool) == []
        await conn.execute(large_base._UNLOCK)
    await tend_index(pool, MODEL, large=500, small=400)
    assert len(await indexes(pool)) == 1
    await drop_indexes(pool)
    assert await indexes(pool) == []


async def test_both_ways_of_searching_find_the_same(pool: Pool, database_uri: str) -> None:
    embedder = Numbers()
    await fill(pool)
    queries = [f"问{n}" for n in range(0, ROWS, 40)]

    async def found() -> list[list[tuple[str, float]]]:
        async with open_vector_index(pool, database_uri, embedder) as index:
            retriever = PgRetriever(index, embedder, LexicalIndex(pool))
            hits = [await retriever.search(query, limit=3) for query in queries]
        return [[(hit.entry_id, round(hit.score, 4)) for hit in each] for each in hits]

    exact = await found()
    await tend_index(pool, MODEL, large=500, small=400)
    near = await found()
    assert [each[0] for each in near] == [each[0] for each in exact]
    shared = sum(len(set(a) & set(b)) for a, b in zip(near, exact, strict=True))
    assert shared >= 0.9 * sum(map(len, exact))


async def test_the_index_is_used_and_gives_as_many_rows_as_asked_for(pool: Pool, database_uri: str) -> None:
    embedder = Numbers()
    await fill(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    async with open_vector_index(pool, database_uri, embedder) as index:
        assert len(await index.nearest(embedder.vector(7), limit=40)) == 40
        # More than an index search looks at by itself.
        assert len(await index.nearest(embedder.vector(7), limit=300)) == 300
    near = await find_index(pool, MODEL)
    assert near is not None
    async with pool.connection() as conn, conn.transaction():
        # A base as small as this one is read faster as a whole.
        await conn.execute("set local enable_seqscan = off")
        await conn.execute("set local enable_sort = off")
        query = sql.SQL("explain {}").format(near.search(embedder.vector(7), limit=40))
        plan = [row["QUERY PLAN"] for row in await (await conn.execute(query)).fetchall()]
    assert any(near.name in line for line in plan)


async def test_an_index_that_is_gone_meanwhile_costs_time_only(pool: Pool, database_uri: str) -> None:
    embedder = Numbers()
    await fill(pool)
    await tend_index(pool, MODEL, large=500, small=400)
    async with open_vector_index(pool, database_uri, embedder) as index:
        before = await index.nearest(embedder.vector(7), limit=1)
        await drop_indexes(pool)
        assert await index.nearest(embedder.vector(7), limit=1) == before


async def test_a_large_import_drops_the_index_and_builds_it_at_the_end(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kb.ingest.MANY", 100)
    monkeypatch.setattr("kb.large_base.tend_index.__kwdefaults__", {"large": 500, "small": 400})
    await import_articles(pool, Numbers(), chunks(550))
    assert len(await indexes(pool)) == 1
    seen: list[int] = []

    class Watching(Numbers):
        async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
            seen.append(len(await indexes(pool)))
            return await super().embed_questions(texts)

    await import_articles(pool, Watching(), chunks(600))
    await import_articles(pool, Watching(), chunks(800))
    assert seen == [1, 0, 0]
    assert len(await indexes(pool)) == 1


async def test_an_import_of_many_rows_is_few_changes(pool: Pool) -> None:
    await import_articles(pool, Numbers(), chunks(2 * BATCH))
    [row] = await fetch(pool, "select count(*) as changes from knowledge_changes", {})
    # Inserted, updated, given vectors; a batch each.
    assert row["changes"] == 3 * 2


async def test_old_changes_go_and_the_version_moves_on(pool: Pool) -> None:
    index = LexicalIndex(pool)
    async with pool.connection() as conn:
        await conn.execute(
            "insert into knowledge_changes (created_at) select now() - interval '2 hours' from generate_series(1, 250)"
        )
        versions = {(await index.current()).version}
        for number in range(4):
            await conn.execute("insert into knowledge_chunks (content) values (%s)", (f"第{number}条",))
            versions.add((await index.current()).version)
    assert len(versions) == 5
    [row] = await fetch(pool, "select count(*) as changes from knowledge_changes", {})
    assert row["changes"] == 4


async def test_a_change_reads_only_what_changed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    import kb.lexical_index as module

    read: list[int] = []
    parse = module._parse

    def counting(stored: Sequence[Any]) -> Any:
        read.append(len(stored))
        return parse(stored)

    monkeypatch.setattr(module, "_parse", counting)
    await fill(pool, 50)
    index = LexicalIndex(pool)
    first = await index.current()
    async with pool.connection() as conn:
        await conn.execute("update knowledge_chunks set content = '第7问\n新答' where content like '第7问%'")
        await conn.execute("delete from knowledge_chunks where content like '第8问%'")
        await conn.execute("insert into knowledge_chunks (content) values ('能刻字吗\n可以。')")
    second = await index.current()
    assert read == [50, 2]
    assert len(first.rows) == len(second.rows) == 50
    assert {row.chunk.answer for row in second.rows} - {row.chunk.answer for row in first.rows} == {"新答", "可以。"}
    assert [row.row_id for row in second.rows][:2] == [row.row_id for row in first.rows][:2]
    assert {hit.answer for hit in await index.search("第7问", limit=1)} == {"新答"}


KILLED = """
import asyncio, sys
import numpy as np
from api.database import open_pool
from kb.chunks import Chunk
from kb.ingest import BATCH, import_articles

class Slow:
    model_id = "synthetic"
    embedded = 0
    async def embed_questions(self, texts):
        self.embedded += len(texts)
        if self.embedded > 2 * BATCH:
            print("ready", flush=True)
            await asyncio.Event().wait()
        return [np.ones(4, dtype=np.float32) for _ in texts]
    embed_passages = embed_questions

async def main():
    async with open_pool(sys.argv[1], size=2) as pool:
        chunks = [
            Chunk(content=f"第{n}问\\n答{n}", question=f"第{n}问", answer=f"答{n}", entry_id=f"e{n}", source="big.csv")
            for n in range(5 * BATCH)
        ]
        await import_articles(pool, Slow(), chunks)

asyncio.run(main())
"""


async def test_what_an_import_that_is_killed_had_stored_is_not_embedded_again(pool: Pool, database_uri: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, database_uri, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    embedder = Numbers(size=4)
    report = await import_articles(pool, embedder, chunks(5 * BATCH))
    assert (report.unchanged, report.added, embedder.embedded) == (2 * BATCH, 3 * BATCH, 3 * BATCH)
