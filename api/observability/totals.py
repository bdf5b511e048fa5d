"""What was counted so far, by all processes: in one table, so that it outlives processes and the rows it was read from.

A counter must never fall. Finished rows are deleted some day, so they are settled: counted once and added to the table.
What a process counts for itself is added by that process, a few seconds later at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

import psycopg
import psycopg_pool
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from psycopg.types.json import Jsonb

from api.database import Connection, Pool
from api.observability.finished import Labels, Totals, finished_between

logger = logging.getLogger(__name__)

PREFIX = "kefu_"
"""What our own families are called; the others tell of one process alone."""

SETTLE_AFTER = timedelta(minutes=2)
"""A row counts as finished for good that long after it was: its transaction is over, whatever held it up."""

PATIENCE = 3
"""Seconds a connection is waited for. Prometheus waits for ten, and a look may have to wait three times."""

DIGITS = 6
"""Behind the point: the last digits of a sum depend on its order, and a counter that falls by one looks restarted."""

KEPT_DAYS = 92
"""How long it is known on which day something was counted."""

LONG_AGO = date(1970, 1, 1)

ADD = """
insert into metric_totals as m (name, labels, day, value) values (%s, %s, %s, %s)
on conflict (name, labels, day) do update set value = m.value + excluded.value
"""

FOLD = """
with old as (
    delete from metric_totals where day < %(before)s and day > %(long_ago)s returning name, labels, value
)
insert into metric_totals as m (name, labels, day, value)
select name, labels, %(long_ago)s, sum(value) from old group by 1, 2 order by 1, 2
on conflict (name, labels, day) do update set value = m.value + excluded.value
"""


async def settle(pool: Pool) -> None:
    """Count what finished a while ago once and for all."""
    async with pool.connection() as conn, conn.transaction():
        cursor = await conn.execute("select until, now() - %s as now from metric_settled for update", (SETTLE_AFTER,))
        row = await cursor.fetchone()
        if row is None or row["now"] <= row["until"]:
            return
        await _add(conn, await finished_between(conn, row["until"], row["now"]), day=LONG_AGO)
        await conn.execute("update metric_settled set until = %s", (row["now"],))
        before = row["now"].date() - timedelta(days=KEPT_DAYS)
        await conn.execute(FOLD, {"before": before, "long_ago": LONG_AGO})


async def read_totals(conn: Connection) -> Totals:
    """Return what was counted so far; `conn` is in a transaction that sees one state."""
    totals: Totals = {}
    cursor = await conn.execute("select name, labels, sum(value) as value from metric_totals group by 1, 2")
    for row in await cursor.fetchall():
        labels: Labels = tuple(sorted((str(name), str(value)) for name, value in row["labels"].items()))
        totals[row["name"], labels] = float(row["value"])
    until = await (await conn.execute("select until, now() as now from metric_settled")).fetchone()
    assert until is not None, "made by the migration"
    # Up to the end of time: a clock beside ours may be a little ahead.
    fresh = await finished_between(conn, until["until"], until["now"] + timedelta(hours=1))
    for key, value in fresh.items():
        totals[key] = totals.get(key, 0.0) + value
    return {key: round(value, DIGITS) for key, value in totals.items()}


def fallen(told: Totals, totals: Totals) -> Totals:
    """Return by how much what was told is more than what is counted."""
    return {key: value - totals.get(key, 0.0) for key, value in told.items() if value > totals.get(key, 0.0)}


async def keep_counted(pool: Pool, told: Totals) -> None:
    """Make up for rows that went before they were settled: whatever process is asked, no counter falls."""
    async with pool.connection(timeout=PATIENCE) as conn, conn.transaction():
        # Nobody else settles or makes up for the same meanwhile.
        await conn.execute("select from metric_settled for update")
        await _add(conn, fallen(told, await read_totals(conn)), day=LONG_AGO)


@contextlib.asynccontextmanager
async def one_state(pool: Pool) -> AsyncIterator[Connection]:
    """Borrow a connection on which everything is seen as of one moment."""
    async with pool.connection(timeout=PATIENCE) as conn, conn.transaction():
        await conn.execute("set transaction isolation level repeatable read, read only")
        yield conn


class OwnCounters:
    """What this process counts, added to the totals from time to time."""

    def __init__(self, pool: Pool, *, registry: CollectorRegistry = REGISTRY, zone: tzinfo = UTC) -> None:
        self._pool = pool
        self._zone = zone
        self._registry = registry
        self._added = _samples(registry)
        self._lock = asyncio.Lock()

    async def flush(self) -> bool:
        """Add what was counted since the last time; what could not be added is added the next time.

        False when there was no connection to be had.
        """
        # Two at once, a look and the clock, would add the same news twice.
        async with self._lock:
            return await self._flush()

    async def _flush(self) -> bool:
        counted = _samples(self._registry)
        news = {key: value - self._added.get(key, 0.0) for key, value in counted.items()}
        news = {key: value for key, value in news.items() if value}
        if not news:
            return True
        try:
            async with self._pool.connection(timeout=PATIENCE) as conn, conn.transaction():
                await _add(conn, news, day=datetime.now(self._zone).date())
        except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            logger.warning("Counters wait", extra={"action": "metrics_waiting", "error": type(error).__name__})
            return not isinstance(error, psycopg_pool.PoolTimeout)
        self._added = counted
        return True


def own_families(registry: CollectorRegistry = REGISTRY) -> list[Metric]:
    """List what is counted in processes."""
    return [family for family in registry.collect() if family.name.startswith(PREFIX)]


def _samples(registry: CollectorRegistry) -> Totals:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
        for family in own_families(registry)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def _add(conn: Connection, totals: Totals, *, day: date) -> None:
    async with conn.cursor() as cursor:
        # In one order everywhere: two processes that add at once wait for each other and do not lock each other out.
        await cursor.executemany(ADD, _rows(sorted(totals.items()), day))


def _rows(items: Iterable[tuple[tuple[str, Labels], float]], day: date) -> list[tuple[str, Jsonb, date, float]]:
    return [(name, Jsonb(dict(labels)), day, value) for (name, labels), value in items]
