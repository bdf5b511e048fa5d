"""One access token per corp and secret: cached, fetched by one caller at a time, shared through Redis if any."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tools.errors import BadRequestError, ChannelError

logger = logging.getLogger(__name__)

MARGIN = 300.0
"""Seconds before its end at which a token is no longer handed out; a tenth of its life when that is less."""
REFUSAL_PAUSE = 10.0
"""Seconds without a new attempt after the vendor refused: frequent failing gettoken calls get an address blocked."""

_LOCK_LIFE = 30.0
_LOCK_PATIENCE = 10.0
_REDIS_PATIENCE = 1.0
_REDIS_TROUBLE = (RedisError, OSError)  # OSError includes the time-out of asyncio


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshToken:
    """A token as the vendor gave it."""

    value: str = field(repr=False)
    expires_in: float
    """Seconds."""


class TokenCache:
    """Hands out one secret's access token and renews it once, however many ask.

    Redis is a shortcut between processes; without it, or when it fails, each process has its own token.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[FreshToken]],
        *,
        corp_id: str,
        secret: SecretStr,
        redis: Redis | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._redis = redis
        self._clock = clock
        identity = hashlib.sha256(f"{corp_id}\0{secret.get_secret_value()}".encode()).hexdigest()
        self._key = f"kefu:wecom:token:{identity}"
        self._lock = asyncio.Lock()
        self._value = ""
        self._good_until = 0.0
        self._attempts = 0
        self._failure: ChannelError | None = None
        self._failed_at = 0.0

    async def get(self) -> str:
        """Return a valid token.

        Raises:
            ChannelError: the vendor gave none; `transient` says whether to try again.
        """
        return self._value if self._is_good("") else await self._renew("")

    async def refresh(self, stale: str) -> str:
        """Return a token other than `stale`, which the vendor rejected.

        Raises:
            ChannelError: the vendor gave none; `transient` says whether to try again.
        """
        return self._value if self._is_good(stale) else await self._renew(stale)

    def _is_good(self, stale: str) -> bool:
        return self._value not in ("", stale) and self._clock() < self._good_until

    async def _renew(self, stale: str) -> str:
        seen = self._attempts
        async with self._lock:
            if self._is_good(stale):
                return self._value
            failure = self._failure
            if failure is not None and (self._attempts != seen or self._is_pausing(failure)):
                # A fresh instance: a shared one would collect every caller's traceback.
                raise type(failure)(str(failure), code=failure.code)
            self._failure = None
            try:
                await self._obtain(stale)
            except ChannelError as error:
                self._failure, self._failed_at = error, self._clock()
                raise
            finally:
                self._attempts += 1
            return self._value

    def _is_pausing(self, failure: ChannelError) -> bool:
        return isinstance(failure, BadRequestError) and self._clock() < self._failed_at + REFUSAL_PAUSE

    async def _obtain(self, stale: str) -> None:
        async with self._turn() as redis:
            if redis is not None and await self._adopt(redis, stale):
                return
            fresh = await self._fetch()
            self._keep(fresh.value, fresh.expires_in - min(MARGIN, fresh.expires_in / 10))
            logger.info("fetched a WeCom access token", extra={"action": "wecom_token_fetched"})
            if redis is not None:
                await self._share(redis)

    def _keep(self, value: str, seconds: float) -> None:
        self._value = value
        self._good_until = self._clock() + seconds

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Redis | None]:
        """Hold the right to fetch among all processes; yields None when Redis cannot help."""
        if self._redis is None:
            yield None
            return
        # The lock dies with its holder; who waits too long for it fetches anyway.
        lock = self._redis.lock(f"{self._key}:lock", timeout=_LOCK_LIFE, blocking_timeout=_LOCK_PATIENCE)
        try:
            # Asked first, so that a dead Redis costs a second and not the whole wait for the lock.
            async with asyncio.timeout(_REDIS_PATIENCE):
                await self._redis.ping()
            async with asyncio.timeout(_LOCK_PATIENCE + _REDIS_PATIENCE):
                held = await lock.acquire()
        except _REDIS_TROUBLE as error:
            _warn(error)
            yield None
            return
        try:
            yield self._redis
        finally:
            if held:
                try:
                    async with asyncio.timeout(_REDIS_PATIENCE):
                        await lock.release()
                except _REDIS_TROUBLE as error:
                    _warn(error)

    async def _adopt(self, redis: Redis, stale: str) -> bool:
        """Take over what another process fetched, unless that is the token just rejected."""
        try:
            async with asyncio.timeout(_REDIS_PATIENCE), redis.pipeline() as pipe:
                pipe.get(self._key)
                pipe.pttl(self._key)
                value, milliseconds = await pipe.execute()
        except _REDIS_TROUBLE as error:
            _warn(error)
            return False
        token = value.decode() if isinstance(value, bytes) else value or ""
        if token in ("", stale) or milliseconds <= 0:
            return False
        self._keep(token, milliseconds / 1000)
        return True

    async def _share(self, redis: Redis) -> None:
        milliseconds = int((self._good_until - self._clock()) * 1000)
        if milliseconds <= 0:
            return
        try:
            async with asyncio.timeout(_REDIS_PATIENCE):
                await redis.set(self._key, self._value, px=milliseconds)
        except _REDIS_TROUBLE as error:
            _warn(error)


def _warn(error: Exception) -> None:
    # The kind only: a connection error's text may carry the address with its password.
    logger.warning(
        "Redis does not answer; the WeCom access token is kept in this process only",
        extra={"action": "wecom_token_redis_down", "kind": type(error).__name__},
    )
