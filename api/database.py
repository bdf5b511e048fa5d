"""The connection to PostgreSQL: embedded or a server, one pool a process."""

from __future__ import annotations

import contextlib
import select
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from api.embedded import embedded_postgres
from api.encryption import KeyRing, PersonalJson, PersonalText, use_keys
from api.errors import BusyError

Row = dict[str, Any]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]


@contextlib.contextmanager
def database(url: SecretStr | None, data_dir: Path) -> Iterator[str]:
    """Yield the connection string of the configured server, or of the embedded one while the block runs."""
    if url is not None:
        yield url.get_secret_value()
        return
    with embedded_postgres(data_dir) as conninfo:
        yield conninfo


async def _check(conn: Connection) -> None:
    """Let only living connections out of the pool.

    An idle connection is silent: its server's end, or last word, makes the socket readable. Asking the server every
    time instead would double the round trips of most of what we do.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(conn)


@contextlib.asynccontextmanager
async def open_pool(conninfo: str, *, size: int, ring: KeyRing | None = None) -> AsyncIterator[Pool]:
    """Open a pool whose connections commit by themselves and return rows as dicts; transactions are explicit.

    With a key ring they seal what is `personal` and open what they read.
    """

    async def configure(conn: Connection) -> None:
        # Set here and not in the pool's kwargs: procrastinate opens its listening connection from the same kwargs and
        # passes autocommit itself.
        await conn.set_autocommit(True)
        if ring is not None:
            use_keys(conn, ring)

    pool: Pool = AsyncConnectionPool(
        conninfo,
        min_size=2,
        max_size=size,
        timeout=10,
        open=False,
        check=_check,
        configure=configure,
        kwargs={"row_factory": dict_row, "prepare_threshold": 0},
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def thread_lock(pool: Pool, thread_id: str) -> AsyncIterator[None]:
    """Hold a conversation for this process; the lock dies with the connection.

    The queue already runs one turn at a time. This is the fence against a worker that was paused, given up, and
    wakes up again.

    Raises:
        BusyError: another worker holds it.
    """
    key = (thread_id,)
    async with pool.connection() as conn:
        row = await (await conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 7)) as got", key)).fetchone()
        if row is None or not row["got"]:
            raise BusyError(f"conversation {thread_id} is held by another worker")
        try:
            yield
        finally:
            await conn.execute("select pg_advisory_unlock(hashtextextended(%s, 7))", key)


def storable(value: Any) -> Any:
    """Make a JSON value fit for jsonb."""
    # PostgreSQL's jsonb has no U+0000 and a lone surrogate cannot be encoded; customers can send both.
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def personal(value: Any) -> PersonalText | PersonalJson:
    """Mark what is written about or from a person: a text for a text column, anything else for a JSON one.

    It is made `storable`, and sealed when the connection has keys.
    """
    return PersonalText(storable(value)) if isinstance(value, str) else PersonalJson(storable(value))
