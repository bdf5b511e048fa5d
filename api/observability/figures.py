"""A stretch of days in numbers, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString
from zoneinfo import ZoneInfo

from psycopg import sql

from api.database import Connection, Pool, Row
from api.observability.finished import ANSWERS, AUDITS, ESCALATIONS, HANDOFFS, MESSAGES, WAITS
from api.observability.totals import one_state
from api.observability.waiting import LATE_SECONDS

RESOLVED = ("answered", "clarified")
OUTCOMES = (*RESOLVED, "escalated", "relayed", "small_talk", "failed")

QUANTILES: LiteralString = """
select percentile_cont(0.5) within group (order by seconds) as p50,
    percentile_cont(0.95) within group (order by seconds) as p95 from ({}) s where {}
"""

OUTBOX: LiteralString = """
select count(*) filter (where state in ('pending', 'sending')) as waiting,
    count(*) filter (
        where state in ('pending', 'sending') and created_at < now() - make_interval(secs => %(late)s)
    ) as late,
    count(*) filter (where state in ('failed', 'unknown')) as failed
from outbox where state in ('pending', 'sending') or state in ('failed', 'unknown')
"""

TICKETS: LiteralString = """
select count(*) as open, count(*) filter (where answered_at is null) as unanswered from tickets where closed_at is null
"""

SPENT: LiteralString = """
select name, coalesce(labels ->> 'kind', labels ->> 'outcome', '') as label, sum(value) as value from metric_totals
where day >= %(day)s and name in ('kefu_model_calls_total', 'kefu_model_tokens_total', 'kefu_model_cost_total',
    'kefu_answer_cache_total', 'kefu_embedding_calls_total')
group by 1, 2
"""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """How long something took; None when it did not happen."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What happened since a moment, and what is open now."""

    since: datetime
    until: datetime
    messages: Counts
    """By what their turn came to."""
    resolved_share: float | None
    """Of the questions, those that needed no person; None without questions."""
    answer_seconds: Quantiles
    """From the customer's message to the first answer."""
    escalations: Counts
    """By reason."""
    handoff_wait_seconds: Quantiles
    handoff_resolve_seconds: Quantiles
    tickets: Counts
    audits: Counts
    model: Mapping[str, float]
    """Calls, tokens, cost, answers from the cache."""
    outbox: Counts


def begin_of(days: int, *, now: datetime, zone: ZoneInfo) -> datetime:
    """Return when the first of the latest so many days began; today is one of them."""
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)


async def figures_since(pool: Pool, since: datetime) -> Figures:
    """Look at everything that finished since a moment."""
    async with one_state(pool) as conn:
        [moment] = await (await conn.execute("select now() as now")).fetchall()
        # Up to a little later: a clock beside the database's may be ahead.
        stretch = _Stretch(conn, {"since": since, "until": moment["now"] + timedelta(hours=1)})
        messages = await stretch.counts(MESSAGES, "outcome")
        return Figures(
            since=since,
            until=moment["now"].astimezone(since.tzinfo),
            messages={"total": sum(messages.values()), **dict.fromkeys(OUTCOMES, 0), **messages},
            resolved_share=_share(messages),
            answer_seconds=await stretch.quantiles(ANSWERS, where="stage = 'total'"),
            escalations=await stretch.counts(ESCALATIONS, "reason"),
            handoff_wait_seconds=await stretch.quantiles(WAITS),
            handoff_resolve_seconds=await stretch.quantiles(HANDOFFS),
            tickets=await stretch.now(TICKETS),
            audits={"right": 0, "wrong": 0, **await stretch.counts(AUDITS, "result")},
            model=_model(await stretch.rows(SPENT, day=since.date())),
            outbox=await stretch.now(OUTBOX, late=LATE_SECONDS),
        )


class _Stretch:
    """Asks the database about what finished in a stretch of time."""

    def __init__(self, conn: Connection, bounds: Mapping[str, datetime]) -> None:
        self._conn = conn
        self._bounds = bounds

    async def rows(self, statement: LiteralString, **more: object) -> list[Row]:
        return await (await self._conn.execute(statement, {**self._bounds, **more})).fetchall()

    async def counts(self, statement: LiteralString, by: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in await self.rows(statement):
            found[row[by]] = found.get(row[by], 0) + round(row["value"])
        return found

    async def quantiles(self, statement: LiteralString, *, where: LiteralString = "true") -> Quantiles:
        composed = sql.SQL(QUANTILES).format(sql.SQL(statement), sql.SQL(where))
        [row] = await (await self._conn.execute(composed, self._bounds)).fetchall()
        return Quantiles(**row)

    async def now(self, statement: LiteralString, **more: object) -> dict[str, int]:
        [row] = await self.rows(statement, **more)
        return row


def _share(messages: Counts) -> float | None:
    resolved = sum(messages.get(name, 0) for name in RESOLVED)
    questions = resolved + messages.get("escalated", 0)
    return resolved / questions if questions else None


def _model(rows: list[Row]) -> dict[str, float]:
    spent = {(row["name"], row["label"]): float(row["value"]) for row in rows}

    def of(name: str, *labels: str) -> float:
        return sum(
            value for (found, label), value in spent.items() if found == name and (label in labels or not labels)
        )

    return {
        "calls": of("kefu_model_calls_total"),
        "failed_calls": of("kefu_model_calls_total", "failed"),
        "input_tokens": of("kefu_model_tokens_total", "input"),
        "output_tokens": of("kefu_model_tokens_total", "output"),
        "cost": of("kefu_model_cost_total"),
        "cache_hits": of("kefu_answer_cache_total", "hit"),
        "cache_misses": of("kefu_answer_cache_total", "miss"),
        "embedding_calls": of("kefu_embedding_calls_total"),
    }
