"""The loopback server starts, stops and cuts connections cleanly."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tools.simulators.server import LoopbackServer


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def test_serves_on_a_free_loopback_port() -> None:
    app = Starlette(routes=[Route("/", _hello)])
    async with LoopbackServer(app) as one, LoopbackServer(app) as two, httpx.AsyncClient() as http:
        assert one.port != two.port
        assert one.url == f"http://127.0.0.1:{one.port}"
        assert (await http.get(two.url)).text == "hello"


async def test_keeps_its_port_over_a_restart() -> None:
    server = LoopbackServer(Starlette(routes=[Route("/", _hello)]))
    await server.start()
    url = server.url
    await server.stop()
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)
        await server.start()
        assert server.url == url
        assert (await http.get(url)).text == "hello"
    await server.stop()


async def test_leaves_signal_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with LoopbackServer(Starlette()):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_stop_cuts_a_request_that_still_runs() -> None:
    began = asyncio.Event()

    async def endless(_: Request) -> Response:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with httpx.AsyncClient() as http, LoopbackServer(Starlette(routes=[Route("/", endless)])) as server:
        request = asyncio.create_task(http.get(server.url, timeout=30))
        await began.wait()
        await server.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            await request


async def test_drop_resets_only_the_connection_asked_for() -> None:
    async def dropped(request: Request) -> Response:
        await request.body()
        await server.drop(request)
        return PlainTextResponse("never seen")

    app = Starlette(routes=[Route("/", _hello), Route("/dropped", dropped, methods=["POST"])])
    server = LoopbackServer(app)
    async with server, httpx.AsyncClient(base_url=server.url) as other, httpx.AsyncClient(base_url=server.url) as http:
        assert (await other.get("/")).text == "hello"
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.post("/dropped", content=b"x" * 100_000)
        assert (await other.get("/")).text == "hello"


def test_the_port_is_unknown_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        _ = LoopbackServer(Starlette()).url


async def test_a_second_start_is_refused() -> None:
    async with LoopbackServer(Starlette()) as server:
        with pytest.raises(RuntimeError, match="already running"):
            await server.start()


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open() -> None:
    async with LoopbackServer(Starlette()) as first:
        second = LoopbackServer(Starlette(), port=first.port)
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop()
