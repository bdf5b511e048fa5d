"""From where WeCom may call back: what is written in the settings, and what WeCom itself says (doc 90930)."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import psycopg_pool
from redis.asyncio import Redis

from api.client_address import IpAddress, Network, is_within
from api.database import Pool
from tools.errors import ChannelError
from tools.settings import WecomSettings
from tools.wecom.client import WecomClient

logger = logging.getLogger(__name__)

FRESH = timedelta(days=1)
"""How old WeCom's list may be before it is asked for again."""

LOOK_SECONDS = 5.0
"""How often a stranger's address makes a process look for a newer list."""

KEEP = """
insert into callback_addresses (networks, fetched_at) values (%s, %s)
on conflict (is_only) do update set networks = excluded.networks, fetched_at = excluded.fetched_at
"""

Fetch = Callable[[], Awaitable[Sequence[str]]]


class CallbackAddresses:
    """Knows who may call back. A list that cannot be fetched leaves the last one; with none nobody may."""

    def __init__(
        self,
        pool: Pool,
        settings: WecomSettings,
        fetch: Fetch | None = None,
        *,
        redis: Redis | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._redis = redis
        self._fetch = fetch or self._ask_wecom
        self._monotonic = monotonic
        self._clock = clock
        self._written = settings.allowed_networks
        self._told: list[Network] = []
        self._look_at = float("-inf")

    async def allows(self, address: IpAddress | None) -> bool:
        """Tell whether a callback may come from there."""
        if not self._settings.wecom_callback_allowed_ips or is_within(address, self._written):
            return True
        if not self._settings.asks_for_callback_ips:
            return False
        if not is_within(address, self._told) and self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_SECONDS
            await self._look()
        return is_within(address, self._told)

    async def refresh(self) -> None:
        """Ask WeCom when its list is a day old."""
        if not self._settings.asks_for_callback_ips:
            return
        async with self._pool.connection() as conn:
            row = await (await conn.execute("select fetched_at from callback_addresses")).fetchone()
        now = self._clock()
        if row is not None and now - row["fetched_at"] < FRESH:
            return
        try:
            networks = parse_list(await self._fetch())
        except ChannelError as error:
            facts = {"action": "callback_addresses_failed", "error": str(error), "is_known": row is not None}
            logger.warning("Addresses of callbacks not fetched", extra=facts)
            return
        if not networks:
            logger.warning("WeCom names no address of callbacks", extra={"action": "callback_addresses_empty"})
            return
        async with self._pool.connection() as conn:
            await conn.execute(KEEP, ([str(network) for network in networks], now))
        logger.info("Addresses of callbacks fetched", extra={"action": "callback_addresses", "networks": len(networks)})

    async def _look(self) -> None:
        try:
            async with self._pool.connection(timeout=2) as conn:
                row = await (await conn.execute("select networks from callback_addresses")).fetchone()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            facts = {"action": "callback_addresses_unread", "error": type(error).__name__}
            logger.warning("Addresses of callbacks not read", extra=facts)
            return
        if row is not None:
            self._told = parse_list(row["networks"])

    async def _ask_wecom(self) -> Sequence[str]:
        wecom = self._settings
        async with WecomClient(
            api_base=wecom.wecom_api_base, corp_id=wecom.wecom_corp_id, secret=wecom.kf_secret, redis=self._redis
        ) as client:
            return await client.callback_addresses()


def parse_list(parts: Sequence[str]) -> list[Network]:
    """Read WeCom's list: addresses, networks, and in older answers `101.226.103.*`; what is neither is left out."""
    found: list[Network] = []
    for part in parts:
        text = part.strip()
        stars = text.count(".*")
        if stars and text.endswith(".*" * stars):
            text = f"{text.replace('.*', '.0')}/{32 - 8 * stars}"
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            logger.warning("No address of callbacks", extra={"action": "callback_address_unread", "text": text[:40]})
    # Everybody is no list: it would open what was to be closed.
    return [network for network in found if network.prefixlen > 0]
