"""What several commands need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from api.database import Pool, database, open_pool
from api.log_config import configure_logging
from api.migrate import migrate
from api.observability.masking import secrets_of
from api.resealing import check_keys
from api.settings import Settings, load_settings
from tools.errors import ConfigurationError

T = TypeVar("T")

CLI_POOL_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's settings and database, migrated and open."""

    settings: Settings
    conninfo: str
    pool: Pool


def run_with_database(command: Callable[[Session], Awaitable[T]]) -> T:
    """Run a command against the configured database."""
    settings = load_settings()
    configure_logging(settings.service, secrets=secrets_of(settings))
    with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
        return asyncio.run(_run(settings, conninfo, command))


async def _run(settings: Settings, conninfo: str, command: Callable[[Session], Awaitable[T]]) -> T:
    async with open_session(settings, conninfo) as session:
        return await command(session)


@contextlib.asynccontextmanager
async def open_session(settings: Settings, conninfo: str) -> AsyncIterator[Session]:
    """Migrate and open the database."""
    await migrate(conninfo)
    ring = settings.service.key_ring
    async with open_pool(conninfo, size=CLI_POOL_SIZE, ring=ring) as pool:
        await check_keys(pool, ring)
        yield Session(settings=settings, conninfo=conninfo, pool=pool)


def configured_wecom(settings: Settings) -> Settings:
    """Return the settings when WeCom is among them.

    Raises:
        ConfigurationError: it is not.
    """
    if not settings.wecom.is_configured:
        raise ConfigurationError("WeCom is not configured: set WECOM_CORP_ID, WECOM_AGENT_SECRET and the others")
    return settings
