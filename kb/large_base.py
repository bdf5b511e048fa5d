"""The index that only a large base needs: up to 50,000 rows a search looks at every vector, which is exact.

The column has no fixed number of dimensions, because models differ. So the index is over the column read as vectors of
one length, among the rows of one model; a search that is to use it has to name both in the same way.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from psycopg import sql

from kb.vector_index import Connection, Pool, fetch, reported
from kb.vectors import Vector, literal

logger = logging.getLogger(__name__)

LARGE = 50_000
"""Rows of a model from which on it has an index."""

SMALL = 40_000
"""Rows below which the index goes; less than `LARGE`, so that it does not come and go."""

MANY = 5_000
"""Rows that are written faster without the index, counting that it is built anew."""

_PREFIX = "knowledge_chunks_near_"

_INDEXES = """
select relname as name, indisvalid as is_valid from pg_index join pg_class on pg_class.oid = indexrelid
where indrelid = 'knowledge_chunks'::regclass and relname like 'knowledge_chunks_near_%%'
"""

_SIZE = """
select count(*) as rows, min(vector_dims(embedding)) as dimensions from knowledge_chunks
where embedding_model = %(model)s and embedding is not null
"""

# Held while indexes are made or dropped: two processes at once would undo each other's work.
_LOCK = "select pg_try_advisory_lock(hashtext('knowledge_chunks_near'), hashtext(current_schema())) as is_mine"
_UNLOCK = "select pg_advisory_unlock(hashtext('knowledge_chunks_near'), hashtext(current_schema()))"


@dataclass(frozen=True, slots=True, kw_only=True)
class NearIndex:
    """The index of one model."""

    model_id: str
    dimensions: int

    @property
    def name(self) -> str:
        """What it is called: the model, and the length of its vectors."""
        return f"{_stem(self.model_id)}{self.dimensions}"

    @property
    def column(self) -> sql.Composable:
        """The vectors, as the index knows them."""
        return sql.SQL("embedding::vector({})").format(sql.Literal(self.dimensions))

    @property
    def among(self) -> sql.Composable:
        """The rows it is over."""
        return sql.SQL("embedding_model = {}").format(sql.Literal(self.model_id))

    def search(self, vector: Vector, *, limit: int, categories: frozenset[str] | None = None) -> sql.Composed:
        """Return the query for the rows nearest to a vector, in the form the index is for."""
        among = self.among if categories is None else sql.SQL("{} and {}").format(self.among, of(categories))
        return sql.SQL(
            "select id, {column} <=> {vector}::vector as distance from knowledge_chunks"
            " where {among} order by distance limit {limit}"
        ).format(column=self.column, vector=sql.Literal(literal(vector)), among=among, limit=sql.Literal(limit))


def search_among(vector: Vector, *, model_id: str, limit: int, categories: frozenset[str]) -> sql.Composed:
    """Return the query that looks at every vector of these categories, whatever index there is.

    The planner would take the index of the vectors for a few rows of a large base, and find too few of them.
    """
    return sql.SQL(
        "select id, embedding <=> {vector}::vector as distance from knowledge_chunks"
        " where embedding_model = {model} and {of} order by (embedding <=> {vector}::vector) + 0 limit {limit}"
    ).format(
        vector=sql.Literal(literal(vector)), model=sql.Literal(model_id), of=of(categories), limit=sql.Literal(limit)
    )


def of(categories: frozenset[str]) -> sql.Composed:
    """Return the condition for rows of these categories, as the index `knowledge_chunks_category` has it.

    Rows without one have the category "".
    """
    column = sql.SQL("btrim(coalesce(metadata ->> 'category', ''))")
    return sql.SQL("{} = any({}::text[])").format(column, sql.Literal(sorted(categories)))


async def find_index(pool: Pool, model_id: str) -> NearIndex | None:
    """Return the index of a model when it is ready to be used.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    for row in await fetch(pool, _INDEXES, {}):
        if row["is_valid"] and row["name"].startswith(_stem(model_id)):
            return NearIndex(model_id=model_id, dimensions=int(row["name"].removeprefix(_stem(model_id))))
    return None


async def tend_index(pool: Pool, model_id: str, *, large: int = LARGE, small: int = SMALL) -> None:
    """Make the index of a base that has become large, drop what is not needed any more.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    [size] = await fetch(pool, _SIZE, {"model": model_id})
    wanted = NearIndex(model_id=model_id, dimensions=size["dimensions"] or 0)
    found = {row["name"]: row["is_valid"] for row in await fetch(pool, _INDEXES, {})}
    is_kept = bool(found.get(wanted.name)) and size["rows"] >= small
    await _change(
        pool,
        drop=[name for name in found if not (is_kept and name == wanted.name)],
        make=wanted if size["rows"] >= large and not is_kept else None,
    )


async def drop_indexes(pool: Pool) -> None:
    """Drop them all, before many rows are written.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    await _change(pool, drop=[row["name"] for row in await fetch(pool, _INDEXES, {})])


async def _change(pool: Pool, *, drop: list[str], make: NearIndex | None = None) -> None:
    if not drop and make is None:
        return
    async with reported(), pool.connection() as conn:
        row = await (await conn.execute(_LOCK)).fetchone()
        if not row or not row["is_mine"]:
            return
        try:
            for name in drop:
                await conn.execute(sql.SQL("drop index concurrently if exists {}").format(sql.Identifier(name)))
            if make is not None:
                await _make(conn, make)
        finally:
            await conn.execute(_UNLOCK)


async def _make(conn: Connection, index: NearIndex) -> None:
    logger.info("Building the index of a large knowledge base", extra={"action": "index_building"})
    # A graph that does not fit is built many times slower; 100,000 vectors of 384 numbers take 200 MB.
    await conn.execute("set maintenance_work_mem = '512MB'")
    try:
        await conn.execute(
            sql.SQL(
                "create index concurrently {} on knowledge_chunks using hnsw (({}) vector_cosine_ops) where {}"
            ).format(sql.Identifier(index.name), index.column, index.among)
        )
    finally:
        await conn.execute("reset maintenance_work_mem")


def _stem(model_id: str) -> str:
    return f"{_PREFIX}{hashlib.blake2b(model_id.encode(), digest_size=6).hexdigest()}_"
