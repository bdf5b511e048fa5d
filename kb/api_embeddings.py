"""Embeddings from a service that speaks OpenAI's protocol; slow to import, so only where one is set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from kb.errors import IndexUnavailableError
from kb.vectors import Vector, clean_text, unit

_TOTAL_SECONDS = 45.0

_NONSENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What the client raises on an answer of another shape, such as a proxy's page."""


class ApiEmbedder:
    """An embeddings endpoint that speaks OpenAI's protocol."""

    def __init__(self, *, base: str, api_key: SecretStr | None, model: str) -> None:
        self.model_id = f"{model}@{urlsplit(base).hostname}"
        # The default one is shared by everything with this base address: nobody could close it.
        self._http = openai.DefaultAsyncHttpxClient()
        self._client = OpenAIEmbeddings(
            http_async_client=self._http,
            model=model,
            base_url=base,
            api_key=api_key or SecretStr("none"),
            # Counting tokens would download a tokenizer; not every server knows base64; some take ten texts at most.
            check_embedding_ctx_length=False,
            model_kwargs={"encoding_format": "float"},
            chunk_size=10,
            timeout=20,
            max_retries=1,
        )

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder`."""
        return await self._embed(texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder`."""
        return await self._embed(texts)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _embed(self, texts: Sequence[str]) -> list[Vector]:
        if not texts:
            return []
        # An empty input is refused by most servers.
        cleaned = [clean_text(text) or " " for text in texts]
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                rows = await self._client.aembed_documents(cleaned)
            vectors = [unit(np.asarray(row, dtype=np.float32)) for row in rows]
        except (openai.OpenAIError, httpx.HTTPError, TimeoutError, *_NONSENSE) as error:
            status = getattr(error, "status_code", None)
            told = f"status {status}" if status else type(error).__name__
            raise IndexUnavailableError(
                f"the embedding service of {self.model_id} did not answer ({told}); "
                "check EMBEDDING_API_BASE, EMBEDDING_API_KEY and EMBEDDING_MODEL"
            ) from error
        if len(vectors) != len(texts) or len({vector.shape for vector in vectors}) != 1 or not vectors[0].size:
            raise IndexUnavailableError(f"the embedding service of {self.model_id} returned a wrong number of vectors")
        return vectors
