"""Doors without a house: what lets people in on a real database, before routes that do nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import Depends, FastAPI

from api.api_tokens import ApiTokens
from api.callback_addresses import CallbackAddresses
from api.console.passwords import Passwords
from api.console.sessions import Console
from api.console.users import ConsoleUsers
from api.database import Pool
from api.deps import require_metrics, require_scope
from api.gates import Gates
from api.routes import console
from api.settings import load_settings, variable_names


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Doors:
    """Everything that lets people in, and an application behind it."""

    pool: Pool
    clock: Clock
    passwords: Passwords
    tokens: ApiTokens
    users: ConsoleUsers
    console: Console
    settings: Any
    app: Any
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    password = "correct horse battery"

    def client(self, host: str = "127.0.0.1", *, base: str = "https://kefu.test") -> httpx.AsyncClient:
        """A browser, or a program, at this address."""
        made = httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=(host, 1)), base_url=base)
        self.clients.append(made)
        return made

    async def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as conn:
            return await (await conn.execute(statement.encode(), values)).fetchall()


@pytest.fixture
async def make_doors(pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> AsyncIterator[Callable[..., Doors]]:
    """Build them with these settings."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    made: list[Doors] = []

    def make(**variables: str) -> Doors:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        clock, settings = Clock(), load_settings()
        # As cheap as the algorithm goes: what is tested is who gets in.
        passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        gates = Gates(
            tokens=ApiTokens(pool, clock=clock),
            callback_addresses=CallbackAddresses(pool, settings.wecom),
            console=Console(pool, passwords, clock=clock),
        )
        app = FastAPI()
        app.include_router(console.router)
        app.get("/kb", dependencies=[Depends(require_scope("kb:read"))])(_nothing)
        app.get("/metrics", dependencies=[Depends(require_metrics)])(_nothing)
        state = {"services": SimpleNamespace(settings=settings), "gates": gates}

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        doors = Doors(
            pool=pool,
            clock=clock,
            passwords=passwords,
            tokens=gates.tokens,
            users=ConsoleUsers(pool=pool, passwords=passwords),
            console=gates.console,
            settings=settings,
            app=with_state,
        )
        made.append(doors)
        return doors

    yield make
    for doors in made:
        for client in doors.clients:
            await client.aclose()


async def _nothing() -> dict[str, str]:
    return {}


@pytest.fixture
def doors(make_doors: Callable[..., Doors]) -> Doors:
    """Doors without any setting."""
    return make_doors()


@pytest.fixture
async def ming(doors: Doors) -> Doors:
    """Somebody who may log in."""
    await doors.users.add("xiaoming", doors.password, actor="cli:ops")
    return doors
