"""What a command needs to carry campaigns out: the same parts as in a worker, opened and closed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from api.channels import open_channels
from api.customers import Customers
from api.database import Pool
from api.friends.jobs import make_contacts
from api.job_queue import JobQueue
from api.outbox import DurableOutbox
from api.outreach.jobs import Outreach, make_outreach
from api.settings import Settings


@contextlib.asynccontextmanager
async def open_outreach(settings: Settings, pool: Pool) -> AsyncIterator[Outreach]:
    """Open it; what goes out in 微信客服 is left to a worker as a job."""
    async with contextlib.AsyncExitStack() as stack:
        channels = (await open_channels(settings, None, stack)).channels
        queue = JobQueue()
        await stack.enter_async_context(queue.app.open_async(pool))
        contacts = None
        if settings.wecom.is_configured:
            contacts = await stack.enter_async_context(make_contacts(settings.wecom))
        # It writes for customers only, so it needs no desk.
        outbox = DurableOutbox(pool, queue, split=channels.split, has_desk=False)
        yield make_outreach(settings, pool, outbox, Customers(pool, channels), contacts)
