"""What the in-memory retriever does beyond the contract: it loads late and once."""

import asyncio
from collections.abc import Sequence

import numpy as np

from kb.chunks import Chunk
from kb.memory import MemoryRetriever
from kb.splitter import split_markdown
from kb.vectors import Vector


class CountingEmbedder:
    """Two numbers for each text."""

    model_id = "m@example.com"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        self.asked += texts
        return [np.asarray([1, 0], dtype=np.float32) for _ in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        return await self.embed_questions(texts)


async def test_the_base_is_read_at_the_first_search_and_only_once() -> None:
    reads: list[int] = []

    def load() -> list[Chunk]:
        reads.append(1)
        return split_markdown("### 几点?\n\n九点。", source="a.md")

    embedder = CountingEmbedder()
    retriever = MemoryRetriever(load, embedder)
    assert (reads, embedder.asked) == ([], [])
    found = await asyncio.gather(*(retriever.search("何时", limit=3) for _ in range(3)))
    assert [hits[0].answer for hits in found] == ["九点。"] * 3
    assert len(reads) == 1
    assert embedder.asked == ["几点?", "何时", "何时", "何时"]


async def test_an_empty_base_finds_nothing() -> None:
    assert await MemoryRetriever([], CountingEmbedder()).search("几点", limit=3) == []
