"""No request takes for ever."""

from __future__ import annotations

import asyncio
import logging

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 60.0
"""From the end of a request's headers to the end of its answer, who reads slowly included."""


class Deadline:
    """Gives a request up that takes too long; what runs after the answer may take its time."""

    def __init__(self, app: ASGIApp, *, seconds: float = REQUEST_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and wait for its answer, so long and no longer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_begun = False

        async def answer(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                limit.reschedule(None)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, answer)
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("Request given up", extra={"action": "request_given_up", "path": scope["path"][:200]})
            if not is_begun:
                late = JSONResponse({"detail": "this took too long"}, 503, {"Connection": "close"})
                await late(scope, receive, send)
