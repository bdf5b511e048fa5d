"""Runs the queue's jobs in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from api.housekeeping import STALLED_AFTER
from api.job_queue import DESK, FAST, TURNS
from api.lifespan import Services
from api.observability.following import follow_job

logger = logging.getLogger(__name__)

START_SECONDS = 1
"""How long a worker is given to start before it may be stopped."""

RESTART_SECONDS = 2

GRACE_SECONDS = 15
"""How long running jobs may take to finish on a stop."""

DESK_SLOTS = 4
"""Posts to the desk at once; Telegram takes 20 a minute in a group."""

POLL_SECONDS = 0.1
"""The next job of a busy lock starts only at a poll, so this is the pause between two turns of a conversation."""


async def run_worker(services: Services, *, concurrency: int) -> None:
    """Work until cancelled; running jobs are finished first.

    Three lanes, so that short jobs (pulls, welcomes, deliveries) wait neither behind turns that wait for a model nor
    behind a desk that hangs.
    """
    app = services.jobs.queue.app

    async def work(queue: str, slots: int) -> None:
        await app.run_worker_async(
            queues=[queue],
            name=queue,
            concurrency=slots,
            fetch_job_polling_interval=POLL_SECONDS,
            update_heartbeat_interval=2,
            stalled_worker_timeout=STALLED_AFTER,
            shutdown_graceful_timeout=GRACE_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
            worker_middleware=[follow_job],
        )

    async def reconcile_once() -> None:
        await services.jobs.housekeeping.reconcile()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(_keep(lambda: work(FAST, concurrency)))
        group.create_task(_keep(lambda: work(TURNS, concurrency)))
        group.create_task(_keep(lambda: work(DESK, DESK_SLOTS)))
        group.create_task(_keep(reconcile_once))
        intake = services.desk_intake
        if intake is not None and services.settings.telegram.telegram_mode == "polling":
            group.create_task(_keep(lambda: intake.poll(services.pool)))


async def _keep(run: Callable[[], Awaitable[None]]) -> None:
    """Start again what ended with an error: a database that restarts must not end the worker."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("Worker part failed, starting it again", extra={"action": "worker_restart"})
        await asyncio.sleep(RESTART_SECONDS)


@contextlib.asynccontextmanager
async def worker_beside(services: Services, *, concurrency: int) -> AsyncIterator[None]:
    """Run a worker while the block runs; nothing when `concurrency` is 0."""
    if concurrency == 0:
        yield
        return
    loop = asyncio.get_running_loop()
    started = loop.time()
    task = asyncio.create_task(run_worker(services, concurrency=concurrency))
    try:
        yield
    finally:
        # The queue's worker loses a cancellation that meets it while it starts, and then never ends.
        await asyncio.sleep(max(0.0, started + START_SECONDS - loop.time()))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
