"""Which message a log line is about: its ids, bound where they are known and carried to everything done for it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from procrastinate import JobContext
from procrastinate.worker import Worker
from structlog.contextvars import bound_contextvars

CARRIED = ("account_id", "thread_id", "destination", "inbox_id", "draft_id")
"""Arguments of jobs that are ids; others may be secrets."""


@contextlib.contextmanager
def following(**ids: object) -> Iterator[None]:
    """Put these ids on every log line that is written while the block runs."""
    with bound_contextvars(**ids):
        yield


async def follow_job(call_next: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
    """Put a job's ids on every log line of it; a middleware of the queue's worker."""
    del worker
    job = context.job
    ids = {name: job.task_kwargs[name] for name in CARRIED if name in job.task_kwargs}
    with following(job=job.task_name, job_id=job.id, **ids):
        return await call_next()
