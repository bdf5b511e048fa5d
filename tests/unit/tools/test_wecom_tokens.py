from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tools.errors import BadRequestError, ChannelUnavailableError
from tools.wecom.tokens import REFUSAL_PAUSE, FreshToken, TokenCache

Make = Callable[..., TokenCache]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Vendor:
    """Counts fetches; `failures` are raised first; with a gate, a fetch waits for it."""

    def __init__(self, *, expires_in: float = 7200) -> None:
        self.fetches = 0
        self.expires_in = expires_in
        self.failures: list[Exception] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> FreshToken:
        self.fetches += 1
        number = self.fetches
        self.started.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return FreshToken(value=f"tok-{number}", expires_in=self.expires_in)


def cache(vendor: Vendor, **changes: Any) -> TokenCache:
    options: dict[str, Any] = {"corp_id": "ww1", "secret": SecretStr("s3cret")}
    return TokenCache(vendor, **(options | changes))


async def test_many_callers_share_one_fetch() -> None:
    vendor = Vendor()
    tokens = cache(vendor)
    assert set(await asyncio.gather(*(tokens.get() for _ in range(50)))) == {"tok-1"}
    assert vendor.fetches == 1


async def test_token_is_kept_until_five_minutes_before_its_end() -> None:
    vendor, clock = Vendor(), Clock()
    tokens = cache(vendor, clock=clock)
    await tokens.get()
    clock.now += 7200 - 300 - 0.1
    assert await tokens.get() == "tok-1"
    clock.now += 0.1
    assert await tokens.get() == "tok-2"


async def test_short_lived_token_keeps_a_margin_of_a_tenth() -> None:
    vendor, clock = Vendor(expires_in=10), Clock()
    tokens = cache(vendor, clock=clock)
    await tokens.get()
    clock.now += 8.9
    assert await tokens.get() == "tok-1"
    clock.now += 0.1
    assert await tokens.get() == "tok-2"


async def test_refresh_replaces_only_the_stale_token() -> None:
    vendor = Vendor()
    tokens = cache(vendor)
    stale = await tokens.get()
    assert set(await asyncio.gather(*(tokens.refresh(stale) for _ in range(20)))) == {"tok-2"}
    assert await tokens.refresh(stale) == "tok-2"
    assert vendor.fetches == 2


async def test_waiting_callers_share_a_failure() -> None:
    vendor = Vendor()
    vendor.failures = [ChannelUnavailableError("busy", code=-1)]
    vendor.gate.clear()
    tokens = cache(vendor)
    asking = asyncio.gather(*(tokens.get() for _ in range(20)), return_exceptions=True)
    await vendor.started.wait()
    await asyncio.sleep(0)  # lets the others queue up behind the first
    vendor.gate.set()
    results = await asking
    assert {(type(r), str(r), r.code) for r in results if isinstance(r, ChannelUnavailableError)} == {
        (ChannelUnavailableError, "busy", -1)
    }
    assert (len(results), vendor.fetches) == (20, 1)
    assert await tokens.get() == "tok-2"


async def test_refused_secret_is_not_tried_again_at_once() -> None:
    vendor, clock = Vendor(), Clock()
    vendor.failures = [BadRequestError("wrong secret", code=40001)]
    tokens = cache(vendor, clock=clock)
    for _ in range(3):
        with pytest.raises(BadRequestError, match="wrong secret"):
            await tokens.get()
    assert vendor.fetches == 1
    clock.now += REFUSAL_PAUSE
    assert await tokens.get() == "tok-2"


async def test_cancelled_fetch_does_not_block_the_next_caller() -> None:
    vendor = Vendor()
    vendor.gate.clear()
    tokens = cache(vendor)
    first = asyncio.create_task(tokens.get())
    await vendor.started.wait()
    second = asyncio.create_task(tokens.get())
    first.cancel()
    vendor.gate.set()
    assert await second == "tok-2"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_two_processes_fetch_once_through_redis(wecom_redis: Redis) -> None:
    vendor = Vendor()
    one, two = cache(vendor, redis=wecom_redis), cache(vendor, redis=wecom_redis)
    assert await asyncio.gather(one.get(), two.get()) == ["tok-1", "tok-1"]
    assert vendor.fetches == 1


async def test_shared_token_lives_no_longer_than_its_margin_allows(wecom_redis: Redis) -> None:
    await cache(Vendor(expires_in=7200), redis=wecom_redis).get()
    (key,) = await wecom_redis.keys("kefu:wecom:token:*")
    assert 6800_000 < await wecom_redis.pttl(key) <= 6900_000
    assert b"s3cret" not in key


async def test_adopted_token_ends_when_the_shared_one_does(wecom_redis: Redis) -> None:
    vendor, clock = Vendor(expires_in=1000), Clock()
    await cache(vendor, redis=wecom_redis).get()
    tokens = cache(vendor, redis=wecom_redis, clock=clock)
    assert await tokens.get() == "tok-1"
    await wecom_redis.flushall()
    clock.now += 900
    assert await tokens.get() == "tok-2"


async def test_stale_shared_token_is_replaced_once_for_both_processes(wecom_redis: Redis) -> None:
    vendor = Vendor()
    one, two = cache(vendor, redis=wecom_redis), cache(vendor, redis=wecom_redis)
    stale = await one.get()
    assert await two.get() == stale
    assert await asyncio.gather(one.refresh(stale), two.refresh(stale)) == ["tok-2", "tok-2"]
    assert vendor.fetches == 2


async def test_another_secret_shares_nothing(wecom_redis: Redis) -> None:
    vendor = Vendor()
    await cache(vendor, redis=wecom_redis).get()
    assert await cache(vendor, redis=wecom_redis, secret=SecretStr("other")).get() == "tok-2"


async def test_lost_redis_costs_a_warning_and_one_fetch(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor()
    redis = Redis(unix_socket_path=str(tmp_path / "nobody.sock"), retry=Retry(NoBackoff(), 0))
    tokens = cache(vendor, redis=redis)
    with caplog.at_level(logging.DEBUG):
        assert await asyncio.gather(tokens.get(), tokens.get()) == ["tok-1", "tok-1"]
    await redis.aclose()
    assert vendor.fetches == 1
    assert "wecom_token_redis_down" in {getattr(r, "action", "") for r in caplog.records}


async def test_redis_lost_during_the_fetch_keeps_the_token(wecom_redis: Redis) -> None:
    vendor = Vendor()
    vendor.gate.clear()
    tokens = cache(vendor, redis=wecom_redis)
    asking = asyncio.create_task(tokens.get())
    await vendor.started.wait()
    await wecom_redis.shutdown(nosave=True)
    vendor.gate.set()
    assert await asking == "tok-1"
    assert await tokens.get() == "tok-1"


async def test_failed_fetch_frees_the_shared_lock(wecom_redis: Redis) -> None:
    vendor = Vendor()
    vendor.failures = [ChannelUnavailableError("busy")]
    with pytest.raises(ChannelUnavailableError):
        await cache(vendor, redis=wecom_redis).get()
    assert await wecom_redis.keys("*") == []


async def test_tokens_never_reach_the_log(wecom_redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        tokens = cache(Vendor(), redis=wecom_redis)
        await tokens.refresh(await tokens.get())
    logged = [f"{r.getMessage()} {r.__dict__}" for r in caplog.records]
    assert logged
    assert not any("tok-" in line or "s3cret" in line for line in logged)
    assert "tok-1" not in repr(FreshToken(value="tok-1", expires_in=1))
