"""What holds for every request: how large it may be, how long it may take, and how often an address may be wrong.

Headers follow the OWASP Secure Headers Project. Nothing here decides who is let in: the routes do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.client_address import address_of, neighbours
from tools.moving_window import MovingWindow

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
"""Bytes; WeCom's and Telegram's calls are a few thousand."""

BODY_SECONDS = 20.0
"""How long a body may take to arrive: whoever drips it holds a connection and nothing else."""

FAILURES = frozenset({401, 403})

SIGNED = ("/wecom/", "/telegram/")
"""Paths whose callers prove themselves by each request. Behind a proxy that is not trusted a stranger's failures look
like theirs, and a message must not be refused for what somebody else did: only what fails is answered with 429."""

PROBES = frozenset({"/health", "/ready"})
"""Asked by balancers, from addresses that others may come from too: whoever guesses must not make it look unwell."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
STAY_SECURE = (b"strict-transport-security", b"max-age=31536000")
"""Only behind TLS; without it kefu is tried on somebody's own machine."""
PAGE_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Guard:
    """Keeps requests small and short, gives every answer its headers, and slows down who guesses."""

    def __init__(self, app: ASGIApp, *, failures_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._failures = MovingWindow(failures_per_minute, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its address has been wrong too often or it grows too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = neighbours(address_of(scope["client"][0]) if scope.get("client") else None)
        is_signed = scope["path"].startswith(SIGNED)
        if not is_signed and scope["path"] not in PROBES and self._failures.seconds_left(address):
            await self._refuse(scope, receive, send, address)
            return
        await self._pass_on(scope, receive, send, address, is_signed=is_signed)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, address: str, *, is_signed: bool) -> None:
        is_refused = False

        async def answer(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                is_wrong = message["status"] in FAILURES
                is_refused = is_wrong and not self._failures.hit(address) and is_signed
                message["headers"] = _with_ours(message.get("headers", ()), scope)
            if not is_refused:
                await send(message)

        await self._app(scope, _limited(receive), answer)
        if is_refused:
            await self._refuse(scope, receive, send, address)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        logger.warning("Address refused for a while", extra={"action": "address_refused", "address": address})
        wait = {"Retry-After": str(max(1, math.ceil(self._failures.seconds_left(address))))}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_ours(message["headers"], scope)
            await send(message)

        await PlainTextResponse("too many refused requests from this address", 429, wait)(scope, receive, answer)


def _limited(receive: Receive) -> Receive:
    """Read no more and wait no longer than a body may take."""
    size = 0
    until = time.monotonic() + BODY_SECONDS
    is_complete = False

    async def read() -> Message:
        nonlocal size, is_complete
        if is_complete:
            # What comes now says that the client went away: that may take as long as the answer does.
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time", {"Connection": "close"}) from None
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if size > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes", {"Connection": "close"})
        return message

    return read


def _with_ours(headers: Iterable[tuple[bytes, bytes]], scope: Scope) -> list[tuple[bytes, bytes]]:
    given = [*headers]
    names = {name for name, _ in given}
    ours = [(name, value) for name, value in HEADERS if name not in names]
    if scope["scheme"] == "https":
        ours.append(STAY_SECURE)
    if scope["path"] == "/docs":
        ours = [(name, PAGE_POLICY if name == b"content-security-policy" else value) for name, value in ours]
    return [*given, *ours]
