"""A reranking service: it reads the question together with each candidate and puts the best first. Optional.

Its answer is advice. Whatever goes wrong, the order stays as the search made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import httpx
from pydantic import SecretStr

from kb.chunks import Hit
from kb.ports import Breaker
from kb.settings import KbSettings

logger = logging.getLogger(__name__)

RERANKED = 20
"""Candidates the service reads; more cost time and hardly ever hold the answer."""

MAX_DOCUMENT = 1500
"""Characters of a candidate that are read."""

PATIENCE_SECONDS = 3.0
"""How long a search waits for the service; a customer waits with it."""


class Reranker(Protocol):
    """Puts candidates into a better order."""

    async def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Note on each hit how well it answers; the hits as they are when nobody can tell."""
        ...


class ApiReranker:
    """A service with the `/rerank` request that Jina, Cohere, SiliconFlow, vLLM and others share."""

    def __init__(
        self,
        *,
        base: str,
        api_key: SecretStr | None,
        model: str,
        breaker: Breaker,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
        self._http = httpx.AsyncClient(headers=headers, timeout=patience_seconds)
        self._url = f"{base}/rerank"
        self._model = model
        self._breaker = breaker
        self._patience = patience_seconds

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """See `Reranker`."""
        if not hits or not self._breaker.allow():
            return list(hits)
        try:
            scores = await self.scores(query, [hit.content[:MAX_DOCUMENT] for hit in hits])
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            self._breaker.failed()
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            # Not the error's own words: they may hold the address, and with it a key.
            reason = f"status {status}" if status else type(error).__name__
            logger.warning("Not reranked, the order stays", extra={"action": "rerank_failed", "reason": reason})
            return list(hits)
        self._breaker.succeeded()
        return [replace(hit, rerank_score=score) for hit, score in zip(hits, scores, strict=True)]

    async def scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """Ask for a score of each document, in the same order.

        Raises:
            httpx.HTTPError: the service does not answer, or refuses.
            TimeoutError: it takes too long.
            ValueError: the answer makes no sense.
        """
        body = {"model": self._model, "query": query, "documents": list(documents), "top_n": len(documents)}
        async with asyncio.timeout(self._patience):
            response = await self._http.post(self._url, json={**body, "return_documents": False})
        response.raise_for_status()
        return _read(response.json(), len(documents))


@contextlib.asynccontextmanager
async def open_reranker(settings: KbSettings, breaker: Breaker) -> AsyncIterator[ApiReranker | None]:
    """Open the reranking service when one is set; closes its connections at the end."""
    if not settings.rerank_api_base:
        yield None
        return
    reranker = ApiReranker(
        base=settings.rerank_api_base, api_key=settings.rerank_api_key, model=settings.rerank_model, breaker=breaker
    )
    async with contextlib.aclosing(reranker):
        yield reranker


def _read(answer: Any, count: int) -> list[float]:
    scores: dict[int, float] = {}
    try:
        for result in answer["results"]:
            scores[result["index"]] = float(result["relevance_score"])
        ordered = [scores[index] for index in range(count)]
        if len(answer["results"]) != count or not all(map(math.isfinite, ordered)):
            raise ValueError("places twice, places of nothing, or scores that are no numbers")
    except (LookupError, TypeError) as error:
        raise ValueError("an answer of another shape") from error
    return ordered
