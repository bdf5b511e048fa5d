"""How the server listens: a connection that does not get to the end of its headers is closed."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
"""From the connection, or from a request's first byte, to the end of its headers. uvicorn waits for ever: a few
thousand connections that drip would take every file the process may open."""


class PatientHttp(HttpToolsProtocol):
    """uvicorn's own protocol, with a time limit where it has none."""

    header_seconds = HEADER_SECONDS
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to count."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Count on while no request is being answered: uvicorn's own limit for idle connections ends with any byte."""
        super().data_received(data)
        if self._is_between_requests() and self._limit is None and not self.transport.is_closing():
            self._begin()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._end()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._end()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begin(self) -> None:
        self._limit = self.loop.call_later(self.header_seconds, self._give_up)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self) -> None:
        self._limit = None
        if self._is_between_requests() and not self.transport.is_closing():
            self.transport.close()
