"""Chunks into the table: what is unchanged costs nothing, what is interrupted goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from psycopg.types.json import Jsonb

from kb.chunks import Chunk
from kb.embeddings import Embedder, embed_chunks
from kb.large_base import MANY, drop_indexes, tend_index
from kb.rows import parse_row, row_metadata
from kb.vector_index import Pool, check_model, fetch, reported
from kb.vectors import Vector, literal

logger = logging.getLogger(__name__)

_SET_VECTOR = (
    "update knowledge_chunks set embedding = %(vector)s::vector, embedding_model = %(model)s where id = %(id)s"
)

_UPSERT = """
insert into knowledge_chunks as k (id, content, metadata, content_hash, embedding, embedding_model)
select id, content, metadata, digest, vector, %(model)s
from unnest(%(ids)s::uuid[], %(contents)s::text[], %(metadata)s::jsonb[], %(digests)s::text[], %(vectors)s::vector[])
    as given (id, content, metadata, digest, vector)
on conflict (id) do update set content = excluded.content, metadata = excluded.metadata,
    content_hash = excluded.content_hash, embedding = null, embedding_model = null
"""

# A step of its own: a row whose text changes under an equal vector loses it, as one edited by hand does.
_SET_VECTORS = """
update knowledge_chunks as k set embedding = given.vector, embedding_model = %(model)s
from unnest(%(ids)s::uuid[], %(vectors)s::vector[]) as given (id, vector)
where k.id = given.id and k.embedding is null
"""

BATCH = 128
"""Rows embedded and committed at a time: what an import that is killed has to embed again."""

_NAMESPACE = uuid.UUID("5f0c0a52-6a43-5b0e-9d0a-0b5f3f1d8c11")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did, or would do; rows, not entries."""

    added: int = 0
    unchanged: int = 0
    updated: int = 0
    removed: int = 0
    embedded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A chunk with what is stored beside it."""

    id: uuid.UUID
    chunk: Chunk
    metadata: dict[str, Any]
    digest: str


async def import_articles(
    pool: Pool,
    embedder: Embedder,
    chunks: Sequence[Chunk],
    *,
    refresh: bool = False,
    rebuild: bool = False,
    category: str = "",
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Bring the table to what the files say.

    Args:
        pool: the database.
        embedder: the model new and changed rows are embedded by.
        chunks: what `read_articles` found.
        refresh: remove the rows of these files that are not in them any more; rows typed in by hand stay.
        rebuild: embed every row of the table again, whoever wrote it.
        category: replaces the category the files name.
        dry_run: count only.
        progress: called with the rows embedded so far and the rows to embed.

    Raises:
        EmbeddingMismatchError: the table was embedded by another model; `rebuild` mends it.
        IndexUnavailableError: the database or the embedding service does not answer; what was committed stays.
    """
    if not rebuild:
        await check_model(pool, embedder.model_id)
    rows = list(make_rows(chunks, category))
    known = await _known(pool, rows)
    fresh = [row for row in rows if known.get(row.id) != row.digest]
    added = sum(row.id not in known for row in rows)
    stale = await _stale(pool, rows) if refresh else []
    others = await _others(pool, {*(row.id for row in fresh), *stale}) if rebuild else []
    report = ImportReport(
        added=added,
        unchanged=len(rows) - len(fresh),
        updated=len(fresh) - added,
        removed=len(stale),
        embedded=len(fresh) + len(others),
    )
    if dry_run:
        return report
    if report.embedded > MANY:
        await drop_indexes(pool)
    done = 0
    for batch in _batches(fresh):
        await write_rows(pool, batch, await embed_chunks(embedder, [row.chunk for row in batch]), embedder.model_id)
        done += len(batch)
        progress(done, report.embedded)
    if stale:
        async with reported(), pool.connection() as conn:
            await conn.execute("delete from knowledge_chunks where id = any(%(ids)s)", {"ids": stale})
    for ids in _batches(others):
        await _embed_again(pool, embedder, ids)
        done += len(ids)
        progress(done, report.embedded)
    await tend_index(pool, embedder.model_id)
    logger.info("knowledge imported", extra={"action": "import", "added": added, "embedded": report.embedded})
    return report


