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
from api.settings import Settings, load_settings

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
    configure_logging(settings.service)
    with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
        return asyncio.run(_run(settings, conninfo, command))


async def _run(settings: Settings, conninfo: str, command: Callable[[Session], Awaitable[T]]) -> T:
    async with open_session(settings, conninfo) as session:
        return await command(session)


@contextlib.asynccontextmanager
async def open_session(settings: Settings, conninfo: str) -> AsyncIterator[Session]:
    """Migrate and open the database."""
    await migrate(conninfo)
    async with open_pool(conninfo, size=CLI_POOL_SIZE) as pool:
        yield Session(settings=settings, conninfo=conninfo, pool=pool)
