"""From where WeCom may call back: what is written in the settings, and what WeCom itself says (doc 90930)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from redis.asyncio import Redis

from api.client_address import IpAddress, Network, is_within
from api.database import Pool
from tools.errors import ChannelError, ChannelUnavailableError
from tools.settings import WecomSettings
from tools.wecom.client import WecomClient

logger = logging.getLogger(__name__)

FRESH = timedelta(days=1)
"""How old WeCom's list may be before it is asked for again."""

RECENT = timedelta(minutes=5)
"""How old it may be to be believed about somebody who signs and is not on it: WeCom may have moved meanwhile."""

LOOK_SECONDS = 5.0
"""How often a stranger's address makes a process look for a newer list."""

LOOK_AGAIN_SECONDS = 600.0
"""How often it looks when none calls: an address that WeCom gave up may be somebody else's by now."""

ASK_SECONDS = 30.0
"""How often a process asks WeCom because of somebody who signs."""

ASK_AT_MOST = 3.0
"""How long that may take: WeCom waits 5 seconds for its answer."""

KEEP = """
insert into callback_addresses (networks, fetched_at) values (%s, %s)
on conflict (is_only) do update set networks = excluded.networks, fetched_at = excluded.fetched_at
"""

Fetch = Callable[[], Awaitable[Sequence[str]]]


class CallbackAddresses:
    """Knows who may call back. A list that cannot be fetched leaves the last one; with none nobody may.

    WeCom moves without a word. Whoever signs is therefore not refused by a list that is old: WeCom is asked again.
    """

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
        self._told_at: datetime | None = None
        self._looked_at = self._asked_at = float("-inf")
        self._looking, self._asking = asyncio.Lock(), asyncio.Lock()

    async def allows(self, address: IpAddress | None) -> bool:
        """Tell whether a callback may come from there."""
        if not self._settings.wecom_callback_allowed_ips or is_within(address, self._written):
            return True
        if not self._settings.asks_for_callback_ips:
            return False
        await self._look_after(LOOK_AGAIN_SECONDS if is_within(address, self._told) else LOOK_SECONDS)
        return is_within(address, self._told)

    async def allows_signer(self, address: IpAddress | None) -> bool:
        """Tell whether a callback that is signed may come from there after all; WeCom is asked when its list is old.

        Raises:
            ChannelUnavailableError: it cannot be asked now, so nobody knows.
        """
        if not self._settings.asks_for_callback_ips:
            return False
        if not self._is_recent():
            await self._ask_again()
        if not is_within(address, self._told) and not self._is_recent():
            raise ChannelUnavailableError("WeCom getcallbackip: no answer, and the last one is old")
        return is_within(address, self._told)

    async def refresh(self, *, after: timedelta = FRESH) -> None:
        """Ask WeCom when its list is older than that."""
        if not self._settings.asks_for_callback_ips:
            return
        async with self._pool.connection() as conn:
            row = await (await conn.execute("select networks, fetched_at from callback_addresses")).fetchone()
        now = self._clock()
        if row is not None and now - row["fetched_at"] < after:
            return
        try:
            parts = [part for part in await self._fetch() if part.strip()]
        except ChannelError as error:
            facts = {"action": "callback_addresses_failed", "error": str(error), "is_known": row is not None}
            logger.warning("Addresses of callbacks not fetched", extra=facts)
            return
        networks = parse_list(parts)
        if not networks:
            logger.warning("WeCom names no address of callbacks", extra={"action": "callback_addresses_empty"})
            return
        if len(networks) < len(parts) and row is not None:
            # Among what is not understood may be what was: it stays.
            networks = list(dict.fromkeys([*networks, *parse_list(row["networks"])]))
        async with self._pool.connection() as conn:
            await conn.execute(KEEP, ([str(network) for network in networks], now))
        logger.info("Addresses of callbacks fetched", extra={"action": "callback_addresses", "networks": len(networks)})

    def _is_recent(self) -> bool:
        return self._told_at is not None and self._clock() - self._told_at < RECENT

    async def _ask_again(self) -> None:
        async with self._asking:
            if self._monotonic() < self._asked_at + ASK_SECONDS:
                return
            self._asked_at = self._monotonic()
            try:
                async with asyncio.timeout(ASK_AT_MOST):
                    await self.refresh(after=RECENT)
            except (TimeoutError, psycopg.Error) as error:
                facts = {"action": "callback_addresses_unasked", "error": type(error).__name__}
                logger.warning("WeCom not asked for addresses of callbacks", extra=facts)
            await self._look()

    async def _look_after(self, seconds: float) -> None:
        if self._monotonic() < self._looked_at + seconds:
            return
        # Who comes while somebody looks waits for what is found: the first callbacks after a start come together.
        async with self._looking:
            if self._monotonic() >= self._looked_at + seconds:
                await self._look()
                self._looked_at = self._monotonic()

    async def _look(self) -> None:
        try:
            async with self._pool.connection(timeout=2) as conn:
                row = await (await conn.execute("select networks, fetched_at from callback_addresses")).fetchone()
        except psycopg.Error as error:
            facts = {"action": "callback_addresses_unread", "error": type(error).__name__}
            logger.warning("Addresses of callbacks not read", extra=facts)
            return
        if row is not None:
            self._told, self._told_at = parse_list(row["networks"]), row["fetched_at"]

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
