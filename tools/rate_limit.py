"""How many messages one customer may send: counted in Redis for all processes, or in this one."""

from __future__ import annotations

import asyncio

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tools.circuit_breaker import CircuitBreaker
from tools.moving_window import MovingWindow

_REDIS_PATIENCE = 1.0
_REDIS_PAUSE = 30.0
_REDIS_TROUBLE = (RedisError, OSError)  # OSError includes the time-out of asyncio


class RateLimiter:
    """Allows each key a number of calls in any sixty seconds.

    Redis lets the processes count together. While it does not answer each counts on its own, from zero, so a customer
    may get one allowance a process: losing Redis never stops a message.
    """

    def __init__(self, redis: Redis | None, *, per_minute: int, breaker: CircuitBreaker | None = None) -> None:
        self._item = RateLimitItemPerMinute(per_minute, namespace="kefu:rate")
        self._own = MovingWindow(per_minute)
        self._shared: MovingWindowRateLimiter | None = None
        if redis is not None:
            # The client's own pool: whoever opened it closes it, and its time limits hold.
            storage = RedisStorage(
                "async+redis://",
                implementation="redispy",
                key_prefix="kefu",
                connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # documented, not in its annotation
            )
            self._shared = MovingWindowRateLimiter(storage)
        self._breaker = breaker or CircuitBreaker("redis", failures=1, pause_seconds=_REDIS_PAUSE)

    async def allow(self, key: str) -> bool:
        """Count one call of this key and tell whether it is within the limit; never raises."""
        if self._shared is not None and self._breaker.allow():
            try:
                async with asyncio.timeout(_REDIS_PATIENCE):
                    is_allowed = await self._shared.hit(self._item, key)
            except _REDIS_TROUBLE:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
                return is_allowed
        return self._own.hit(key)
