"""The queue's jobs about campaigns; the tables say what is to be done, so a job that is lost costs a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from api.customers import Customers
from api.database import Pool
from api.job_queue import DESK, JobQueue
from api.outbox import DurableOutbox
from api.outreach.gate import Gate
from api.outreach.law import Law
from api.outreach.looking import Looking
from api.outreach.quiet import QuietHours
from api.outreach.running import Runner
from api.outreach.staff_tasks import StaffTasks
from api.settings import Settings
from tools.wecom.channel import WecomChannel
from tools.wecom.contacts import WecomContacts
from tools.wecom.outreach import StaffMessages


@dataclass(frozen=True, slots=True, kw_only=True)
class Outreach:
    """Everything about campaigns in one process."""

    runner: Runner
    gate: Gate
    looking: Looking | None
    """None: WeCom is not configured."""

    def register(self, queue: JobQueue) -> None:
        """Tell the queue which function does which job."""
        # Not among the fast ones: a round may last, and nobody waits for it.
        for name, cron, job in (("outreach", "* * * * *", self.run), ("outreach_look", "* * * * * */20", self.look)):
            queue.app.periodic(cron=cron)(queue.app.task(name=name, queue=DESK, queueing_lock=name, lock=name)(job))

    async def run(self, timestamp: int = 0) -> None:
        """Carry out what was approved and is due."""
        del timestamp
        await self.runner.run()

    async def look(self, timestamp: int = 0) -> None:
        """Ask what became of messages that staff confirm."""
        del timestamp
        if self.looking is not None:
            await self.looking.look()


def make_law(settings: Settings) -> Law:
    """Build the rules as the operator set them."""
    outreach = settings.outreach
    return Law(
        quiet=QuietHours.parse(outreach.kefu_outreach_quiet, settings.handoff.kefu_timezone),
        per_month=outreach.kefu_outreach_per_month,
        limits=WecomChannel.limits,
    )


def make_outreach(
    settings: Settings,
    pool: Pool,
    outbox: DurableOutbox,
    customers: Customers,
    contacts: WecomContacts | None,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outreach:
    """Put the parts together."""
    law, company = make_law(settings), settings.welcome.kefu_company
    messages = StaffMessages(contacts) if contacts is not None else None
    staff = (
        StaffTasks(pool=pool, messages=messages, law=law, company=company, clock=clock)
        if messages is not None
        else None
    )
    return Outreach(
        runner=Runner(
            pool=pool, outbox=outbox, customers=customers, law=law, company=company, staff=staff, clock=clock
        ),
        gate=Gate(pool=pool, law=law, clock=clock),
        looking=Looking(pool=pool, messages=messages, clock=clock) if messages is not None else None,
    )
