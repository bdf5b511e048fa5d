"""The vector search over the table, through langchain-postgres; slow to import, so only where a search is opened."""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVectorStore
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from kb.errors import IndexUnavailableError
from kb.large_base import LARGE, NearIndex, find_index, of, search_among
from kb.vector_index import TABLE, Connection, FoundRow, Pool, Row, fetch, reported
from kb.vectors import Vector, literal

_LOOK_SECONDS = 30
"""How soon an index that was made or dropped meanwhile is noticed."""


# Without the second one a search sees no more rows than the first one says.
_SEARCH_WIDELY = (
    "select set_config('hnsw.ef_search', '100', false), set_config('hnsw.iterative_scan', 'relaxed_order', false)"
)


class PgVectorIndex:
    """Nearest rows to a vector, among the rows of one embedding model."""

    def __init__(
        self,
        store: PGVectorStore,
        pool: Pool,
        model_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        large: int = LARGE,
    ) -> None:
        self._store = store
        self._pool = pool
        self._model_id = model_id
        self._clock = clock
        self._large = large
        self._sizes: dict[frozenset[str], int] = {}
        self._near: NearIndex | None = None
        self._looked_at = -math.inf
        self._prepared: WeakSet[Connection] = WeakSet()

    async def nearest(self, vector: Vector, *, limit: int, categories: frozenset[str] | None = None) -> list[FoundRow]:
        """Return id and cosine *distance* of the nearest rows, of these categories when given.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        if self._clock() - self._looked_at >= _LOOK_SECONDS:
            self._near = await find_index(self._pool, self._model_id)
            self._looked_at = self._clock()
            self._sizes.clear()
        # The store cannot name the column as the index of a large base knows it.
        near = self._near if self._near is not None and len(vector) == self._near.dimensions else None
        if categories is not None and (near is None or await self._size(categories) < self._large):
            query = search_among(vector, model_id=self._model_id, limit=limit, categories=categories)
            async with reported(), self._pool.connection() as conn:
                return _found(await (await conn.execute(query)).fetchall())
        if near is not None:
            return await self._nearest_of_many(vector, near, limit, categories)
        return await self._nearest_of_all(vector, limit)

    async def _size(self, categories: frozenset[str]) -> int:
        """Count the rows of some categories, as they were when the index was last looked for."""
        if categories not in self._sizes:
            query = sql.SQL("select count(*) as rows from knowledge_chunks where {}").format(of(categories))
            async with reported(), self._pool.connection() as conn:
                row = await (await conn.execute(query)).fetchone()
            self._sizes[categories] = int(row["rows"]) if row else 0
        return self._sizes[categories]

    async def _nearest_of_many(
        self, vector: Vector, near: NearIndex, limit: int, categories: frozenset[str] | None
    ) -> list[FoundRow]:
        async with reported(), self._pool.connection() as conn:
            # For good, because nothing else searches this way; a transaction of its own would cost as much as a search.
            if conn not in self._prepared:
                await conn.execute(_SEARCH_WIDELY)
                self._prepared.add(conn)
            rows = await (await conn.execute(near.search(vector, limit=limit, categories=categories))).fetchall()
        return _found(rows)

    async def _nearest_of_all(self, vector: Vector, limit: int) -> list[FoundRow]:
        try:
            found = await self._store.asimilarity_search_with_score_by_vector(
                vector.tolist(),
                k=limit,
                # Waiting rows have no vector, and while the base is rebuilt some vectors have another length.
                filter={"embedding_model": self._model_id},
            )
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            raise IndexUnavailableError(
                f"the search in {TABLE} failed ({type(error).__name__}); see KB_DB_URL"
            ) from error
        return _directed((str(document.id), distance) for document, distance in found)

    async def scored(self, vector: Vector, row_ids: Sequence[str]) -> list[FoundRow]:
        """Return the same of the named rows; the store itself cannot look rows up by id with a distance.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        rows = await fetch(
            self._pool,
            "select id, embedding <=> %(vector)s::vector as distance from knowledge_chunks"
            " where id = any(%(ids)s::uuid[]) and embedding_model = %(model)s",
            {"vector": literal(vector), "ids": list(row_ids), "model": self._model_id},
        )
        return _found(rows)


def _found(rows: Sequence[Row]) -> list[FoundRow]:
    return _directed((str(row["id"]), row["distance"]) for row in rows)


def _directed(rows: Iterable[tuple[str, float | None]]) -> list[FoundRow]:
    # A vector of zeros has no direction; its distance is not a number.
    return [(row_id, distance) for row_id, distance in rows if distance is not None and not math.isnan(distance)]


@contextlib.asynccontextmanager
async def open_store(
    pool: Pool, conninfo: str, *, schema: str, model_id: str, large: int = LARGE
) -> AsyncIterator[PgVectorIndex]:
    """Open the search; closes its connections at the end."""
    # Reading needs no transaction, and asking the server before each search whether it lives is a round trip as well.
    engine = create_async_engine(
        sqlalchemy_url(conninfo),
        pool_size=2,
        max_overflow=1,
        isolation_level="AUTOCOMMIT",
        # The store names the parameters of each search anew: what is compiled for one serves no other, and is large.
        query_cache_size=0,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead)
    try:
        # From an engine and not from a connection string: that one would start a thread with its own event loop.
        store = await PGVectorStore.create(
            engine=PGEngine.from_engine(engine),
            embedding_service=_NoEmbeddings(),
            table_name=TABLE,
            schema_name=schema,
            id_column="id",
            content_column="content",
            embedding_column="embedding",
            metadata_columns=["embedding_model"],
            metadata_json_column="metadata",
        )
        yield PgVectorIndex(store, pool, model_id, large=large)
    finally:
        await engine.dispose()


def _refuse_dead(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Make the pool replace a connection whose server has gone: an idle connection is silent while it lives."""
    poll = select.poll()
    poll.register(dbapi_connection.driver_connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def sqlalchemy_url(conninfo: str) -> URL:
    """Translate a libpq connection string, with a TCP host or a folder of sockets, for SQLAlchemy."""
    facts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    host = facts.pop("host", None)
    # libpq takes several hosts and folders; SQLAlchemy's URL does not, its query does.
    if host and (host.startswith("/") or "," in host):
        facts["host"], host = host, None
    port = facts.pop("port", None)
    if port and ("," in port or host is None):
        facts["port"], port = port, None
    return URL.create(
        "postgresql+psycopg",
        username=facts.pop("user", None),
        password=facts.pop("password", None),
        database=facts.pop("dbname", None),
        host=host,
        port=int(port) if port else None,
        query=facts,
    )


class _NoEmbeddings(Embeddings):
    """The store wants a model; ours gives it vectors only."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError
