"""Counts what the embedding model is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Counter

from kb.embeddings import Embedder
from kb.vectors import Vector

CALLS = Counter("kefu_embedding_calls", "Calls of the embedding model, by what came of them", ["outcome"])
TEXTS = Counter("kefu_embedded_texts", "Texts that the embedding model turned into vectors")


class CountedEmbedder:
    """An `Embedder` that counts what another one does."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def model_id(self) -> str:
        """The other one's."""
        return self._embedder.model_id

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder`."""
        return await _counted(self._embedder.embed_questions, texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder`."""
        return await _counted(self._embedder.embed_passages, texts)

    async def aclose(self) -> None:
        """Close the other one."""
        await self._embedder.aclose()


async def _counted(embed: Callable[[Sequence[str]], Awaitable[list[Vector]]], texts: Sequence[str]) -> list[Vector]:
    if not texts:
        return []
    try:
        vectors = await embed(texts)
    except BaseException:
        # A call that is cancelled took too long for whoever asked.
        CALLS.labels("failed").inc()
        raise
    CALLS.labels("usable").inc()
    TEXTS.inc(len(texts))
    return vectors
