"""Texts to vectors: the port, the bundled model or an OpenAI-compatible service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kb.bundled import BundledEmbedder
from kb.chunks import Chunk
from kb.lexical import simplify
from kb.settings import KbSettings
from kb.vectors import Vector


class Embedder(Protocol):
    """A model that turns texts into vectors; texts about the same thing point the same way."""

    @property
    def model_id(self) -> str:
        """Names the model; vectors of different models are never compared."""
        ...

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        """Embed questions: a customer's, or the ones an entry is found by.

        Raises:
            IndexUnavailableError: the embedding service does not answer.
        """
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed passages that have no question.

        Raises:
            IndexUnavailableError: the embedding service does not answer.
        """
        ...

    async def aclose(self) -> None:
        """Close what it holds open."""
        ...


def make_embedder(settings: KbSettings) -> Embedder:
    """Choose the embedding service when one is set, else the bundled model; to be closed at the end.

    Raises:
        KbError: the bundled model does not exist for this platform.
    """
    if settings.embedding_api_base:
        from kb.api_embeddings import ApiEmbedder  # noqa: PLC0415 -- takes a second that the bundled model need not

        return ApiEmbedder(
            base=settings.embedding_api_base, api_key=settings.embedding_api_key, model=settings.embedding_model
        )
    return BundledEmbedder()


async def embed_chunks(embedder: Embedder, chunks: Sequence[Chunk]) -> list[Vector]:
    """Embed chunks by their question, or by their text when they have none; in the same order."""
    asked = [index for index, chunk in enumerate(chunks) if chunk.question]
    told = [index for index, chunk in enumerate(chunks) if not chunk.question]
    vectors: dict[int, Vector] = {}
    if asked:
        vectors.update(
            zip(asked, await embedder.embed_questions([simplify(chunks[i].question) for i in asked]), strict=True)
        )
    if told:
        vectors.update(
            zip(told, await embedder.embed_passages([simplify(chunks[i].content) for i in told]), strict=True)
        )
    return [vectors[index] for index in range(len(chunks))]
