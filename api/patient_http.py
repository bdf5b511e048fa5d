"""How the server listens: who drips, floods or does not read is let go, and nobody adds to headers that were read."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
"""From the connection, or from a request's first byte, to the end of its headers. uvicorn waits for ever: a few
thousand connections that drip would take every file the process may open."""

READ_SECONDS = 60.0
"""How long the other side may leave unread what was sent. Not even a connection that is closed ends before that."""

MOST_BYTES = 64 * 1024
"""Of a request besides its body. uvicorn keeps headers of any size."""


class PatientHttp(HttpToolsProtocol):
    """uvicorn's own protocol, with limits where it has none."""

    header_seconds = HEADER_SECONDS
    read_seconds = READ_SECONDS
    _limit: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _besides_body = 0
    _are_headers_read = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to count."""
        super().connection_made(transport)
        # Whatever is not read at once is waited for, not only what is more than 64 KiB.
        transport.set_write_buffer_limits(high=0)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Count on while no request is being answered: uvicorn's own limit for idle connections ends with any byte."""
        self._besides_body += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._besides_body > MOST_BYTES:
            self._refuse_flood()
        elif self._is_between_requests() and self._limit is None:
            self._begin()

    def on_message_begin(self) -> None:
        """Count its bytes from here."""
        self._besides_body = 0
        self._are_headers_read = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but not from behind the body: a proxy that lets trailers through did not check them."""
        if not self._are_headers_read:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._are_headers_read = True
        self._end()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Leave the body to whoever reads it."""
        self._besides_body = max(0, self._besides_body - len(body))
        super().on_body(body)

    def pause_writing(self) -> None:
        """Begin to wait for the reader."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: everything is read."""
        self._stop_waiting()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over as it came."""
        self._end()
        self._stop_waiting()
        self.transport.set_write_buffer_limits()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._end()
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse_flood(self) -> None:
        self._end()
        if self._is_between_requests():
            self.send_400_response("The headers are too large.")
        else:
            self.transport.close()

    def _begin(self) -> None:
        self._limit = self.loop.call_later(self.header_seconds, self._give_up)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._limit = None
        if self._is_between_requests() and not self.transport.is_closing():
            self.transport.close()
