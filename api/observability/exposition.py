"""What /metrics serves: the whole service's numbers, whichever process is asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, tzinfo

import psycopg
import psycopg_pool
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from api.database import Pool
from api.observability.finished import MEASURES, Labels, Totals, samples_of
from api.observability.totals import PREFIX, OwnCounters, fallen, keep_counted, one_state, own_families, read_totals
from api.observability.waiting import READINGS, Now, waiting_now

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10
"""How old what a process counted for itself may get; a kill loses no more than that."""


class Exposition:
    """Makes the text that Prometheus reads."""

    def __init__(self, pool: Pool, counters: OwnCounters, *, units: int) -> None:
        self._pool = pool
        self._counters = counters
        self._units = units
        self._told: Totals = {}
        """What was told last: forgetting a customer takes rows away, and a counter that falls looks like a restart."""

    async def text(self) -> bytes:
        """Return every family; without the database only what this process knows of itself."""
        # Whoever waited in vain once does not wait again: Prometheus gives up after ten seconds.
        if not await self._counters.flush():
            return _bare()
        try:
            async with one_state(self._pool) as conn:
                totals, now = await read_totals(conn), await waiting_now(conn, units=self._units)
            if fallen(self._told, totals):
                await keep_counted(self._pool, self._told)
        except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            logger.warning("Metrics without database", extra={"action": "metrics_bare", "error": type(error).__name__})
            return _bare()
        for key, value in self._told.items():
            totals[key] = max(value, totals.get(key, 0.0))
        self._told = totals
        return generate_latest(_registry([_database(is_up=True), *_of_the_process(), *_families(totals, now)]))


def _bare() -> bytes:
    return generate_latest(_registry([_database(is_up=False), *_of_the_process()]))


def _families(totals: Totals, now: Now) -> Iterator[Metric]:
    by_name: dict[str, dict[Labels, float]] = {}
    for (name, labels), value in totals.items():
        by_name.setdefault(name, {})[labels] = value
    for measure in MEASURES:
        for zero in measure.zeros:
            for name, labels in samples_of(measure, zero):
                by_name.setdefault(name, {}).setdefault(labels, 0.0)
        yield _counted(Metric(measure.name, measure.help, measure.kind), by_name)
    for family in own_families():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                by_name.setdefault(sample.name, {}).setdefault(tuple(sorted(sample.labels.items())), 0.0)
        yield _counted(Metric(family.name, family.documentation, family.type), by_name)
    for reading in READINGS:
        gauge = Metric(reading.name, reading.help, "gauge")
        for labels, value in sorted(now[reading.name].items()):
            gauge.add_sample(reading.name, dict(labels), value)
        yield gauge


def _counted(family: Metric, by_name: dict[str, dict[Labels, float]]) -> Metric:
    suffixes = ("_total",) if family.type == "counter" else ("_bucket", "_count", "_sum")
    for suffix in suffixes:
        name = family.name + suffix
        for labels, value in sorted(by_name.get(name, {}).items(), key=_in_order):
            family.add_sample(name, dict(labels), value)
    return family


def _in_order(item: tuple[Labels, float]) -> tuple[Labels, float]:
    """Order buckets by their bound and not by its letters."""
    labels, _ = item
    bound = next((float(value) for name, value in labels if name == "le"), 0.0)
    return tuple(label for label in labels if label[0] != "le"), bound


def _database(*, is_up: bool) -> Metric:
    gauge = Metric(
        "kefu_database_up", "Whether the database answers; without it most other numbers are missing", "gauge"
    )
    gauge.add_sample(gauge.name, {}, float(is_up))
    return gauge


def _of_the_process() -> list[Metric]:
    return [family for family in REGISTRY.collect() if not family.name.startswith(PREFIX)]


def _registry(families: Iterable[Metric]) -> CollectorRegistry:
    kept = list(families)

    class Collected:
        def collect(self) -> list[Metric]:
            return kept

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return registry


@contextlib.asynccontextmanager
async def open_exposition(pool: Pool, *, units: int, zone: tzinfo = UTC) -> AsyncIterator[Exposition]:
    """Add what this process counts to the totals while the block runs, and once more at its end."""
    counters = OwnCounters(pool, zone=zone)
    ended = asyncio.Event()
    flushing = asyncio.create_task(_keep_flushing(counters, ended))
    try:
        yield Exposition(pool, counters, units=units)
    finally:
        # Not cancelled: nobody could tell whether what it was adding was added.
        ended.set()
        await flushing
        await counters.flush()


async def _keep_flushing(counters: OwnCounters, ended: asyncio.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await ended.wait()
        await counters.flush()
