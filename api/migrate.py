"""Migrations: numbered SQL files that only go forward, and the tables of the libraries we build on."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from importlib import metadata, resources

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.store.postgres import AsyncPostgresStore
from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from api.errors import DatabaseError, MigrationError

LOCK_KEY = 7_263_001
"""Advisory lock of the one process that migrates; any number nobody else uses."""

SAVER = "langgraph-checkpoint-postgres"

LEDGER = """
create table if not exists schema_migrations (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What the ledger compares: an applied file must never change."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """List the migrations of this version in order."""
    folder = resources.files("api") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(name=f.name.removesuffix(".sql"), text=f.read_text(encoding="utf-8")) for f in files]


async def migrate(conninfo: str) -> list[str]:
    """Bring the database to this version; return what was applied, empty when nothing was left to do.

    Safe when several processes start at once: one migrates, the others wait for it.

    Raises:
        MigrationError: an applied file was edited, or the database is newer than this version.
        DatabaseError: the server cannot be reached or lacks pgvector.
    """
    try:
        async with await AsyncConnection.connect(conninfo, autocommit=True, row_factory=dict_row) as conn:
            await _lock(conn)
            await _require_pgvector(conn)
            return await _apply(conn)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error


async def pending(conninfo: str) -> list[str]:
    """List what `migrate` would apply.

    Raises:
        DatabaseError: the server cannot be reached.
    """
    try:
        async with await AsyncConnection.connect(conninfo, autocommit=True, row_factory=dict_row) as conn:
            ledger = await _ledger(conn)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error
    return [name for name in _wanted() if name not in ledger]


def _unreachable(error: psycopg.OperationalError) -> DatabaseError:
    # The driver writes one line for each address it tried.
    reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return DatabaseError(f"PostgreSQL does not answer: {reason}; check KB_DB_URL")


def _wanted() -> list[str]:
    return [
        _library_entry("procrastinate"),
        *(m.name for m in shipped()),
        _library_entry(SAVER),
        _store_entry(),
    ]


def _store_entry() -> str:
    # One package, two sets of tables: databases that have the checkpointer's may lack the store's.
    return f"langgraph-store-postgres {metadata.version(SAVER)}"


def _library_entry(package: str) -> str:
    return f"{package} {metadata.version(package)}"


async def _lock(conn: AsyncConnection[dict[str, object]]) -> None:
    # Polled: a session that blocks in pg_advisory_lock() deadlocks with CREATE INDEX CONCURRENTLY of the holder.
    while True:
        row = await (await conn.execute("select pg_try_advisory_lock(%s) as got", (LOCK_KEY,))).fetchone()
        if row and row["got"]:
            return
        await asyncio.sleep(0.2)


async def _require_pgvector(conn: AsyncConnection[dict[str, object]]) -> None:
    found = await (await conn.execute("select 1 from pg_available_extensions where name = 'vector'")).fetchone()
    if found is None:
        raise DatabaseError(
            "pgvector is missing on this PostgreSQL server: install it there (Debian: postgresql-NN-pgvector), "
            "or leave KB_DB_URL empty for the embedded server"
        )
    try:
        await conn.execute("create extension if not exists vector")
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            "pgvector is installed but not enabled and this user may not enable it: "
            "let an administrator run CREATE EXTENSION vector in this database"
        ) from error


async def _ledger(conn: AsyncConnection[dict[str, object]]) -> dict[str, str]:
    exists = await (await conn.execute("select to_regclass('schema_migrations') as t")).fetchone()
    if exists is None or exists["t"] is None:
        return {}
    rows = await (await conn.execute("select name, checksum from schema_migrations")).fetchall()
    return {str(row["name"]): str(row["checksum"]) for row in rows}


async def _apply(conn: AsyncConnection[dict[str, object]]) -> list[str]:
    await conn.execute(LEDGER)
    ledger = await _ledger(conn)
    ours = shipped()
    unknown = sorted(name for name in ledger if name[:4].isdigit() and name not in {m.name for m in ours})
    if unknown:
        raise MigrationError(f"the database is newer than this version of kefu (it has {unknown[-1]}): update kefu")
    # The queue first: our files may build on its tables.
    applied = await _apply_queue(conn, ledger)
    for migration in ours:
        if migration.name in ledger:
            if ledger[migration.name] != migration.checksum:
                raise MigrationError(
                    f"{migration.name}.sql was edited after it was applied: restore it, add a new file"
                )
            continue
        async with conn.transaction():
            await conn.execute(migration.text.encode())
            await _record(conn, migration.name, migration.checksum)
        applied.append(migration.name)
    return [*applied, *await _apply_saver(conn, ledger), *await _apply_store(conn, ledger)]


async def _apply_queue(conn: AsyncConnection[dict[str, object]], ledger: dict[str, str]) -> list[str]:
    queue = _library_entry("procrastinate")
    if queue in ledger:
        return []
    before = [name.split()[1] for name in ledger if name.startswith("procrastinate ")]
    async with conn.transaction():
        for text in _queue_sql(before[-1] if before else None):
            await conn.execute(text.encode())
        await _record(conn, queue, "")
    return [queue]


async def _apply_saver(conn: AsyncConnection[dict[str, object]], ledger: dict[str, str]) -> list[str]:
    saver = _library_entry(SAVER)
    if saver in ledger:
        return []
    await AsyncPostgresSaver(conn).setup()
    await _record(conn, saver, "")
    return [saver]


async def _apply_store(conn: AsyncConnection[dict[str, object]], ledger: dict[str, str]) -> list[str]:
    store = _store_entry()
    if store in ledger:
        return []
    await AsyncPostgresStore(conn).setup()
    await _record(conn, store, "")
    return [store]


def _queue_sql(installed: str | None) -> list[str]:
    if installed is None:
        return [SchemaManager.get_schema()]

    def version(text: str) -> tuple[int, ...]:
        return tuple(int(piece) for piece in text.split("."))

    files = sorted((resources.files("procrastinate") / "sql" / "migrations").iterdir(), key=lambda f: f.name)
    newer = [f for f in files if f.name.endswith(".sql") and version(f.name.split("_")[0]) > version(installed)]
    return [f.read_text(encoding="utf-8") for f in newer]


async def _record(conn: AsyncConnection[dict[str, object]], name: str, checksum: str) -> None:
    statement = sql.SQL("insert into schema_migrations (name, checksum) values (%s, %s)")
    await conn.execute(statement, (name, checksum))
