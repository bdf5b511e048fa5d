"""`kefu db init`: idempotent, forward-only, safe when two start at once."""

import asyncio

import psycopg
import pytest

from api.errors import MigrationError
from api.migrate import migrate, pending, shipped


async def test_second_run_applies_nothing(empty_database_uri: str) -> None:
    assert len(await migrate(empty_database_uri)) >= 3
    assert await migrate(empty_database_uri) == []
    assert await pending(empty_database_uri) == []


async def test_two_processes_at_once_apply_each_migration_once(empty_database_uri: str) -> None:
    first, second = await asyncio.gather(migrate(empty_database_uri), migrate(empty_database_uri))
    assert sorted(first + second) == sorted(first or second)


async def test_an_edited_migration_is_refused(database_uri: str) -> None:
    with psycopg.connect(database_uri, autocommit=True) as conn:
        conn.execute("update schema_migrations set checksum = 'x' where name = %s", (shipped()[0].name,))
    with pytest.raises(MigrationError, match="edited"):
        await migrate(database_uri)


async def test_a_newer_database_is_refused(database_uri: str) -> None:
    with psycopg.connect(database_uri, autocommit=True) as conn:
        conn.execute("insert into schema_migrations (name, checksum) values ('9999_future', '')")
    with pytest.raises(MigrationError, match="newer"):
        await migrate(database_uri)


async def test_a_row_edited_by_hand_loses_its_embedding(database_uri: str) -> None:
    with psycopg.connect(database_uri, autocommit=True) as conn:
        conn.execute("insert into knowledge_chunks (content, embedding) values ('a', '[1,2]')")
        conn.execute("update knowledge_chunks set content = 'b'")
        row = conn.execute("select embedding is null from knowledge_chunks").fetchone()
    assert row == (True,)
