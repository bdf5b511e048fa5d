"""Calls of the embedding model are counted, whoever makes them, and whatever comes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import REGISTRY

from api.observability.embeddings import CountedEmbedder
from kb.errors import IndexUnavailableError
from kb.vectors import Vector


class Embedder:
    model_id = "m@h"
    is_down = is_closed = False

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        if self.is_down:
            raise IndexUnavailableError("away")
        return [np.ones(2, dtype=np.float32) for _ in texts]

    embed_passages = embed_questions

    async def aclose(self) -> None:
        self.is_closed = True


def counted() -> tuple[float, ...]:
    usable, failed = (
        REGISTRY.get_sample_value("kefu_embedding_calls_total", {"outcome": outcome}) or 0.0
        for outcome in ("usable", "failed")
    )
    return usable, failed, REGISTRY.get_sample_value("kefu_embedded_texts_total") or 0.0


async def test_calls_and_texts_are_counted() -> None:
    inner = Embedder()
    embedder = CountedEmbedder(inner)
    before = counted()
    assert len(await embedder.embed_questions(["一", "二"])) == 2
    assert len(await embedder.embed_passages(["三"])) == 1
    assert await embedder.embed_questions([]) == []
    inner.is_down = True
    with pytest.raises(IndexUnavailableError):
        await embedder.embed_questions(["四"])
    assert [after - then for after, then in zip(counted(), before, strict=True)] == [2, 1, 3]
    assert embedder.model_id == "m@h"
    await embedder.aclose()
    assert inner.is_closed
