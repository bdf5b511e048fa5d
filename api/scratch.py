"""A schema beside the live one: empty tables of the knowledge base that nobody else sees, dropped at the end."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.database import Pool, open_pool

TABLES = ("knowledge_chunks", "knowledge_changes", "calibrations", "answer_labels", "answer_audits")

LEFT_OVER_SECONDS = 24 * 3600
"""What a killed run left behind goes after a day; no evaluation takes so long."""

_NAME = re.compile(r"eval_(\d{10,})_[0-9a-f]{12}")


@contextlib.asynccontextmanager
async def scratch_schema(conninfo: str, *, clock: Callable[[], float] = time.time) -> AsyncIterator[str]:
    """Make the schema; yield a connection string that sees it first. Drops what runs killed a day ago left."""
    name = f"eval_{int(clock())}_{secrets.token_hex(6)}"
    async with open_pool(conninfo, size=2) as pool:
        await drop_left_over(pool, now=clock())
        live = await _live_schema(pool)
        await _create(pool, sql.Identifier(name), sql.Identifier(live))
        given = conninfo_to_dict(conninfo).get("options") or ""
        try:
            # public comes last: extensions are there.
            yield make_conninfo(conninfo, options=f"{given} -csearch_path={name},{live},public".strip())
        finally:
            await _drop(pool, name)


async def drop_left_over(pool: Pool, *, now: float) -> list[str]:
    """Drop the schemas of evaluations that began more than a day ago; return their names."""
    async with pool.connection() as conn:
        rows = await (await conn.execute("select nspname from pg_namespace where nspname like 'eval\\_%'")).fetchall()
    old = [
        name
        for row in rows
        if (match := _NAME.fullmatch(name := str(row["nspname"]))) and now - int(match[1]) > LEFT_OVER_SECONDS
    ]
    for name in old:
        # Somebody else may be dropping it, or be its owner.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject):
            await _drop(pool, name)
    return old


async def _live_schema(pool: Pool) -> str:
    async with pool.connection() as conn:
        row = await (await conn.execute("select current_schema() as name")).fetchone()
    return str(row["name"]) if row and row["name"] else "public"


async def _drop(pool: Pool, name: str) -> None:
    async with pool.connection() as conn:
        await conn.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))


async def _create(pool: Pool, schema: sql.Identifier, live: sql.Identifier) -> None:
    async with pool.connection() as conn, conn.transaction():
        await conn.execute(sql.SQL("create schema {}").format(schema))
        for table in TABLES:
            await conn.execute(
                sql.SQL("create table {}.{} (like {}.{} including all)").format(
                    schema, sql.Identifier(table), live, sql.Identifier(table)
                )
            )
        await conn.execute(
            sql.SQL(
                "create trigger knowledge_chunks_changed after insert or update or delete on {}.knowledge_chunks"
                " for each statement execute function knowledge_chunks_changed()"
            ).format(schema)
        )
