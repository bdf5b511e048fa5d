"""Automatic answers that a person judged, and the watch over the rate of wrong ones.

The watch is an alarm, not a proof: it looks again after every audit. When the audits since the latest calibration speak
against the accepted rate (exact binomial test), it raises the threshold and says so once; the next fit to the knowledge
base counts the audits as labels.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from prometheus_client import Counter
from scipy.stats import binom

from api.database import Connection, Pool, personal
from kb.calibrations import BaseGrader, store_calibration
from kb.vector_index import fetch, reported

logger = logging.getLogger(__name__)

WINDOW = 200
"""Newest audits that are looked at."""

SURENESS = 0.05
"""How unlikely so many wrong answers must be at the accepted rate."""

LEAST_WRONG = 3
"""Wrong answers below which nothing is done: the test is made after every audit, and one wrong answer among the first
two would pass it."""

NOTHING = 1.0
"""A threshold that no confidence reaches."""

ALERTS = Counter("kefu_accuracy_alerts", "Times the audited answers broke the accepted rate of wrong ones")

AUDITS = """
select is_right, coalesce(confidence, 0) as confidence from answer_audits
where created_at > coalesce((select max(created_at) from calibrations where embedding_model = %(model)s), '-infinity')
order by id desc limit %(window)s
"""

RECENT = """
select o.turn_id, o.created_at, o.payload ->> 'text' as answer, o.payload -> 'sources' ->> 0 as chunk_id,
    (select string_agg(i.payload ->> 'text', chr(10) order by i.id) from inbox i
     where i.turn_id = o.turn_id and i.origin = 'customer') as question
from outbox o
where o.destination = 'customer' and o.part = 'answer.0' and o.state = 'sent'
    and jsonb_array_length(coalesce(o.payload -> 'sources', '[]')) = 1
    and not exists (select 1 from answer_audits a where a.turn_id = o.turn_id)
order by o.id desc limit %(limit)s
"""

Source = Literal["operator", "desk", "customer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One automatic answer, judged."""

    turn_id: str
    question: str
    entry_id: str
    """The entry that was answered with."""
    right_entry_id: str | None
    """The one that answers the question; None when none does, or nobody knows."""
    confidence: float | None
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAnswer:
    """One automatic answer that nobody judged yet."""

    turn_id: str
    asked_at: datetime
    question: str
    answer: str
    chunk_id: str


async def record_audit(pool: Pool, audit: Audit) -> None:
    """Keep a judgement; a newer one of the same answer replaces it.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    async with reported(), pool.connection() as conn:
        await conn.execute(
            "insert into answer_audits (turn_id, question, entry_id, is_right, right_entry_id, confidence, source)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (turn_id) do update set is_right = excluded.is_right,"
            " right_entry_id = excluded.right_entry_id, source = excluded.source, created_at = now()",
            (
                audit.turn_id,
                personal(audit.question),
                audit.entry_id,
                audit.right_entry_id == audit.entry_id,
                audit.right_entry_id,
                audit.confidence,
                audit.source,
            ),
        )


async def recent_answers(pool: Pool, limit: int) -> list[SentAnswer]:
    """Return the newest automatic answers from one entry that nobody judged yet.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    rows = await fetch(pool, RECENT, {"limit": limit})
    return [
        SentAnswer(
            turn_id=row["turn_id"],
            asked_at=row["created_at"],
            question=row["question"],
            answer=row["answer"],
            chunk_id=row["chunk_id"],
        )
        # Retention has emptied the texts of the others.
        for row in rows
        if row["question"] and row["answer"]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Too many of the audited answers were wrong."""

    wrong: int
    audited: int
    max_wrong: float
    """The accepted rate."""


Alarm = Callable[[Connection, Drift], Awaitable[None]]
"""Tells people, within the transaction that raises the threshold."""


async def watch_accuracy(
    pool: Pool, grader: BaseGrader, *, model_id: str, max_wrong: float, alarm: Alarm | None = None
) -> bool:
    """Raise the threshold when the audits since the latest calibration break the accepted rate; tell whether they do.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    rows = await fetch(pool, AUDITS, {"model": model_id, "window": WINDOW})
    judged = [(float(row["confidence"]), bool(row["is_right"])) for row in rows]
    wrong = sum(not right for _, right in judged)
    if not breaks(wrong, len(judged), max_wrong):
        return False
    before = grader.calibration
    raised = replace(before, threshold=raised_threshold(judged, max_wrong, above=before.threshold))
    # A new row begins a new window, so this is said once.
    async with reported(), pool.connection() as conn, conn.transaction():
        await store_calibration(conn, raised, model_id=model_id, version=grader.version)
        if alarm is not None:
            await alarm(conn, Drift(wrong=wrong, audited=len(judged), max_wrong=max_wrong))
    await grader.refresh()
    ALERTS.inc()
    logger.error(
        "Too many wrong answers: threshold raised",
        extra={
            "action": "accuracy_drift",
            "wrong": wrong,
            "audited": len(judged),
            "max_wrong": max_wrong,
            "threshold_before": before.threshold,
            "threshold": raised.threshold,
        },
    )
    return True


def breaks(wrong: int, audited: int, max_wrong: float) -> bool:
    """Whether so many wrong ones, and at least three, are too unlikely at that rate, by the exact binomial test."""
    return wrong >= LEAST_WRONG and float(binom.sf(wrong - 1, audited, max_wrong)) < SURENESS


def raised_threshold(judged: Sequence[tuple[float, bool]], max_wrong: float, *, above: float) -> float:
    """Return the lowest confidence above the threshold from which on the audits keep the rate; else none is enough."""
    for threshold in sorted({confidence for confidence, _ in judged if confidence > above}):
        kept = [right for confidence, right in judged if confidence >= threshold]
        if kept.count(False) <= max_wrong * len(kept):
            return threshold
    return NOTHING
