"""One line a request: what was asked, what came of it, how long it took; and the same in numbers."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.observability.counters import REQUEST_SECONDS, REQUESTS
from api.observability.spans import span

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LONGEST_PATH = 200

ROUTINE = frozenset({"/wecom/callback", "/telegram/webhook"})
"""A stored call is told by the lines of what it causes, and by `kefu_http_requests_total`; its own is for DEBUG."""


class AccessLog:
    """Logs and counts every request; the id a proxy gave it is kept, and sent back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and take down what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        status = 500
        begun = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        # Callbacks and updates; who only looks is no part of a message's way.
        timed = (
            span("request", {"path": scope["path"][:LONGEST_PATH]})
            if scope["method"] == "POST"
            else contextlib.nullcontext()
        )
        with bound_contextvars(request_id=request_id), timed:
            try:
                await self._app(scope, receive, note)
            finally:
                _note(scope, status, time.perf_counter() - begun)


def _note(scope: Scope, status: int, seconds: float) -> None:
    # Names of no route, and methods that do not exist, are as many as anybody likes to send.
    route = getattr(scope.get("route"), "path", "other")
    method = scope["method"] if scope["method"] in METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
    is_routine = status == 200 and scope["path"] in ROUTINE
    logger.log(
        logging.DEBUG if is_routine else logging.INFO,
        "Request",
        extra={
            "action": "request",
            "method": method,
            "path": scope["path"][:LONGEST_PATH],
            "status": status,
            "ms": round(seconds * 1000, 1),
        },
    )


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return given.decode() if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)
