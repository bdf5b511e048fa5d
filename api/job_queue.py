"""The durable queue: which jobs exist, what orders them, and how to add one inside a transaction.

procrastinate on the same PostgreSQL, so that a row and its job commit together, and because its `lock` gives order per
conversation. No `queueing_lock` on anything that may be retried: a retry beside a newer job would kill the lock.
"""

from __future__ import annotations

from typing import Literal

from procrastinate import App, PsycopgConnector

from api.database import Connection

FAST = "fast"
"""Pulls, welcomes, deliveries to customers, housekeeping: short jobs that must never wait behind a model."""
DESK = "desk"
"""Deliveries to the desk: a desk that hangs must hold up nobody but itself."""
TURNS = "turns"
"""Turns: may take as long as a model takes."""

DESK_PRIORITY = 10
"""A person's reply overtakes customers' turns."""
PULL_PRIORITY = 50
"""What customers wrote is read before more is sent."""
DRAFT_PRIORITY = -10
"""Customers' turns overtake drafts of entries."""
WELCOME_PRIORITY = 100
"""Codes that die after 20 seconds go first (WeCom doc 95122)."""

DraftTask = Literal["show_draft", "decide_draft"]


class JobQueue:
    """Adds jobs; `api.jobs` says what they do."""

    def __init__(self) -> None:
        self.app = App(connector=PsycopgConnector())

    async def pull(self, conn: Connection, account_id: str, *, token: str = "") -> None:
        """Fetch what customers wrote to an account."""
        job = self.app.configure_task(
            "pull", queue=FAST, lock=f"pull:{account_id}", priority=PULL_PRIORITY, connection=conn
        )
        await job.defer_async(account_id=account_id, token=token)

    async def turn(self, conn: Connection, thread_id: str, *, priority: int = 0, delay: float = 0) -> None:
        """Handle everything unhandled of a conversation, `delay` seconds from now."""
        job = self.app.configure_task(
            "turn",
            queue=TURNS,
            lock=f"turn:{thread_id}",
            priority=priority,
            schedule_in={"seconds": delay} if delay else None,
            connection=conn,
        )
        await job.defer_async(thread_id=thread_id)

    async def deliver(self, conn: Connection, thread_id: str, destination: str) -> None:
        """Send what waits in a conversation's outbox."""
        lock = f"{destination}:{thread_id}"
        lane = FAST if destination == "customer" else DESK
        job = self.app.configure_task("deliver", queue=lane, lock=lock, connection=conn)
        await job.defer_async(thread_id=thread_id, destination=destination)

    async def draft(self, conn: Connection, task: DraftTask, draft_id: int, thread_id: str, occasion: str) -> None:
        """Show a draft at the desk, or do what was decided there; once for each occasion."""
        job = self.app.configure_task(
            task, queue=TURNS, lock=f"draft:{draft_id}", priority=DRAFT_PRIORITY, connection=conn
        )
        await job.defer_async(draft_id=draft_id, thread_id=thread_id, occasion=occasion)

    async def welcome(self, conn: Connection, inbox_id: int) -> None:
        """Greet a customer who just entered, while the code lives."""
        job = self.app.configure_task("welcome", queue=FAST, priority=WELCOME_PRIORITY, connection=conn)
        await job.defer_async(inbox_id=inbox_id)
