"""The table of chunks: opening the search, and what every query over it shares."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kb.embeddings import Embedder
from kb.errors import EmbeddingMismatchError, IndexUnavailableError
from kb.vectors import Vector

TABLE = "knowledge_chunks"

Row = dict[str, Any]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]

FoundRow = tuple[str, float]
"""Id and cosine distance; what else a row says is known already, see `kb.lexical_index`."""


class VectorIndex(Protocol):
    """Nearest rows to a vector, among the rows of one embedding model."""

    async def nearest(self, vector: Vector, *, limit: int, categories: frozenset[str] | None = None) -> list[FoundRow]:
        """Return id and cosine *distance* of the nearest rows, of these categories when given.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        ...

    async def scored(self, vector: Vector, row_ids: Sequence[str]) -> list[FoundRow]:
        """Return the same of the named rows.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        ...


@contextlib.asynccontextmanager
async def open_vector_index(pool: Pool, conninfo: str, embedder: Embedder) -> AsyncIterator[VectorIndex]:
    """Open the search over the table; closes its connections at the end.

    Raises:
        EmbeddingMismatchError: rows were embedded by another model.
        IndexUnavailableError: the database does not answer, or `kefu db init` has not been run.
    """
    await check_model(pool, embedder.model_id)
    schema = await _schema(pool)
    # langchain-postgres takes a second to import, which no other command should pay for.
    from kb.pg_store import open_store  # noqa: PLC0415

    async with open_store(pool, conninfo, schema=schema, model_id=embedder.model_id) as index:
        yield index


async def check_model(pool: Pool, model_id: str) -> None:
    """Refuse to compare vectors of different models.

    Raises:
        EmbeddingMismatchError: some rows were embedded by another model.
        IndexUnavailableError: the database does not answer, or has no table yet.
    """
    rows = await fetch(
        pool,
        "select coalesce(embedding_model, '') as model, count(*) as rows from knowledge_chunks "
        "where embedding is not null and embedding_model is distinct from %(model)s group by 1 order by 2 desc",
        {"model": model_id},
    )
    if rows:
        others = ", ".join(f"{row['model'] or 'an unnamed model'} ({row['rows']} rows)" for row in rows)
        raise EmbeddingMismatchError(
            f"the knowledge base was embedded by {others}, the settings now name {model_id}; "
            "run `kefu kb import --rebuild`, or set EMBEDDING_API_BASE and EMBEDDING_MODEL back"
        )


async def fetch(pool: Pool, query: str, parameters: Mapping[str, Any]) -> list[Row]:
    """Run one query.

    Raises:
        IndexUnavailableError: the database does not answer, or has no table yet.
    """
    async with reported(), pool.connection() as conn:
        return await (await conn.execute(query.encode(), parameters)).fetchall()


@contextlib.asynccontextmanager
async def reported() -> AsyncIterator[None]:
    """Turn what the driver raises into our own errors."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise IndexUnavailableError(f"there is no table {TABLE}; run `kefu db init`") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError) as error:
        raise IndexUnavailableError(
            f"the knowledge base does not answer ({type(error).__name__}); see KB_DB_URL"
        ) from error


async def _schema(pool: Pool) -> str:
    rows = await fetch(
        pool,
        "select relnamespace::regnamespace::text as name from pg_class where oid = 'knowledge_chunks'::regclass",
        {},
    )
    return str(rows[0]["name"])
