"""How many messages one customer may send, with a Redis and without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tools.circuit_breaker import CircuitBreaker
from tools.rate_limit import RateLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def count(limiter: RateLimiter, key: str = "wm1", *, calls: int = 5) -> int:
    return sum([await limiter.allow(key) for _ in range(calls)])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["action"] for record in caplog.records if "action" in vars(record)]


@pytest.fixture
async def connect(wecom_redis_socket: Path) -> AsyncIterator[Callable[..., Redis]]:
    """Open connections as separate processes would."""
    async with contextlib.AsyncExitStack() as stack:

        def make(**options: Any) -> Redis:
            redis = Redis(unix_socket_path=str(wecom_redis_socket), retry=Retry(NoBackoff(), 0), **options)
            stack.push_async_callback(redis.aclose)
            return redis

        yield make


async def test_each_customer_has_an_allowance_of_their_own() -> None:
    limiter = RateLimiter(None, per_minute=3)
    assert [await limiter.allow("wm1") for _ in range(5)] == [True, True, True, False, False]
    assert await limiter.allow("wm2")


async def test_messages_at_once_are_counted_one_by_one() -> None:
    limiter = RateLimiter(None, per_minute=3)
    assert sum(await asyncio.gather(*(limiter.allow("wm1") for _ in range(20)))) == 3


async def test_processes_count_together_through_redis(connect: Callable[..., Redis]) -> None:
    first, second = RateLimiter(connect(), per_minute=3), RateLimiter(connect(), per_minute=3)
    assert await count(first, calls=2) + await count(second, calls=5) == 3
    assert await count(first, "wm2", calls=1) == 1


async def test_a_count_in_redis_ends_by_itself(connect: Callable[..., Redis]) -> None:
    redis = connect()
    await RateLimiter(redis, per_minute=3).allow("wm1")
    keys = await redis.keys("*")
    assert len(keys) == 1
    assert keys[0].startswith(b"kefu:")
    assert 0 < await redis.ttl(keys[0]) <= 60


async def test_redis_killed_in_mid_traffic_costs_one_warning_and_no_message(
    connect: Callable[..., Redis], caplog: pytest.LogCaptureFixture
) -> None:
    redis = connect()
    limiter = RateLimiter(redis, per_minute=3)
    assert await count(limiter, calls=2) == 2
    os.kill((await redis.info("server"))["process_id"], signal.SIGKILL)
    with contextlib.suppress(RedisError):
        while await redis.ping():
            pass
    assert await count(limiter, calls=10) == 3
    assert await count(limiter, "wm2", calls=1) == 1
    assert told(caplog) == ["circuit_opened"]


async def test_a_redis_that_was_never_there_is_not_waited_for_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis = Redis(unix_socket_path=str(tmp_path / "nobody.sock"), retry=Retry(NoBackoff(), 0))
    assert await count(RateLimiter(redis, per_minute=3)) == 3
    assert told(caplog) == ["circuit_opened"]
    await redis.aclose()


async def test_a_redis_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tools.rate_limit._REDIS_PATIENCE", 0.05)
    over = asyncio.Event()

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "deaf.sock")
    redis = Redis(unix_socket_path=str(tmp_path / "deaf.sock"), retry=Retry(NoBackoff(), 0))
    async with asyncio.timeout(5):
        assert await count(RateLimiter(redis, per_minute=3)) == 3
    assert told(caplog) == ["circuit_opened"]
    await redis.aclose()
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_is_back_counts_again(connect: Callable[..., Redis], tmp_path: Path) -> None:
    clock = Clock()
    breaker = CircuitBreaker("redis", failures=1, pause_seconds=30, clock=clock)
    redis = connect()
    limiter = RateLimiter(redis, per_minute=3, breaker=breaker)
    assert await count(limiter, calls=1) == 1
    await redis.config_set("requirepass", "changed")
    await redis.connection_pool.disconnect()
    assert await count(limiter, calls=3) == 3
    await connect(password="changed").config_set("requirepass", "")
    clock.now += 31
    # Redis saw one message, this process three: the shared count holds again.
    assert await count(limiter, calls=5) == 2
