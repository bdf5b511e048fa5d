"""Customers' facts in LangGraph's store on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from langgraph.store.postgres import AsyncPostgresStore

from api.checkpoints import make_saver
from api.migrate import migrate, pending
from api.retention import run_retention
from api.settings import RetentionSettings
from graph.profile import Profiles
from graph.told import Told

ORDER = Told(kind="order_number", value="3705829140017")


async def test_facts_are_kept_and_erased_by_request(works: Any) -> None:
    profiles = Profiles(AsyncPostgresStore(works.pool))
    await profiles.learn(works.thread(), [("m1", ORDER)])
    again = Profiles(AsyncPostgresStore(works.pool))
    assert [fact["value"] for fact in await again.facts(works.thread())] == ["3705829140017"]
    await again.forget(works.thread())
    assert await profiles.facts(works.thread()) == []


async def test_a_forgotten_conversation_takes_the_facts_with_it(works: Any) -> None:
    await works.customer("你好")
    profiles = Profiles(AsyncPostgresStore(works.pool))
    await profiles.learn(works.thread(), [("m1", ORDER)])
    await profiles.learn(works.thread("wm2"), [("m1", ORDER)])
    settings = RetentionSettings(_env_file=None, KEFU_RETENTION_CONVERSATION_DAYS=7)
    await run_retention(works.pool, make_saver(works.pool), settings, now=datetime.now(UTC) + timedelta(days=500))
    assert await profiles.facts(works.thread()) == []
    assert len(await profiles.facts(works.thread("wm2"))) == 1


async def test_a_database_from_before_the_store_gets_its_tables(database_uri: str) -> None:
    with psycopg.connect(database_uri, autocommit=True) as conn:
        conn.execute("drop table store, store_migrations")
        conn.execute("delete from schema_migrations where name like 'langgraph-store%'")
    [missing] = await pending(database_uri)
    assert await migrate(database_uri) == [missing]
    with psycopg.connect(database_uri) as conn:
        assert conn.execute("select count(*) from store").fetchone() == (0,)
