"""Answers that were paid for once: kept in Redis for all processes, or in this one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tools.circuit_breaker import CircuitBreaker

LOOK_UPS = Counter("kefu_answer_cache", "Questions to the chat model that were looked up first", ["outcome"])

DAY = 24 * 60 * 60
_PREFIX = "kefu:answer:"
_OWN_ENTRIES = 1000
_REDIS_PATIENCE = 0.5
_REDIS_PAUSE = 30.0
_REDIS_TROUBLE = (RedisError, OSError)  # OSError includes the time-out of asyncio


class Sealer(Protocol):
    """Makes texts unreadable where they are stored."""

    def seal(self, text: str) -> str:
        """Return what may be stored."""
        ...

    def open(self, text: str) -> str:
        """Return what was sealed."""
        ...


class AnswerCache:
    """Remembers a text under a key for a day; with a `sealer` Redis sees none of it.

    Whoever makes the key puts into it everything the text depends on. While Redis does not answer each process
    remembers on its own: losing it costs a call of the model, never an answer.
    """

    def __init__(
        self,
        redis: Redis | None,
        *,
        sealer: Sealer | None = None,
        seconds: int = DAY,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._sealer = sealer
        self._seconds = seconds
        self._clock = clock
        self._breaker = breaker or CircuitBreaker("redis", failures=1, pause_seconds=_REDIS_PAUSE)
        self._own: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def get(self, key: str) -> str | None:
        """Return what is remembered, None when there is nothing; never raises."""
        text = await self._recall(key)
        LOOK_UPS.labels("miss" if text is None else "hit").inc()
        return text

    async def put(self, key: str, text: str) -> None:
        """Remember a text; never raises."""
        if self._redis is not None and self._breaker.allow():
            try:
                async with asyncio.timeout(_REDIS_PATIENCE):
                    await self._redis.set(_PREFIX + key, self._sealed(text).encode(), ex=self._seconds)
            except _REDIS_TROUBLE:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
                return
        self._own[key] = (self._clock() + self._seconds, text)
        self._own.move_to_end(key)
        while len(self._own) > _OWN_ENTRIES:
            self._own.popitem(last=False)

    def _sealed(self, text: str) -> str:
        return self._sealer.seal(text) if self._sealer else text

    async def _recall(self, key: str) -> str | None:
        if self._redis is not None and self._breaker.allow():
            try:
                async with asyncio.timeout(_REDIS_PATIENCE):
                    found = await self._redis.get(_PREFIX + key)
            except _REDIS_TROUBLE:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
                text = found.decode(errors="replace") if isinstance(found, bytes) else found
                return self._sealer.open(text) if self._sealer and text else text
        until, text = self._own.get(key, (0.0, ""))
        if self._clock() >= until:
            self._own.pop(key, None)
            return None
        self._own.move_to_end(key)
        return text
