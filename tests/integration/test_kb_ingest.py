"""Importing into PostgreSQL: incremental, resumable, careful with what people typed in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.database import Pool
from kb.catalog import delete_entries, export_entries, list_entries
from kb.chunks import Chunk
from kb.errors import IndexUnavailableError
from kb.ingest import BATCH, ImportReport, embed_waiting, import_articles
from kb.readers import read_articles
from kb.splitter import split_markdown
from kb.vectors import Vector

TEXT = "---\ncategory: 售后\n---\n### 如何退款?\n相似问法: 怎么退钱；退款流程\n\n七天内。\n\n### 运费多少?\n\n包邮。"


class CountingEmbedder:
    """Counts; breaks after a number of texts when told to."""

    def __init__(self, model_id: str = "m@example.com", *, size: int = 3, breaks_after: int = 10**9) -> None:
        self.model_id = model_id
        self.asked: list[str] = []
        self._size = size
        self._breaks_after = breaks_after

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        if len(self.asked) >= self._breaks_after:
            raise IndexUnavailableError("broken")
        self.asked += texts
        return [np.asarray([len(text)] * self._size, dtype=np.float32) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        return await self.embed_questions(texts)


def split(text: str = TEXT, source: str = "a.md") -> list[Chunk]:
    return split_markdown(text, source=source)


async def rows(pool: Pool) -> list[dict[str, Any]]:
    async with pool.connection() as conn:
        found = await conn.execute("select *, embedding::text as vector from knowledge_chunks order by content")
        return await found.fetchall()


async def test_a_second_import_embeds_nothing(pool: Pool) -> None:
    embedder = CountingEmbedder()
    assert await import_articles(pool, embedder, split()) == ImportReport(added=4, embedded=4)
    before = await rows(pool)
    assert await import_articles(pool, embedder, split()) == ImportReport(unchanged=4)
    assert len(embedder.asked) == 4
    assert await rows(pool) == before


async def test_a_changed_answer_updates_its_rows_in_place(pool: Pool) -> None:
    embedder = CountingEmbedder()
    await import_articles(pool, embedder, split())
    before = {row["content"].split("\n")[0]: row["id"] for row in await rows(pool)}
    changed = split(TEXT.replace("七天内。", "十四天内。"))
    assert await import_articles(pool, embedder, changed) == ImportReport(updated=3, unchanged=1, embedded=3)
    after = await rows(pool)
    assert {row["content"].split("\n")[0]: row["id"] for row in after} == before
    # The question is the same, so is its vector: the row must not end up waiting.
    assert all(row["vector"] and row["embedding_model"] == "m@example.com" for row in after)


async def test_refresh_removes_what_vanished_from_its_files_only(pool: Pool) -> None:
    embedder = CountingEmbedder()
    await import_articles(pool, embedder, [*split(), *split(source="b.md")])
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content) values ('手写')")
    shorter = split("### 如何退款?\n\n七天内。")
    assert (await import_articles(pool, embedder, shorter)).removed == 0
    assert (await import_articles(pool, embedder, shorter, refresh=True, dry_run=True)).removed == 3
    assert len(await rows(pool)) == 9
    assert (await import_articles(pool, embedder, shorter, refresh=True)).removed == 3
    assert sorted((row["metadata"].get("source", ""), row["content"]) for row in await rows(pool)) == [
        ("", "手写"),
        ("a.md", "如何退款?\n七天内。"),
        ("b.md", "如何退款?\n七天内。"),
        ("b.md", "怎么退钱\n七天内。"),
        ("b.md", "运费多少?\n包邮。"),
        ("b.md", "退款流程\n七天内。"),
    ]


async def test_rebuild_embeds_every_row_with_the_new_model(pool: Pool) -> None:
    old, new = CountingEmbedder("old"), CountingEmbedder("new", size=5)
    await import_articles(pool, old, [*split(), *split(source="b.md")])
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content) values ('手写'), ('   ')")
    await embed_waiting(pool, old)
    report = await import_articles(pool, new, split(), rebuild=True)
    assert (report.added, report.unchanged) == (0, 4)
    found = {row["content"]: row for row in await rows(pool)}
    assert found.pop("   ")["vector"] is None
    assert {row["embedding_model"] for row in found.values()} == {"new"}
    assert {row["vector"].count(",") for row in found.values()} == {4}
    assert len(new.asked) == 9


async def test_a_dry_run_changes_nothing(pool: Pool) -> None:
    embedder = CountingEmbedder()
    report = await import_articles(pool, embedder, split(), dry_run=True)
    assert report == ImportReport(added=4, embedded=4)
    assert embedder.asked == []
    assert await rows(pool) == []


async def test_an_interrupted_import_goes_on_where_it_stopped(pool: Pool) -> None:
    chunks = split("\n\n".join(f"### 第{n}问?\n\n答。" for n in range(BATCH * 2 + 5)))
    steps: list[tuple[int, int]] = []
    with pytest.raises(IndexUnavailableError):
        await import_articles(pool, CountingEmbedder(breaks_after=BATCH), chunks)
    assert len(await rows(pool)) == BATCH
    report = await import_articles(
        pool, CountingEmbedder(), chunks, progress=lambda done, total: steps.append((done, total))
    )
    assert (report.added, report.unchanged) == (BATCH + 5, BATCH)
    assert steps == [(BATCH, BATCH + 5), (BATCH + 5, BATCH + 5)]


async def test_the_given_category_replaces_the_one_of_the_file(pool: Pool) -> None:
    await import_articles(pool, CountingEmbedder(), split(), category="物流")
    assert {row["metadata"]["category"] for row in await rows(pool)} == {"物流"}


async def test_a_row_edited_by_hand_keeps_its_text_until_the_file_changes(pool: Pool) -> None:
    embedder = CountingEmbedder()
    await import_articles(pool, embedder, split())
    async with pool.connection() as conn:
        await conn.execute("update knowledge_chunks set content = '运费多少?\n十元。' where content like '运费%'")
    assert (await import_articles(pool, embedder, split())).unchanged == 4
    assert await embed_waiting(pool, embedder) == 1
    assert [row["content"] for row in await rows(pool) if "运费" in row["content"]] == ["运费多少?\n十元。"]
    await import_articles(pool, embedder, split(TEXT.replace("包邮", "满百包邮")))
    assert [row["content"] for row in await rows(pool) if "运费" in row["content"]] == ["运费多少?\n满百包邮。"]


async def test_entries_are_listed_exported_and_deleted(pool: Pool, tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    await import_articles(pool, embedder, [*split(), *split("### 几点?\n\n九点。", source="b.md")])
    async with pool.connection() as conn:
        await conn.execute("insert into knowledge_chunks (content) values ('能刻字吗\n可以。')")
    entries = {entry.question: entry for entry in await list_entries(pool)}
    assert entries.keys() == {"如何退款?", "运费多少?", "几点?", "能刻字吗"}
    refund = entries["如何退款?"]
    assert (set(refund.similar), refund.answer, refund.category) == ({"怎么退钱", "退款流程"}, "七天内。", "售后")
    assert (entries["能刻字吗"].waiting, refund.waiting) == (1, 0)
    assert [entry.question for entry in await list_entries(pool, source="b.md")] == ["几点?"]

    (tmp_path / "out.md").write_text("\n".join(export_entries(list(entries.values()), "md")), encoding="utf-8")
    again = read_articles([tmp_path / "out.md"]).chunks
    assert {(chunk.question, chunk.answer) for chunk in again} >= {("怎么退钱", "七天内。"), ("能刻字吗", "可以。")}
    assert len(again) == 6
    assert '"question": "几点?"' in "\n".join(export_entries(list(entries.values()), "jsonl"))

    assert await delete_entries(pool, entry_ids=[refund.entry_id, entries["能刻字吗"].entry_id]) == 2
    assert await delete_entries(pool, source="b.md") == 1
    assert [row["content"] for row in await rows(pool)] == ["运费多少?\n包邮。"]
    assert await delete_entries(pool) == 0
