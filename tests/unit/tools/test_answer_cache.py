"""Remembered answers, with a Redis and without."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tools.answer_cache import AnswerCache
from tools.circuit_breaker import CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def connect(wecom_redis_socket: Path) -> AsyncIterator[Callable[..., Redis]]:
    """Open connections as separate processes would."""
    async with contextlib.AsyncExitStack() as stack:

        def make(**options: Any) -> Redis:
            redis = Redis(unix_socket_path=str(wecom_redis_socket), retry=Retry(NoBackoff(), 0), **options)
            stack.push_async_callback(redis.aclose)
            return redis

        yield make


def looked_up(outcome: str) -> float:
    return REGISTRY.get_sample_value("kefu_answer_cache_total", {"outcome": outcome}) or 0.0


async def test_a_text_is_remembered_under_its_key() -> None:
    cache, hits, misses = AnswerCache(None), looked_up("hit"), looked_up("miss")
    await cache.put("k", "可以退")
    assert [await cache.get("k"), await cache.get("other")] == ["可以退", None]
    assert [looked_up("hit") - hits, looked_up("miss") - misses] == [1, 1]


async def test_it_is_forgotten_in_time() -> None:
    clock = Clock()
    cache = AnswerCache(None, seconds=60, clock=clock)
    await cache.put("k", "可以退")
    clock.now = 59.9
    assert await cache.get("k") == "可以退"
    clock.now = 60
    assert await cache.get("k") is None


async def test_what_was_not_asked_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.answer_cache._OWN_ENTRIES", 2)
    cache = AnswerCache(None)
    await cache.put("a", "1")
    await cache.put("b", "2")
    await cache.get("a")
    await cache.put("c", "3")
    assert [await cache.get(key) for key in "abc"] == ["1", None, "3"]


@pytest.mark.parametrize("decodes", [False, True])
async def test_processes_with_a_redis_remember_together_and_for_a_time(
    connect: Callable[..., Redis], decodes: bool
) -> None:
    redis = connect(decode_responses=decodes)
    await AnswerCache(connect()).put("k", "可以退")
    assert await AnswerCache(redis).get("k") == "可以退"
    assert await AnswerCache(redis).get("other") is None
    assert 0 < await redis.ttl("kefu:answer:k") <= 24 * 60 * 60


async def test_what_is_no_text_in_redis_raises_nothing(connect: Callable[..., Redis]) -> None:
    redis = connect()
    await redis.set("kefu:answer:k", b"\xff\xfe")
    await redis.lpush("kefu:answer:list", "x")
    assert await AnswerCache(redis).get("k") == "\ufffd\ufffd"
    assert await AnswerCache(redis).get("list") is None


async def test_without_its_redis_a_process_remembers_on_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis = Redis(unix_socket_path=str(tmp_path / "nobody.sock"), retry=Retry(NoBackoff(), 0))
    cache = AnswerCache(redis)
    await cache.put("k", "可以退")
    assert await cache.get("k") == "可以退"
    assert [vars(record)["action"] for record in caplog.records] == ["circuit_opened"]
    await redis.aclose()


async def test_a_redis_that_goes_away_between_two_questions_is_survived(connect: Callable[..., Redis]) -> None:
    clock = Clock()
    redis = connect()
    cache = AnswerCache(redis, breaker=CircuitBreaker("redis", failures=1, pause_seconds=30, clock=clock))
    await cache.put("k", "可以退")
    await redis.config_set("requirepass", "changed")
    await redis.connection_pool.disconnect()
    assert await cache.get("k") is None
    await connect(password="changed").config_set("requirepass", "")
    clock.now += 31
    assert await cache.get("k") == "可以退"


async def test_a_redis_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.answer_cache._REDIS_PATIENCE", 0.05)
    over = asyncio.Event()

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "deaf.sock")
    redis = Redis(unix_socket_path=str(tmp_path / "deaf.sock"), retry=Retry(NoBackoff(), 0))
    cache = AnswerCache(redis)
    async with asyncio.timeout(5):
        assert await cache.get("k") is None
        await cache.put("k", "可以退")
        assert await cache.get("k") == "可以退"
    await redis.aclose()
    over.set()
    server.close()
    await server.wait_closed()
