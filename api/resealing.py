"""Keys come and go: what is stored is sealed anew with the current one, beside live traffic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from api.database import Connection, Pool, Row
from api.encryption import KeyRing, sealed_json
from api.errors import EncryptionError

BATCH = 200
"""Rows a transaction takes: nobody waits long for its locks."""

Progress = Callable[[int, int], None]
"""Is told rows done and rows in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedColumn:
    """A column with personal data in it."""

    table: LiteralString
    key: tuple[LiteralString, ...]
    column: LiteralString
    is_json: bool = False
    seal: Callable[[KeyRing, Any], Any] = sealed_json
    """Makes what is written of what was read; the same where there is nothing to seal."""


def _seal_channels(ring: KeyRing, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Seal what `SealedSaver` seals."""
    values = checkpoint.get("channel_values") or {}
    sealed = {name: ring.seal(value) if isinstance(value, str) else value for name, value in values.items()}
    return {**checkpoint, "channel_values": sealed}


_THREAD = ("thread_id", "checkpoint_ns")
COLUMNS = (
    SealedColumn(table="callbacks", key=("id",), column="payload", is_json=True),
    SealedColumn(table="inbox", key=("id",), column="payload", is_json=True),
    SealedColumn(table="outbox", key=("id",), column="payload", is_json=True),
    SealedColumn(table="conversations", key=("thread_id",), column="customer_name"),
    SealedColumn(table="desk_places", key=("thread_id",), column="label"),
    SealedColumn(table="tickets", key=("ticket_id",), column="draft"),
    SealedColumn(table="unknown_questions", key=("id",), column="content"),
    SealedColumn(table="answer_labels", key=("id",), column="question"),
    SealedColumn(table="answer_audits", key=("id",), column="question"),
    SealedColumn(table="kb_drafts", key=("id",), column="question"),
    SealedColumn(table="kb_drafts", key=("id",), column="similar_questions", is_json=True),
    SealedColumn(table="kb_drafts", key=("id",), column="answer"),
    SealedColumn(table="kb_drafts", key=("id",), column="other_answers", is_json=True),
    SealedColumn(table="store", key=("prefix", "key"), column="value", is_json=True),
    SealedColumn(
        table="checkpoints", key=(*_THREAD, "checkpoint_id"), column="checkpoint", is_json=True, seal=_seal_channels
    ),
)
"""Every column that is sealed value by value."""

BLOBS: Mapping[LiteralString, tuple[LiteralString, ...]] = {
    "checkpoint_blobs": (*_THREAD, "channel", "version"),
    "checkpoint_writes": (*_THREAD, "checkpoint_id", "task_id", "idx"),
}
"""Tables of the checkpointer with sealed bytes, and their keys."""

# An older key's mark, or none of the current key where there is something to seal.
_STALE: LiteralString = (
    "({column}::text ~ {older} or strpos({column}::text, {current}) = 0 and {column}::text not in ('', '{{}}', '[]'))"
)
_STALE_BLOB: LiteralString = "(length(blob) > 0 and strpos(type, {name}) = 0)"


async def check_keys(pool: Pool, ring: KeyRing | None) -> None:
    """Refuse to go on without a key that sealed something here; note the current one.

    Raises:
        EncryptionError: a key is missing.
    """
    async with pool.connection() as conn:
        used = [
            str(row["key_id"]) for row in await (await conn.execute("select key_id from encryption_keys")).fetchall()
        ]
        missing = sorted(set(used) - set(ring.ids if ring else ()))
        if missing:
            raise EncryptionError(
                f"this database holds data sealed with the key {missing[0]}, which DATA_ENCRYPTION_KEY does not name: "
                "put that key back, after the current one and a comma; "
                "it may go when `kefu encryption rotate` has run"
            )
        if ring is not None and ring.current not in used:
            await conn.execute(
                "insert into encryption_keys (key_id) values (%s) on conflict do nothing", (ring.current,)
            )


async def reseal(pool: Pool, ring: KeyRing, progress: Progress, *, dry_run: bool = False) -> dict[str, int]:
    """Seal everything personal with the current key; return how many rows changed, by table and column.

    It can be stopped and run again. Older keys are struck off the database's list at the end. With `dry_run` rows are
    only counted.

    Raises:
        EncryptionError: something was sealed with a key that the ring has not; it stays as it is, so that the key can
            come back. All else in such columns is done by then.
    """
    async with pool.connection() as conn:
        total = sum([await _count(conn, column.table, _stale(column, ring)) for column in COLUMNS])
        total += sum([await _count(conn, table, _stale_blob(ring)) for table in BLOBS])
    looked_at = 0
    changed: dict[str, int] = {}

    def tell(name: str, rows: int, of_them: int) -> None:
        nonlocal looked_at
        looked_at += rows
        changed[name] = changed.get(name, 0) + of_them
        progress(looked_at, max(total, looked_at))

    foreign: dict[str, int] = {}
    for column in COLUMNS:
        change = partial(_change_value, ring, column, foreign, dry_run=dry_run)
        await _walk(pool, _Walk(column.table, column.key, column.column, _stale(column, ring)), change, tell)
    for table, key in BLOBS.items():
        change = partial(_change_blob, ring, table, key, dry_run=dry_run)
        await _walk(pool, _Walk(table, key, "blob", _stale_blob(ring), "type"), change, tell)
    if not dry_run:
        async with pool.connection() as conn:
            await conn.execute("delete from encryption_keys where key_id <> %s", (ring.current,))
        if foreign:
            where = ", ".join(f"{rows} rows of {table}" for table, rows in foreign.items())
            raise EncryptionError(f"sealed with a key that DATA_ENCRYPTION_KEY does not name, and left so: {where}")
    return changed


class _Walk(NamedTuple):
    table: LiteralString
    key: tuple[LiteralString, ...]
    column: LiteralString
    stale: sql.Composable
    beside: LiteralString = ""


async def _walk(
    pool: Pool,
    walk: _Walk,
    change: Callable[[Connection, Row], Awaitable[bool]],
    tell: Callable[[str, int, int], None],
) -> None:
    """Change the stale rows of a table, in the order of its key, a batch a transaction."""
    select = _take(walk)
    after: tuple[object, ...] | None = None
    while after is None or after:
        async with pool.connection() as conn, conn.transaction():
            places = {f"after{number}": None if after is None else after[number] for number in range(len(walk.key))}
            cursor = await conn.execute(select, {"first": after is None, **places}, prepare=False)
            rows = await cursor.fetchall()
            changed = [await change(conn, row) for row in rows]
        tell(f"{walk.table}.{walk.column}", len(rows), sum(changed))
        after = tuple(rows[-1][name] for name in walk.key) if len(rows) == BATCH else ()


async def _change_value(
    ring: KeyRing, column: SealedColumn, foreign: dict[str, int], conn: Connection, row: Row, *, dry_run: bool
) -> bool:
    if ring.is_foreign(bytes(row["raw"]).decode()):
        # Sealed once more nobody could open it, not even with the key it was sealed with.
        foreign[column.table] = foreign.get(column.table, 0) + 1
        return dry_run
    sealed = column.seal(ring, row[column.column])
    if sealed == row[column.column]:
        return False
    if not dry_run:
        update = sql.SQL("update {table} set {column} = %s where {key}").format(
            table=sql.Identifier(column.table), column=sql.Identifier(column.column), key=_matches(column.key)
        )
        value = Jsonb(sealed) if column.is_json else sealed
        await conn.execute(update, (value, *(row[name] for name in column.key)))
    return True


async def _change_blob(
    ring: KeyRing, table: LiteralString, key: tuple[LiteralString, ...], conn: Connection, row: Row, *, dry_run: bool
) -> bool:
    if dry_run:
        return True
    kind, _, name = str(row["type"]).partition("+")
    try:
        plain = ring.decrypt(name, bytes(row["blob"])) if name else bytes(row["blob"])
    except ValueError as error:
        raise EncryptionError(f"{table}: {error}; put the missing key back into DATA_ENCRYPTION_KEY") from error
    cipher, sealed = ring.encrypt(plain)
    update = sql.SQL("update {table} set type = %s, blob = %s where {key}").format(
        table=sql.Identifier(table), key=_matches(key)
    )
    await conn.execute(update, (f"{kind}+{cipher}", sealed, *(row[name] for name in key)))
    return True


def _take(walk: _Walk) -> sql.Composed:
    names = [sql.Identifier(name) for name in walk.key]
    wanted: list[sql.Composable] = [*names, sql.Identifier(walk.column)]
    if walk.beside:
        wanted.append(sql.Identifier(walk.beside))
    else:
        # As bytes a connection does not open it.
        wanted.append(sql.SQL("convert_to({}::text, 'UTF8') as raw").format(sql.Identifier(walk.column)))
    return sql.SQL(
        "select {wanted} from {table} where {stale} and (%(first)s or ({names}) > ({after}))"
        " order by {names} limit {limit} for update"
    ).format(
        wanted=sql.SQL(", ").join(wanted),
        names=sql.SQL(", ").join(names),
        table=sql.Identifier(walk.table),
        stale=walk.stale,
        after=sql.SQL(", ").join(sql.Placeholder(f"after{number}") for number in range(len(walk.key))),
        limit=sql.Literal(BATCH),
    )


def _matches(key: tuple[LiteralString, ...]) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in key)


def _stale(column: SealedColumn, ring: KeyRing) -> sql.Composed:
    return sql.SQL(_STALE).format(
        column=sql.Identifier(column.column),
        current=sql.Literal(f"~k1.{ring.current}."),
        older=sql.Literal(rf"~k1\.(?!{ring.current})[0-9a-f]{{8}}\."),
    )


def _stale_blob(ring: KeyRing) -> sql.Composed:
    return sql.SQL(_STALE_BLOB).format(name=sql.Literal(f"+aesgcm-{ring.current}"))


async def _count(conn: Connection, table: LiteralString, stale: sql.Composable) -> int:
    statement = sql.SQL("select count(*)::int as rows from {} where {}").format(sql.Identifier(table), stale)
    row = await (await conn.execute(statement, prepare=False)).fetchone()
    return int(row["rows"]) if row else 0
