"""The knowledge base as a process of its own: imports against the bare model, searches against the bare query."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import uvloop
from figures import MEGABYTE
from lines import answer_lines
from psycopg import sql
from synthetic import Base, KnowingEmbedder

from api.database import Pool, open_pool
from kb.bundled import BundledEmbedder
from kb.calibration import calibrate
from kb.embeddings import Embedder
from kb.ingest import import_articles, make_rows, write_rows
from kb.large_base import find_index, tend_index
from kb.lexical_index import LexicalIndex
from kb.ranking import first_width
from kb.readers import read_articles
from kb.retriever import PgRetriever
from kb.vector_index import open_vector_index
from kb.vectors import Vector, literal

LIMIT = 5
PORTION = 1_000
T = TypeVar("T")


class KnowledgeBase:
    """What is asked of it, one at a time."""

    def __init__(self, pool: Pool, conninfo: str) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._base = Base()
        self._model = BundledEmbedder()
        self._rows = 0

    async def handle(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch one question."""
        actions = {
            "forget": self.forget,
            "imports": self.imports,
            "imports_again": self.imports_again,
            "grow": self.grow,
            "searches": self.searches,
            "reloads": self.reloads,
            "calibrates": self.calibrates,
        }
        return await actions[question.pop("do")](**question)

    async def imports(self, count: int, rounds: int) -> dict[str, Any]:
        """Import real texts with the bundled model, and embed as many others with nothing around it."""
        took = {"ours": 0.0, "bare": 0.0}
        await self._model.embed_questions(["热身"] * 64)
        for number in range(rounds):
            ours, bare = (
                list(self._base.chunks(range(start, start + count)))
                for start in (2 * number * count, (2 * number + 1) * count)
            )
            began = time.perf_counter()
            await self._model.embed_questions([chunk.question for chunk in bare])
            took["bare"] += time.perf_counter() - began
            began = time.perf_counter()
            await import_articles(self._pool, self._model, ours)
            took["ours"] += time.perf_counter() - began
        await self.forget()
        return {name: count * rounds / seconds for name, seconds in took.items()} | _memory()

    async def imports_again(self, count: int, folder: str) -> dict[str, Any]:
        """Import a file of so many entries, and the same one once more."""
        file = Path(folder) / "bench.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("question", "answer"))
            writer.writerows((chunk.question, chunk.answer) for chunk in self._base.chunks(range(count)))
        took = []
        embedder = KnowingEmbedder(self._base)
        for _ in range(2):
            embedder.embedded = 0
            began = time.perf_counter()
            await import_articles(self._pool, embedder, read_articles([file]).chunks)
            took.append(time.perf_counter() - began)
        await self.forget()
        return {"first": took[0], "again": took[1], "embedded": embedder.embedded}

    async def grow(self, rows: int) -> dict[str, Any]:
        """Store entries with made-up vectors, up to so many."""
        began, before = time.perf_counter(), self._rows
        while self._rows < rows:
            numbers = range(self._rows, min(self._rows + PORTION, rows))
            vectors = [self._base.vector(number) for number in numbers]
            await write_rows(self._pool, list(make_rows(self._base.chunks(numbers))), vectors, KnowingEmbedder.model_id)
            self._rows = numbers.stop
        written = time.perf_counter()
        await tend_index(self._pool, KnowingEmbedder.model_id)
        async with self._pool.connection() as conn:
            await conn.execute("vacuum analyze knowledge_chunks")
        return {"per_second": (self._rows - before) / (written - began), "index_seconds": time.perf_counter() - written}

    async def searches(self, count: int) -> dict[str, Any]:
        """Search, and let the bare query search for the same."""
        took: dict[str, list[float]] = {"ours": [], "bare": [], "new": []}
        numbers = [number * 7919 % self._rows for number in range(count)]
        found = 0
        async with self._retriever(KnowingEmbedder(self._base)) as (retriever, lexical), self._bare() as bare:
            began = time.perf_counter()
            await lexical.current()
            loaded = time.perf_counter() - began
            texts = {number: self._base.chunk(number).question[:-2] for number in numbers}
            await retriever.warm([*texts.values()])
            for turn, (number, text) in enumerate(texts.items()):
                vector = self._base.vector(number, aside=1)
                # In turns: whoever comes second finds the pages of the first.
                if turn % 2:
                    await timed(took["bare"], bare(vector))
                hits = await timed(took["ours"], retriever.search(text, limit=LIMIT))
                if not turn % 2:
                    await timed(took["bare"], bare(vector))
                found += hits[0].entry_id == f"e{number}"
        async with self._retriever(KnowingEmbedder(self._base, self._model)) as (retriever, lexical):
            await lexical.current()
            for text in texts.values():
                await timed(took["new"], retriever.search(text, limit=LIMIT))
        return {"took": took, "found": found / len(texts), "loaded": loaded} | _memory()

    async def reloads(self) -> dict[str, Any]:
        """Change one row: how long until a search sees it, and how long nothing else was done meanwhile."""
        async with self._retriever(KnowingEmbedder(self._base)) as (retriever, lexical):
            await lexical.current()
            longest, following = 0.0, True

            async def watch() -> None:
                nonlocal longest
                while following:
                    began = time.perf_counter()
                    await asyncio.sleep(0.001)
                    longest = max(longest, time.perf_counter() - began)

            async with asyncio.TaskGroup() as group, self._pool.connection() as conn:
                group.create_task(watch())
                await conn.execute(
                    "update knowledge_chunks set metadata = metadata where metadata ->> 'entry_id' = 'e7'"
                )
                began = time.perf_counter()
                await retriever.search(self._base.chunk(7).question, limit=LIMIT)
                took = time.perf_counter() - began
                following = False
            return {"seconds": took, "stall": longest} | _memory()

    async def calibrates(self) -> dict[str, Any]:
        """Fit the confidence, as the service does after every change."""
        async with self._retriever(KnowingEmbedder(self._base, self._model)) as (retriever, lexical):
            await lexical.current()
            began = time.perf_counter()
            await calibrate(retriever, lexical, max_wrong=0.02)
            return {"seconds": time.perf_counter() - began}

    async def forget(self) -> dict[str, Any]:
        """Begin with an empty base."""
        async with self._pool.connection() as conn:
            await conn.execute("truncate knowledge_chunks")
        self._rows = 0
        return {}

    @contextlib.asynccontextmanager
    async def _retriever(self, embedder: Embedder) -> AsyncIterator[tuple[PgRetriever, LexicalIndex]]:
        async with open_vector_index(self._pool, self._conninfo, embedder) as index:
            lexical = LexicalIndex(self._pool)
            yield PgRetriever(index, embedder, lexical), lexical

    @contextlib.asynccontextmanager
    async def _bare(self) -> AsyncIterator[Any]:
        near = await find_index(self._pool, KnowingEmbedder.model_id)
        column = near.column if near else sql.SQL("embedding")
        query = sql.SQL(
            "select id, content, metadata, {column} <=> {vector}::vector as distance from knowledge_chunks"
            " where embedding_model = 'synthetic' order by distance limit {limit}"
        )
        async with self._pool.connection() as conn:
            await conn.execute("select set_config('hnsw.ef_search', '100', false)")

            async def search(vector: Vector) -> Sequence[object]:
                filled = query.format(column=column, vector=literal(vector), limit=first_width(LIMIT))
                return await (await conn.execute(filled)).fetchall()

            yield search
            await conn.execute("reset hnsw.ef_search")


async def timed(took: list[float], search: Awaitable[T]) -> T:
    """Note how long a search took."""
    began = time.perf_counter()
    result = await search
    took.append(time.perf_counter() - began)
    return result


def _memory() -> dict[str, float]:
    return {"megabytes": psutil.Process().memory_info().rss / MEGABYTE}


async def main() -> None:
    conninfo = os.environ["KB_DB_URL"]
    async with open_pool(conninfo, size=4) as pool:
        await answer_lines(KnowledgeBase(pool, conninfo).handle)


if __name__ == "__main__":
    uvloop.run(main())
