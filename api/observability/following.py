"""Which message a log line and a span are about: ids bound where they are known, carried to everything done for it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from procrastinate import JobContext
from procrastinate.worker import Worker
from structlog.contextvars import bound_contextvars

from api.deliveries import Delivery
from api.inbox import Batch
from api.observability.langsmith_traces import told_of
from api.observability.spans import Fact, span, turn_span

logger = logging.getLogger(__name__)

CARRIED = ("account_id", "thread_id", "destination", "inbox_id", "draft_id")
"""Arguments of jobs that are ids; others may be secrets."""

OF_A_TURN = frozenset({"turn", "deliver"})
"""Jobs whose spans are those of the turns they work on."""


@contextlib.contextmanager
def following_turn(batch: Batch) -> Iterator[None]:
    """Put a turn's ids on everything written while the block handles it, and log that it did."""
    begun = time.perf_counter()
    facts: dict[str, Fact] = {"thread_id": batch.thread_id, "origin": batch.origin, "attempts": batch.attempts + 1}
    with (
        bound_contextvars(turn_id=batch.turn_id),
        turn_span(batch.turn_id, facts, times=batch.times),
        told_of({"turn_id": batch.turn_id}),
    ):
        yield
        told = {
            "action": "turn_handled",
            "origin": batch.origin,
            "message_ids": [row.message_id for row in batch.rows],
            "ms": round((time.perf_counter() - begun) * 1000),
        }
        logger.info("Turn handled", extra=told)


@contextlib.contextmanager
def following_delivery(delivery: Delivery) -> Iterator[None]:
    """Put the ids of a message and of its turn on everything written while the block sends it."""
    facts: dict[str, Fact] = {
        "destination": delivery.destination,
        "message_key": delivery.key,
        "attempts": delivery.attempts + 1,
    }
    with (
        bound_contextvars(turn_id=delivery.turn_id, message_key=delivery.key),
        span("send", facts, of_turn=delivery.turn_id),
    ):
        yield


async def follow_job(call_next: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
    """Put a job's ids on every log line of it; a middleware of the queue's worker."""
    del worker
    job = context.job
    ids = {name: str(job.task_kwargs[name]) for name in CARRIED if name in job.task_kwargs}
    # What comes round every few seconds carries no ids.
    is_worth_a_span = bool(ids) and job.task_name not in OF_A_TURN
    timed = span(f"job {job.task_name}", ids) if is_worth_a_span else contextlib.nullcontext()
    with bound_contextvars(job=job.task_name, job_id=job.id, **ids), timed:
        return await call_next()
