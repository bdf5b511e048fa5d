"""What is done again and again, whatever anybody writes: jobs of the queue by the clock."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from procrastinate import App, JobContext
from procrastinate.jobs import Status

from api.channels import Channels
from api.database import Pool
from api.desk.timers import HandoffTimers
from api.desk.turns import wake_snoozed
from api.greetings import Greetings
from api.inbox import Inbox
from api.job_queue import FAST, JobQueue
from api.outbox import DurableOutbox
from graph.context import Texts
from kb.errors import KbError
from tools.errors import ChannelError

logger = logging.getLogger(__name__)

STALLED_AFTER = 10
"""Seconds without a heartbeat after which a worker counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """The periodic jobs; each may be late or run twice."""

    pool: Pool
    queue: JobQueue
    inbox: Inbox
    outbox: DurableOutbox
    channels: Channels
    texts: Texts
    timers: HandoffTimers
    greetings: Greetings
    embed_waiting: Callable[[], Awaitable[int]]
    run_retention: Callable[[], Awaitable[object]]
    keep_calibrated: Callable[[], Awaitable[bool]]
    settle: Callable[[], Awaitable[None]]
    """Counts what is finished once and for all."""
    refresh_callback_addresses: Callable[[], Awaitable[None]]
    """Asks WeCom from where it calls back, when that is due."""

    def register(self, app: App) -> None:
        """Tell the queue when to do what."""
        # Six fields: the last one is the seconds.
        periodic: list[tuple[str, str, Callable[..., Awaitable[None]]]] = [
            ("reconcile", "* * * * *", self.reconcile),
            ("embed", "* * * * * */2", self.embed),
            ("sweep", "* * * * * */30", self.sweep),
            ("greeting", "* * * * * */30", self.greeting),
            ("handoffs", "* * * * * */10", self.handoffs),
            ("calibrate", "* * * * * */10", self.calibrate),
            ("retention", "17 3 * * *", self.retention),
            ("settle_metrics", "* * * * *", self.settle_metrics),
            # Every minute, so that what failed is tried again; WeCom is asked once a day.
            ("callback_addresses", "* * * * *", self.callback_addresses),
        ]
        for name, cron, job in periodic:
            app.periodic(cron=cron)(app.task(name=name, queue=FAST, queueing_lock=name)(job))
        app.periodic(cron="* * * * * */5")(
            app.task(name="reap", queue=FAST, queueing_lock="reap", pass_context=True)(self.reap)
        )

    async def greeting(self, timestamp: int = 0) -> None:
        """Make ready what greetings offer."""
        del timestamp
        await self.greetings.refresh()

    async def reconcile(self, timestamp: int = 0) -> None:
        """Pull every account once more: callbacks get lost (WeCom doc 90930)."""
        del timestamp
        try:
            account_ids = list(await self.channels.pulled.account_ids())
        except ChannelError as error:
            logger.warning("Accounts not listed", extra={"action": "accounts_failed", "error": str(error)})
            account_ids = []
        async with self.pool.connection() as conn:
            known = await (await conn.execute("select account_id from accounts")).fetchall()
            wanted = dict.fromkeys([*account_ids, *(row["account_id"] for row in known)])
            waiting = await (
                await conn.execute("select lock from procrastinate_jobs where task_name = 'pull' and status = 'todo'")
            ).fetchall()
            for account_id in wanted.keys() - {row["lock"].removeprefix("pull:") for row in waiting}:
                await self.queue.pull(conn, account_id)

    async def embed(self, timestamp: int = 0) -> None:
        """Give rows that a person inserted by SQL their embedding."""
        del timestamp
        try:
            await self.embed_waiting()
        except KbError as error:
            logger.warning("Rows wait for their embedding", extra={"action": "embed_failed", "error": str(error)})

    async def calibrate(self, timestamp: int = 0) -> None:
        """Fit the confidence anew when the knowledge base changed."""
        del timestamp
        try:
            await self.keep_calibrated()
        except KbError as error:
            logger.warning("Confidence not fitted", extra={"action": "calibrate_failed", "error": str(error)})

    async def retention(self, timestamp: int = 0) -> None:
        """Delete what is old, once a night."""
        del timestamp
        await self.run_retention()

    async def settle_metrics(self, timestamp: int = 0) -> None:
        """Count what is finished, before it is deleted some day."""
        del timestamp
        await self.settle()

    async def callback_addresses(self, timestamp: int = 0) -> None:
        """Ask WeCom from where it calls back, once a day."""
        del timestamp
        await self.refresh_callback_addresses()

    async def sweep(self, timestamp: int = 0) -> None:
        """Add jobs for rows whose job was lost."""
        del timestamp
        await self.inbox.requeue_stranded()
        await wake_snoozed(self.pool, self.outbox, self.texts)

    async def handoffs(self, timestamp: int = 0) -> None:
        """Remind of tickets that nobody answers, and do what else is due about them."""
        del timestamp
        await self.timers.run(datetime.now(UTC))

    async def reap(self, context: JobContext, timestamp: int = 0) -> None:
        """Take over the jobs of dead workers."""
        del timestamp
        manager = context.app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
            logger.warning("Job taken over", extra={"action": "job_reaped", "job_id": job.id, "task": job.task_name})
            if job.queueing_lock is None:
                await manager.retry_job(job)
            else:
                # A periodic one: the next is queued already, and a retry beside it would violate its queueing lock.
                await manager.finish_job(job, Status.FAILED, delete_job=True)
