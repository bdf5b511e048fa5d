"""What the queue's jobs do, each in a few lines over the inbox, the conversation and the outbox."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
import psycopg_pool

from api.accounts import Accounts
from api.backoff import Backoff
from api.channels import Channels
from api.customers import Customers
from api.database import Pool, thread_lock
from api.deliverer import Deliverer
from api.deliveries import Deliveries
from api.desk import tickets as desk_tickets
from api.desk.desks import Desks
from api.desk.marks import Lost, tell_undelivered
from api.desk.reviews import DeskReviews
from api.desk.timers import HandoffTimers
from api.desk.turns import DeskTurns, TryQuestion
from api.friends.jobs import Friends
from api.greetings import Greetings
from api.housekeeping import Housekeeping
from api.inbox import MAX_ATTEMPTS, Batch, Inbox, NotYet
from api.job_queue import FAST, TURNS, JobQueue
from api.observability.following import following_turn
from api.outbox import Destination, DurableOutbox
from api.outreach.answering import answer_consents
from api.outreach.jobs import Outreach
from api.transcripts import Transcripts
from graph.context import Texts
from graph.conversation import Conversation, CustomerLine, HandOver
from kb.errors import IndexUnavailableError
from tools.errors import OvertakenError
from tools.messages import HumanReply
from tools.rate_limit import RateLimiter

logger = logging.getLogger(__name__)

OUTAGES = (psycopg.OperationalError, psycopg_pool.PoolTimeout, IndexUnavailableError)
"""The database is away or full: no reason to give a message up."""

PULL_WAIT = 5
"""Seconds between two attempts of a pull at most: newer pulls wait behind it, with codes that live 20 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The jobs, bound to the objects they work with."""

    pool: Pool
    queue: JobQueue
    inbox: Inbox
    outbox: DurableOutbox
    deliveries: Deliveries
    conversation: Conversation
    channels: Channels
    desks: Desks
    customers: Customers
    texts: Texts
    limiter: RateLimiter
    timers: HandoffTimers
    greetings: Greetings
    housekeeping: Housekeeping
    friends: Friends | None = None
    """None: WeCom is not configured."""
    outreach: Outreach | None = None
    """None: campaigns rest."""
    try_question: TryQuestion | None = None
    """What people at the desk search with."""
    reviews: DeskReviews | None = None
    """Shows drafts at the desk."""
    transcripts: Transcripts | None = None
    """What voice messages say and pictures show."""
    accounts: Accounts = field(default_factory=Accounts)
    own_conversations: Mapping[str, Conversation] = field(default_factory=dict)
    """Those of accounts that differ, by the entry's name."""

    def register(self) -> None:
        """Tell the queue which function does which job."""
        app = self.queue.app
        app.task(name="pull", queue=FAST, retry=Backoff(PULL_WAIT))(self.pull)
        app.task(name="turn", queue=TURNS, retry=Backoff())(self.turn)
        app.task(name="deliver", queue=FAST, retry=Backoff())(self.deliver)
        app.task(name="welcome", queue=FAST)(self.welcome)
        if self.friends is not None:
            self.friends.register(self.queue)
        if self.outreach is not None:
            self.outreach.register(self.queue)
        self.housekeeping.register(app)
        if self.reviews is not None:
            self.reviews.register(app)

    async def pull(self, account_id: str, token: str) -> None:
        """Fetch every page of an account; the cursor moves with the rows."""
        cursor = await self.inbox.cursor(account_id)
        while True:
            page = await self.channels.pulled.pull(account_id, cursor=cursor, token=token)
            await self.inbox.store_page(account_id, page, now=datetime.now(UTC))
            if page.messages:
                ids = [message.message_id for message in page.messages]
                logger.info(
                    "Page stored", extra={"action": "page_stored", "account_id": account_id, "message_ids": ids}
                )
            if not page.has_more:
                return
            if page.next_cursor == cursor:
                logger.warning("Cursor does not move", extra={"action": "pull_stuck", "account_id": account_id})
                return
            cursor = page.next_cursor

    async def turn(self, thread_id: str) -> None:
        """Handle everything unhandled of a conversation, turn by turn."""
        async with thread_lock(self.pool, thread_id):
            while (batch := await self.inbox.next_batch(thread_id)) is not None:
                if isinstance(batch, NotYet):
                    async with self.pool.connection() as conn:
                        await self.queue.turn(conn, thread_id, delay=batch.seconds)
                    return
                try:
                    with following_turn(batch):
                        await self._handle(batch)
                except OvertakenError:
                    logger.info("Turn begun anew", extra={"action": "turn_overtaken", "turn_id": batch.turn_id})
                    await self.inbox.reopen(batch)
                except OUTAGES:
                    # The message is not to blame; when even this cannot be written, one attempt is lost.
                    with contextlib.suppress(psycopg.Error, psycopg_pool.PoolTimeout):
                        await self.inbox.forgive(batch)
                    raise

    async def _handle(self, batch: Batch) -> None:
        if batch.attempts >= MAX_ATTEMPTS:
            await self._give_up(batch)
            return
        if batch.origin == "customer":
            await self._customer_turn(batch)
        elif batch.origin == "desk":
            await self._desk_turn(batch)
        elif batch.origin == "staff":
            text = batch.rows[0].text
            await self._conversation(batch.thread_id).person_spoke(
                batch.thread_id, batch.turn_id, text, speaker="staff"
            )
        elif batch.origin == "timer":
            await self._take_over(batch)
        elif batch.rows[0].kind == "session_status_change":
            await self._staff_finished(batch)
        else:
            await self._tell_undelivered(batch)
        await self.inbox.mark_handled(batch, "handled")

    def _conversation(self, thread_id: str) -> Conversation:
        account = self.accounts.of(thread_id)
        return self.own_conversations[account.name] if account else self.conversation

    async def _customer_turn(self, batch: Batch) -> None:
        if await self.inbox.session(batch.thread_id) in {"queued", "staff"}:
            # Somebody answers in the channel's own client: the bot only listens.
            await self._conversation(batch.thread_id).listen(batch.thread_id, batch.turn_id, _lines(batch))
            return
        batch = await answer_consents(self.pool, self.outbox, self.texts, batch)
        if not batch.rows:
            return
        allowed = [await self.limiter.allow(batch.thread_id) for _ in batch.rows]
        if self.transcripts is not None and all(allowed):
            batch = await self.transcripts.read(batch)
        async with self.pool.connection() as conn:
            is_muted = await desk_tickets.is_muted(conn, batch.thread_id)
        if is_muted:
            await self._conversation(batch.thread_id).listen(batch.thread_id, batch.turn_id, _lines(batch))
            # Shown whether or not a ticket is open: nobody else answers.
            await self.outbox.relay(
                batch.thread_id, batch.turn_id, "relay", "\n".join(line.shown for line in _lines(batch))
            )
            return
        hand_over: HandOver | None = None if all(allowed) else "rate_limited"
        await self._conversation(batch.thread_id).customer_turn(
            batch.thread_id,
            batch.turn_id,
            _lines(batch),
            hand_over=hand_over,
            customer=await self.customers.about(batch.thread_id),
        )

    async def _tell_undelivered(self, batch: Batch) -> None:
        row = batch.rows[0]
        lost = await self.deliveries.mark_undelivered(row.payload["about"], row.text)
        if lost is not None:
            about = Lost(thread_id=batch.thread_id, key=row.payload["about"], error=row.text, text=lost)
            async with self.pool.connection() as conn, conn.transaction():
                await tell_undelivered(conn, self.outbox, self.texts, about, batch.turn_id)

    async def _staff_finished(self, batch: Batch) -> None:
        """End the wait of a ticket that was given to the staff in the channel's client, who have finished."""
        thread_id = batch.thread_id
        async with self.pool.connection() as conn:
            ticket_id = await desk_tickets.transferred(conn, thread_id)
        if ticket_id is None:
            return
        await self.outbox.notify_desk(thread_id, batch.turn_id, "staff_finished", self.texts.render("desk_staff_done"))
        # No word to the customer: the session is closed, and it is WeCom that says so (doc 94669).
        reply = HumanReply(reply_id=batch.turn_id, agent="kefu", action="resume", text="")
        await self._conversation(thread_id).human_reply(thread_id, reply, ticket_id=ticket_id)
        async with self.pool.connection() as conn:
            await desk_tickets.end_transferred(conn, ticket_id)

    async def _desk_turn(self, batch: Batch) -> None:
        turns = DeskTurns(
            pool=self.pool,
            outbox=self.outbox,
            conversation=self._conversation(batch.thread_id),
            texts=self.texts,
            try_question=self.try_question,
            channel=self.channels.of(batch.thread_id),
            deliveries=self.deliveries,
        )
        await turns.handle(batch)

    async def _take_over(self, batch: Batch) -> None:
        """Let the bot go on where nobody answers; whoever did so in the meantime keeps the conversation."""
        row, thread_id = batch.rows[0], batch.thread_id
        ticket_id = row.payload["ticket_id"]
        if not await self.timers.may_take_over(ticket_id, row.payload["acted_at"]):
            return
        await self.outbox.notify_desk(thread_id, batch.turn_id, "resumed", row.payload["note"])
        reply = HumanReply(reply_id=batch.turn_id, agent="kefu", action="resume", text=row.text)
        await self._conversation(thread_id).human_reply(thread_id, reply, ticket_id=ticket_id)
        # A wait that was lost (the desk was switched off in between) must not keep its ticket open for ever.
        await self.outbox.close_ticket(ticket_id)

    async def _give_up(self, batch: Batch) -> None:
        """Hand a turn that keeps failing to a person, so that the conversation goes on."""
        logger.error("Turn given up", extra={"action": "turn_failed", "turn_id": batch.turn_id})
        if batch.origin == "customer" and batch.attempts == MAX_ATTEMPTS:
            await self._conversation(batch.thread_id).customer_turn(
                batch.thread_id, batch.turn_id, _lines(batch), hand_over="failure"
            )
        text = self.texts.render("desk_failure", turn_id=batch.turn_id, text=batch.rows[0].text[:200])
        await self.outbox.notify_desk(batch.thread_id, batch.turn_id, "failure", text)
        await self.inbox.mark_handled(batch, "failed")

    async def deliver(self, thread_id: str, destination: Destination) -> None:
        """Send what waits, in order; a row that may succeed later holds the line."""
        deliverer = Deliverer(
            pool=self.pool,
            outbox=self.outbox,
            deliveries=self.deliveries,
            channels=self.channels,
            desks=self.desks,
            customers=self.customers,
            texts=self.texts,
            first_desk=self.accounts.desk,
            campaigns=self.outreach.gate if self.outreach else None,
        )
        await deliverer.deliver(thread_id, destination)

    async def welcome(self, inbox_id: int) -> None:
        """Greet a customer who just entered, while the code lives."""
        await self.greetings.greet(inbox_id)


def _lines(batch: Batch) -> list[CustomerLine]:
    return [
        CustomerLine(message_id=row.message_id, kind=row.kind, text=row.text, choice=row.choice, words=row.words)
        for row in batch.rows
    ]