async def embed_waiting(pool: Pool, embedder: Embedder, *, limit: int = BATCH) -> int:
    """Embed rows that have no vector: typed in or edited by hand. Returns how many; never touches their text.

    Several processes may do this at once.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with reported(), pool.connection() as conn, conn.transaction():
        found = await conn.execute(
            # Metadata that is not an object cannot be read back by the search; an empty text says nothing.
            "select id, content, metadata from knowledge_chunks where embedding is null "
            r"and jsonb_typeof(metadata) = 'object' and content ~ '\S' "
            "order by created_at, id limit %(limit)s for update skip locked",
            {"limit": limit},
        )
        rows = await found.fetchall()
        vectors = await embed_chunks(embedder, [parse_row(row["content"], row["metadata"]) for row in rows])
        async with conn.cursor() as cursor:
            await cursor.executemany(
                _SET_VECTOR,
                [
                    {"id": row["id"], "vector": literal(vector), "model": embedder.model_id}
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            )
    return len(rows)


def make_rows(chunks: Iterable[Chunk], category: str = "") -> Iterator[Row]:
    """Give each chunk the id it keeps over imports, and a digest of what is stored of it."""
    passages: dict[str, int] = {}
    for given in chunks:
        chunk = replace(given, category=category) if category else given
        key = chunk.question
        if not key:
            place = passages[chunk.entry_id] = passages.get(chunk.entry_id, 0) + 1
            key = f"#{place}"
        metadata = row_metadata(chunk)
        facts = json.dumps([chunk.content, metadata, chunk.question or chunk.content], sort_keys=True)
        yield Row(
            id=uuid.uuid5(_NAMESPACE, f"{chunk.source}\n{chunk.entry_id}\n{key}"),
            chunk=chunk,
            metadata=metadata,
            digest=hashlib.blake2b(facts.encode(), digest_size=16).hexdigest(),
        )


async def _known(pool: Pool, rows: Sequence[Row]) -> dict[uuid.UUID, str | None]:
    found = await fetch(
        pool,
        "select id, content_hash from knowledge_chunks where id = any(%(ids)s)",
        {"ids": [row.id for row in rows]},
    )
    return {row["id"]: row["content_hash"] for row in found}


async def _stale(pool: Pool, rows: Sequence[Row]) -> list[uuid.UUID]:
    found = await fetch(
        pool,
        "select id from knowledge_chunks where metadata ->> 'source' = any(%(sources)s)",
        {"sources": sorted({row.chunk.source for row in rows} - {""})},
    )
    given = {row.id for row in rows}
    return [row["id"] for row in found if row["id"] not in given]


async def _others(pool: Pool, without: set[uuid.UUID]) -> list[uuid.UUID]:
    found = await fetch(pool, "select id from knowledge_chunks order by created_at, id", {})
    return [row["id"] for row in found if row["id"] not in without]


async def write_rows(pool: Pool, rows: Sequence[Row], vectors: Sequence[Vector], model_id: str) -> None:
    """Store rows with their vectors: few statements, because each of them is noted as a change of the base.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    values = {
        "ids": [row.id for row in rows],
        "contents": [row.chunk.content for row in rows],
        "metadata": [json.dumps(row.metadata, ensure_ascii=False) for row in rows],
        "digests": [row.digest for row in rows],
        "vectors": [literal(vector) for vector in vectors],
        "model": model_id,
    }
    async with reported(), pool.connection() as conn, conn.transaction():
        await conn.execute(_UPSERT, values)
        await conn.execute(_SET_VECTORS, values)


async def _embed_again(pool: Pool, embedder: Embedder, ids: Sequence[uuid.UUID]) -> None:
    """Replace the vectors of rows whose text stays."""
    rows = await fetch(
        pool,
        "select id, content, metadata from knowledge_chunks where id = any(%(ids)s) "
        r"and jsonb_typeof(metadata) = 'object' and content ~ '\S'",
        {"ids": list(ids)},
    )
    vectors = await embed_chunks(embedder, [parse_row(row["content"], row["metadata"]) for row in rows])
    async with reported(), pool.connection() as conn, conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany(
            # Not a row that somebody edited since it was read: it waits for its own vector.
            "update knowledge_chunks set embedding = %(vector)s::vector, embedding_model = %(model)s "
            "where id = %(id)s and content = %(content)s and metadata = %(metadata)s",
            [
                {
                    "id": row["id"],
                    "content": row["content"],
                    "metadata": Jsonb(row["metadata"]),
                    "vector": literal(vector),
                    "model": embedder.model_id,
                }
                for row, vector in zip(rows, vectors, strict=True)
            ],
        )


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
