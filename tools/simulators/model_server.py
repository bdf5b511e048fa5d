"""A chat, embeddings and reranking server on loopback in the usual protocols, and every way such a server fails.

async with ModelServer() as server:
    # LLM_API_BASE=server.api_base, EMBEDDING_API_BASE=server.api_base
    server.says = "亲，七天内可以退哦"
    server.replies += ["first this", "then that"]
    server.breaks("hang")
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tools.simulators.server import LoopbackServer

Failure = Literal[
    "hang", "trickle", "drop", "500", "429", "400", "401", "html", "not_json", "no_choices", "empty_choices", "null"
]
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]


class ModelServer:
    """Answers every chat with `says` and every text with its vector, until told to fail."""

    def __init__(self, *, embed: Embed | None = None, port: int = 0) -> None:
        self.says = "好的"
        self.replies: deque[str] = deque()
        """Said before `says`, each once."""
        self.script: Callable[[dict[str, Any]], str] | None = None
        """Makes what is said from the body of the request, instead of `says`."""
        self.finish_reason = "stop"
        self.chats: list[dict[str, Any]] = []
        """The bodies of the chats that were answered."""
        self.calls: Counter[str] = Counter()
        """Requests by path, such as `chat/completions`, failed ones included."""
        self._embed = embed or _by_letters
        self.relevance: dict[str, float] = {}
        """Scores of documents by a part of their text; all others get 0."""
        self.reranks: list[dict[str, Any]] = []
        """The bodies of the rerankings that were answered."""
        self.rerank_answer: dict[str, Any] | None = None
        """Answered instead, whatever was asked."""
        self._failure: Failure | None = None
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/v1/rerank", self._rerank, methods=["POST"]),
        ]
        self._server = LoopbackServer(Starlette(routes=routes), port=port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, on the same port."""
        await self._server.start()

    async def stop(self) -> None:
        """Go away: connections are refused."""
        await self._server.stop()

    @property
    def api_base(self) -> str:
        """The value for LLM_API_BASE, EMBEDDING_API_BASE or RERANK_API_BASE."""
        return f"{self._server.url}/v1"

    def breaks(self, failure: Failure) -> None:
        """Answer everything from now on like this."""
        self._failure = failure

    def heals(self) -> None:
        """Answer as one should again."""
        self._failure = None

    async def _chat(self, request: Request) -> Response:
        self.calls["chat/completions"] += 1
        if self._failure is not None:
            return await self._fail(request, self._failure)
        body = await request.json()
        self.chats.append(body)
        content = self.replies.popleft() if self.replies else self._said(body)
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "finish_reason": self.finish_reason, "message": message}
        return _completion(body["model"], choices=[choice])

    def _said(self, body: dict[str, Any]) -> str:
        return self.says if self.script is None else self.script(body)

    async def _embeddings(self, request: Request) -> Response:
        self.calls["embeddings"] += 1
        if self._failure is not None:
            return await self._fail(request, self._failure)
        body = await request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = await self._embed(texts)
        rows = [
            {"object": "embedding", "index": index, "embedding": list(map(float, vector))}
            for index, vector in enumerate(vectors)
        ]
        return JSONResponse({"object": "list", "model": body["model"], "data": rows, "usage": _usage()})

    async def _rerank(self, request: Request) -> Response:
        self.calls["rerank"] += 1
        if self._failure is not None:
            return await self._fail(request, self._failure)
        body = await request.json()
        self.reranks.append({**body, "authorization": request.headers.get("authorization")})
        scores = [
            max((score for part, score in self.relevance.items() if part in document), default=0.0)
            for document in body["documents"]
        ]
        results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
        results.sort(key=lambda result: -result["relevance_score"])
        answer = self.rerank_answer or {"model": body["model"], "results": results[: body["top_n"]]}
        # Not JSONResponse: a broken service writes NaN, which is no JSON.
        return Response(json.dumps(answer), media_type="application/json")

    async def _fail(self, request: Request, failure: Failure) -> Response:
        if failure == "hang":
            await asyncio.Event().wait()
        if failure == "drop":
            await self._server.drop(request)
        answers: dict[Failure, Callable[[], Response]] = {
            "trickle": lambda: StreamingResponse(_drops(), media_type="application/json"),
            "500": lambda: _error(500, "internal error"),
            "429": lambda: _error(429, "slow down"),
            "400": lambda: _error(400, "sensitive words"),
            "401": lambda: _error(401, "invalid api key"),
            "html": lambda: HTMLResponse("<html>502 Bad Gateway</html>"),
            "not_json": lambda: Response("{oops", media_type="application/json"),
            "no_choices": lambda: JSONResponse({"object": "chat.completion"}),
            "empty_choices": lambda: _completion("m", choices=[]),
            "null": lambda: JSONResponse(None),
        }
        make = answers.get(failure)
        return make() if make else Response()


def _completion(model: str, *, choices: list[dict[str, Any]]) -> Response:
    facts = {"id": "c1", "object": "chat.completion", "created": 0, "model": model, "usage": _usage()}
    return JSONResponse({**facts, "choices": choices})


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _error(status: int, message: str) -> Response:
    # Longer than anybody waits: clients obey it.
    headers = {"Retry-After": "30"} if status == 429 else {}
    return JSONResponse({"error": {"message": message, "type": "simulated"}}, status, headers)


async def _drops() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def _by_letters(texts: Sequence[str]) -> list[list[float]]:
    """Point texts with the same characters the same way; enough where no meaning is needed."""
    vectors = []
    for text in texts:
        vector = [0.0] * 64
        for character in text:
            vector[hashlib.blake2b(character.encode("utf-8", "ignore"), digest_size=1).digest()[0] % 64] += 1
        length = math.sqrt(sum(value * value for value in vector)) or 1.0
        vectors.append([value / length for value in vector])
    return vectors
