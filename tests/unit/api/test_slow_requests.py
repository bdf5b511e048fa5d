"""Who drips, or never comes to an end, is let go; everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response
from websockets.asyncio.client import connect

from api.deadline import Deadline
from api.patient_http import PatientHttp


class HurriedHttp(PatientHttp):
    header_seconds = 0.3
    read_seconds = 0.5


class ToldServer(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@pytest.fixture
async def server() -> AsyncIterator[ToldServer]:
    """A server on loopback that waits 0.3 seconds for headers."""
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    @app.get("/large")
    async def large() -> Response:
        return PlainTextResponse("x" * 10_000_000)

    @app.post("/who")
    async def who(request: Request) -> dict[str, list[str]]:
        await asyncio.sleep(0.1)
        return {name: request.headers.getlist(name) for name in ("x-forwarded-for", "x-request-id")}

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = ToldServer(uvicorn.Config(app, http=HurriedHttp, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        async with asyncio.timeout(10):
            await server.is_up.wait()
        yield server
        server.should_exit = True
        await serving


@pytest.fixture
def port(server: ToldServer) -> int:
    """Where it listens."""
    return int(server.servers[0].sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def drip(writer: asyncio.StreamWriter, closed: asyncio.Future[bytes], text: bytes) -> None:
    """Send byte by byte until the other side has had enough."""
    for byte in text:
        if closed.done():
            return
        with contextlib.suppress(OSError):
            writer.write(bytes([byte]))
            await writer.drain()
        await asyncio.wait([closed], timeout=0.02)


@pytest.mark.parametrize("begun", [b"", b"POST /echo HTTP/1.1\r\n", b"\r\n"])
async def test_headers_that_drip_are_not_waited_for(port: int, begun: bytes) -> None:
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        writer.write(begun)
        closed = asyncio.ensure_future(reader.read())
        await drip(writer, closed, b"\r\n" * 500 if begun == b"\r\n" else b"X-A: " + b"a" * 1000 if begun else b"")
        assert await closed == b""


async def test_others_are_served_while_many_drip(port: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            _, writer = await stack.enter_async_context(connected(port))
            writer.write(b"POST /echo HTTP/1.1\r\nHost: k")
        client = await stack.enter_async_context(httpx.AsyncClient())
        answer = await client.post(f"http://127.0.0.1:{port}/echo", content=b"hello")
        assert (answer.status_code, answer.content) == (200, b"hello")


async def test_headers_in_time_and_a_slow_body_are_fine(port: int) -> None:
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        for _ in range(2):
            writer.write(b"POST /echo HTTP/1.1\r\nHost: k\r\nContent-Length: 40\r\n\r\n")
            answer = asyncio.ensure_future(reader.readuntil(b"x" * 40))
            # Longer than headers may take.
            await drip(writer, answer, b"x" * 40)
            assert (await answer).startswith(b"HTTP/1.1 200")


async def test_headers_have_a_largest_size(port: int) -> None:
    for flood in (b"X-A: " + b"a" * 10_000_000, b"X-A: aaaaaaaaaa\r\n" * 500_000):
        async with connected(port) as (reader, writer), asyncio.timeout(10):
            with contextlib.suppress(OSError):
                writer.write(b"POST /echo HTTP/1.1\r\nHost: k\r\n" + flood + b"\r\n\r\n")
                await writer.drain()
            answer = b""
            with contextlib.suppress(OSError):
                answer = await reader.read()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer[:80]


async def test_what_stands_around_a_body_has_a_largest_size_and_the_body_has_not(port: int) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        writer.write(head + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 20 + b"0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        with contextlib.suppress(OSError):
            writer.write(head + b"1\r\nx\r\n0\r\nX-A: " + b"a" * 10_000_000)
            await writer.drain()
            assert await reader.read() == b""


@pytest.mark.parametrize("header", [b"X-Forwarded-For: 101.226.103.5", b"X-Request-Id: planted"])
async def test_nobody_adds_to_the_headers_from_behind_the_body(port: int, header: bytes) -> None:
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        writer.write(b"POST /who HTTP/1.1\r\nHost: k\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + header + b"\r\n\r\n")
        assert b'{"x-forwarded-for":["203.0.113.9"],"x-request-id":[]}' in await reader.read()


@pytest.mark.parametrize("requests", [1, 40])
async def test_who_does_not_read_is_let_go(port: int, server: ToldServer, requests: int) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(client, b"GET /large HTTP/1.1\r\nHost: k\r\n\r\n" * requests)
        async with asyncio.timeout(10):
            while not server.server_state.total_requests:  # noqa: ASYNC110 - uvicorn tells nobody
                await asyncio.sleep(0.01)
            while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_websocket_is_not_cut_off(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/talk") as websocket:
        await asyncio.sleep(HurriedHttp.header_seconds * 2)
        await websocket.send("hello")
        assert await websocket.recv() == "hello"


async def call(app: Any, *, receive: Any = None) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/x", "method": "GET", "headers": []}
    async with asyncio.timeout(10):
        await app(scope, receive or nothing, send)
    return sent


async def test_an_answer_that_does_not_come_is_given_up() -> None:
    async def app(*_: Any) -> None:
        await asyncio.Event().wait()

    start, _ = await call(Deadline(app, seconds=0.01))
    assert start["status"] == 503


async def test_an_answer_that_does_not_end_is_cut_off() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.Event().wait()

    sent = await call(Deadline(app, seconds=0.01))
    assert [message.get("status", message.get("body")) for message in sent] == [200, b"x"]


async def test_what_runs_after_the_answer_may_take_longer() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(1)

    await call(Deadline(PlainTextResponse("ok", background=BackgroundTask(work)), seconds=0.01))
    assert done == [1]


async def test_somebody_else_s_time_limit_stays_theirs() -> None:
    async def app(*_: Any) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await call(Deadline(app, seconds=10))
