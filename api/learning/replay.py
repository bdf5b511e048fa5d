"""The proof: what was missed is asked again, through the search and the grade the bot uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from api.database import Pool
from api.knowledge import Knowledge
from api.learning.drafts import Draft
from api.learning.misses import Miss, Progress, silent
from kb.chunks import GRADED_HITS, SUGGESTED_HITS
from kb.lexical import clean
from kb.retriever import NOTHING, Without

Verdict = Literal["closed", "offered", "other", "open"]
"""What the bot would do now: answer; offer the right entry among others; answer, but from another entry; miss again."""

_WORST: tuple[Verdict, ...] = ("open", "other", "offered", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One question, asked again."""

    miss_id: int
    question: str
    verdict: Verdict
    unaided: Verdict
    """The same if this very wording were not stored: how the next customer fares who asks a little differently."""
    confidence: float


async def replay(
    knowledge: Knowledge, misses: Sequence[Miss], draft: Draft | None = None, *, progress: Progress = silent
) -> list[Replayed]:
    """Ask every question of the misses again, and note on each miss the worst verdict.

    With a draft the right entry is the one it became; without one any answer counts.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    entry_id = draft.entry_id if draft else None
    asked = [(miss, line) for miss in misses for line in miss.lines]
    stored = await _stored_wordings(knowledge.pool)
    await knowledge.retriever.warm([line for _, line in asked])
    results: list[Replayed] = []
    for miss, line in asked:
        verdict, confidence = await _ask(knowledge, line, entry_id)
        row_id = stored.get(clean(line))
        unaided = verdict if row_id is None else (await _ask(knowledge, line, entry_id, Without(chunk_id=row_id)))[0]
        results.append(
            Replayed(miss_id=miss.id, question=line, verdict=verdict, unaided=unaided, confidence=confidence)
        )
        progress(len(results), len(asked))
    await _note(knowledge.pool, results)
    return results


async def misses_of(pool: Pool, draft_id: int, misses: Sequence[Miss]) -> list[Miss]:
    """Return those a draft was made of."""
    async with pool.connection() as conn:
        cursor = await conn.execute("select id from unknown_questions where draft_id = %s", (draft_id,))
        ids = {row["id"] for row in await cursor.fetchall()}
    return [miss for miss in misses if miss.id in ids]


async def _ask(
    knowledge: Knowledge, question: str, entry_id: str | None, without: Without = NOTHING
) -> tuple[Verdict, float]:
    hits = await knowledge.retriever.search(question, limit=GRADED_HITS, without=without)
    grade = knowledge.grader.grade(question, hits)
    found = [hit.entry_id for hit in hits[:SUGGESTED_HITS]]
    if grade.decision == "answer":
        return ("closed" if entry_id in (None, found[0]) else "other"), grade.confidence
    is_offered = grade.decision == "clarify" and (entry_id is None or entry_id in found)
    return ("offered" if is_offered else "open"), grade.confidence


async def _stored_wordings(pool: Pool) -> dict[str, str]:
    """Return the row of each wording that learning stored."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            # Those merged into another entry name the source of that one.
            "select id, metadata ->> 'question' as question from knowledge_chunks"
            " where metadata ->> 'source' like 'learned/%%' or metadata ->> 'draft' <> ''",
            (),
        )
        rows = await cursor.fetchall()
    return {clean(row["question"] or ""): str(row["id"]) for row in rows}


async def _note(pool: Pool, results: Sequence[Replayed]) -> None:
    worst: dict[int, Verdict] = {}
    for result in results:
        known = worst.get(result.miss_id, "closed")
        worst[result.miss_id] = min(known, result.verdict, key=_WORST.index)
    async with pool.connection() as conn, conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany(
            "update unknown_questions set verdict = %s, verdict_at = now() where id = %s",
            [(verdict, miss_id) for miss_id, verdict in worst.items()],
        )
