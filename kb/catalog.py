"""Looking after the table: list, export and delete entries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kb.chunks import Chunk
from kb.rows import make_entry_id, parse_row
from kb.vector_index import Pool, fetch, reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as it is stored."""

    entry_id: str
    question: str
    """Empty for passages."""
    similar: tuple[str, ...]
    answer: str
    source: str
    """Empty when typed in by hand."""
    category: str
    headings: tuple[str, ...]
    row_ids: tuple[str, ...]
    waiting: int
    """Rows that have no vector yet and are not found by the search."""


async def list_entries(pool: Pool, *, source: str = "", category: str = "") -> list[Entry]:
    """Return the entries, of one source or category when named, ordered by source and question.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    rows = await fetch(
        pool,
        "select id, content, metadata, embedding is null as waiting from knowledge_chunks order by created_at, id",
        {},
    )
    grouped: dict[str, list[tuple[str, Chunk, bool]]] = {}
    for row in rows:
        metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
        chunk = parse_row(row["content"], metadata)
        grouped.setdefault(chunk.entry_id, []).append((str(row["id"]), chunk, row["waiting"]))
    entries = [_entry(pieces) for pieces in grouped.values()]
    return sorted(
        (
            entry
            for entry in entries
            if (not source or entry.source == source) and (not category or entry.category == category)
        ),
        key=lambda entry: (entry.source, entry.headings, entry.question, entry.entry_id),
    )


def export_entries(entries: Sequence[Entry], kind: Literal["jsonl", "md"]) -> Iterator[str]:
    """Yield the lines of a file: JSON, one entry a line, or Markdown that can be imported again."""
    if kind == "jsonl":
        for entry in entries:
            facts = {
                "id": entry.entry_id,
                "question": entry.question,
                "similar": list(entry.similar),
                "answer": entry.answer,
                "category": entry.category,
                "source": entry.source,
            }
            yield json.dumps(facts, ensure_ascii=False)
        return
    for entry in entries:
        if not entry.question:
            yield f"## {' › '.join(entry.headings) or '其他'}\n\n{entry.answer}\n"
            continue
        yield f"### 问: {entry.question}"
        if entry.similar:
            yield f"相似问法: {'；'.join(entry.similar)}"
        yield f"\n{entry.answer}\n"


async def delete_entries(pool: Pool, *, entry_ids: Sequence[str] = (), source: str = "") -> int:
    """Delete entries by id, or everything that came from one source; returns how many entries went.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    doomed = [
        entry
        for entry in await list_entries(pool)
        if entry.entry_id in entry_ids or (source and entry.source == source)
    ]
    async with reported(), pool.connection() as conn:
        await conn.execute(
            "delete from knowledge_chunks where id = any(%(ids)s::uuid[])",
            {"ids": [row_id for entry in doomed for row_id in entry.row_ids]},
        )
    return len(doomed)


def _entry(pieces: Sequence[tuple[str, Chunk, bool]]) -> Entry:
    chunks = [chunk for _, chunk, _ in pieces]
    main = next((chunk for chunk in chunks if _is_main(chunk)), chunks[0])
    passages = list(dict.fromkeys(chunk.answer for chunk in chunks))
    return Entry(
        entry_id=main.entry_id,
        question=main.question,
        similar=tuple(chunk.question for chunk in chunks if chunk.question and chunk.question != main.question),
        answer=main.answer if main.question else "\n\n".join(passages),
        source=main.source,
        category=main.category,
        headings=main.headings,
        row_ids=tuple(row_id for row_id, _, _ in pieces),
        waiting=sum(waiting for _, _, waiting in pieces),
    )


def _is_main(chunk: Chunk) -> bool:
    """Whether it holds the entry's own question, which made the id, and not a similar one."""
    return chunk.entry_id == make_entry_id(chunk.source, chunk.question)
