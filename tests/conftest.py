"""The real parts every test may use: an embedded PostgreSQL with a migrated template database."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.database import Pool, open_pool
from api.embedded import embedded_postgres
from api.migrate import migrate

TEMPLATE = "kefu_template"


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """Connection string of the embedded server's maintenance database."""
    # Not below pytest's own folder: every session closes that to other users, and as root the server is another user.
    with tempfile.TemporaryDirectory(prefix="kefu-test-") as folder, embedded_postgres(Path(folder)) as uri:
        yield uri


@pytest.fixture(scope="session")
def template(postgres_uri: str) -> str:
    """A database migrated once; each test gets a copy."""
    with psycopg.connect(postgres_uri, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    asyncio.run(migrate(make_conninfo(postgres_uri, dbname=TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def empty_database_uri(postgres_uri: str) -> Iterator[str]:
    """A database without any table."""
    yield from _database(postgres_uri, "template1")


@pytest.fixture
def database_uri(postgres_uri: str, template: str) -> Iterator[str]:
    """A freshly migrated database."""
    yield from _database(postgres_uri, template)


def _database(postgres_uri: str, template: str) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)))
        yield f"postgresql://postgres@/{name}?host={conn.info.host}"
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
async def pool(database_uri: str) -> AsyncIterator[Pool]:
    """A pool on a fresh database, set up as in the service."""
    async with open_pool(database_uri, size=10) as opened:
        yield opened
