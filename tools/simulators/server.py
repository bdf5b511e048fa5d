"""An ASGI app on a free loopback port, inside the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Self

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"


class LoopbackServer:
    """Serves one app until stopped; requests still running then are cut off, not waited for.

    The app's lifespan is not run: whoever starts the server owns what the app uses.
    """

    def __init__(self, app: ASGIApp, *, port: int = 0) -> None:
        self._app = app
        self._wanted_port = port
        self._port: int | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port; known once started, and the same after a stop and a new start."""
        if self._port is None:
            raise RuntimeError("the server has not been started: await start() first")
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        """Listen; connections are accepted when this returns."""
        if self._serving is not None:
            raise RuntimeError("the server is already running")
        # Without the explicit protocol asyncio does not set TCP_NODELAY, and every answer takes 40 ms.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((HOST, self._port or self._wanted_port))
        except OSError:
            sock.close()
            raise
        self._port = sock.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self._guarded,
                interface="asgi3",
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                access_log=False,  # tokens sit in URLs
                date_header=False,
                timeout_keep_alive=75,
            )
        )
        self._serving = asyncio.create_task(self._server.serve([sock]), name="loopback-server")
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Close everything; harmless when not running."""
        if self._server is None or self._serving is None:
            return
        self._server.leave.set()
        await self._serving
        self._server = self._serving = None

    async def drop(self, request: Request) -> None:
        """Reset the connection of `request`, as a network failure would; what the handler answers goes nowhere."""
        await self._abort(request.scope, request.receive)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Only stop() cancels request tasks; ending in an exception would make uvicorn answer 500.
            await self._abort(scope, receive)

    async def _abort(self, scope: Scope, receive: Receive) -> None:
        assert self._server is not None, "a request runs only on a running server"
        for connection in list(self._server.server_state.connections):
            transport = connection.transport
            if transport is not None and transport.get_extra_info("peername") == scope["client"]:
                transport.abort()
        message = await receive()
        while not message["type"].endswith("disconnect"):
            message = await receive()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Server(uvicorn.Server):
    """uvicorn as a guest in somebody's loop: no signal handlers, no polling for the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own waits for clients in steps of 0.1 s, which adds up over hundreds of tests.
        for listener in self.servers:
            listener.close()
        for sock in sockets or []:
            sock.close()
        while self.server_state.connections:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        running = list(self.server_state.tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
