"""The turns that people at the desk cause, and what time causes there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from api import media
from api.database import Pool
from api.deliveries import Deliveries
from api.desk import tickets as desk_tickets
from api.desk import words as desk_words
from api.inbox import Batch, InboxRow
from api.outbox import DurableOutbox, outbox_key
from graph.context import Texts
from graph.conversation import Conversation
from kb.chunks import Grade, Hit
from kb.errors import KbError
from tools.errors import ChannelError, ChannelSetupError
from tools.messages import HumanReply
from tools.ports import Channel
from tools.wecom.desk import AGENT_PREFIX

logger = logging.getLogger(__name__)

HITS = 5
"""Hits shown of a search at the desk."""

TO_CUSTOMER = frozenset({"text", "draft", "send", "confirm"})

TryQuestion = Callable[[str, int], Awaitable[tuple[Sequence[Hit], Grade]]]
"""Searches the knowledge base: the question, and how many hits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskTurns:
    """Handles what people at the desk did, under the conversation's lock."""

    pool: Pool
    outbox: DurableOutbox
    conversation: Conversation
    texts: Texts
    try_question: TryQuestion | None
    channel: Channel
    deliveries: Deliveries

    async def handle(self, batch: Batch) -> None:
        """Pass on what a person said, end the takeover, or look something up."""
        row = batch.rows[0]
        action = row.payload["action"]
        if action == "kb":
            await self._search(batch, row)
        elif action == "transfer":
            await self._transfer(batch, row)
        elif action in TO_CUSTOMER:
            await self._say(batch, row, action)
        else:
            await self._end(batch, row, action)

    async def _say(self, batch: Batch, row: InboxRow, action: str) -> None:
        thread_id = batch.thread_id
        text = media.words(row.payload)
        reply = HumanReply(reply_id=batch.turn_id, agent=row.payload["agent"], action="text", text=text)
        # A draft answers its own ticket; text typed under an older card is meant for the customer all the same.
        ticket_id = row.payload["ticket_id"] if action == "draft" else None
        if await self.conversation.human_reply(thread_id, reply, ticket_id=ticket_id):
            return
        await self.conversation.person_spoke(thread_id, batch.turn_id, text, speaker="human")
        async with self.pool.connection() as conn:
            if await desk_tickets.is_muted(conn, thread_id):
                return
        await self.outbox.notify_desk(thread_id, batch.turn_id, "not_waiting", self.texts.render("desk_not_waiting"))

    async def _end(self, batch: Batch, row: InboxRow, action: str) -> None:
        reply = HumanReply(
            reply_id=batch.turn_id,
            agent=row.payload["agent"],
            action="done" if action == "done" else "close",
            text=row.text,
        )
        did_end = await self.conversation.human_reply(batch.thread_id, reply, ticket_id=row.payload["ticket_id"])
        note = "desk_closed" if did_end else "desk_not_open"
        await self.outbox.notify_desk(batch.thread_id, batch.turn_id, "closed", self.texts.render(note))

    async def _transfer(self, batch: Batch, row: InboxRow) -> None:
        """Give the customer to the staff in the channel's own client; the bot only listens from then on."""
        by = row.payload.get("by") or {}
        staff_id = str(by.get("to", "")).removeprefix(AGENT_PREFIX) if by["at"]["desk"] == "wecom" else ""
        where = await self.deliveries.allowance(batch.thread_id)
        try:
            session = await self.channel.hand_to_staff(where.account_id, where.customer_id, staff_id)
        except ChannelError as error:
            if error.transient and not isinstance(error, ChannelSetupError):
                raise
            text = self.texts.render("desk_transfer_refused", reason=desk_words.transfer_refusal(error))
        else:
            name = "desk_transferred" if session == "staff" else "desk_transferred_queue"
            text = self.texts.render(name, agent=row.payload["agent"])
            async with self.pool.connection() as conn, conn.transaction():
                await desk_tickets.mark_transferred(conn, batch.thread_id)
            await self.deliveries.record_session(batch.thread_id, session)
        async with self.pool.connection() as conn, conn.transaction():
            await self.outbox.note(conn, batch.thread_id, batch.turn_id, "transfer", text, to=by)

    async def _search(self, batch: Batch, row: InboxRow) -> None:
        hits: Sequence[Hit] = ()
        try:
            if self.try_question is not None:
                hits, _ = await self.try_question(row.text, HITS)
            text = desk_words.found(self.texts, row.text, hits)
        except KbError as error:
            logger.warning("Not searched for the desk", extra={"action": "desk_kb_failed", "error": str(error)})
            text = self.texts.render("desk_kb_down")
        key = outbox_key(batch.turn_id, "desk", "kb.0")
        async with self.pool.connection() as conn, conn.transaction():
            await self.outbox.note(
                conn,
                batch.thread_id,
                batch.turn_id,
                "kb",
                text,
                reply_to=row.payload.get("message_id"),
                buttons=desk_words.send_buttons(self.texts, key, len(hits)),
                offers=[hit.answer for hit in hits],
                to=row.payload.get("by"),
            )


async def wake_snoozed(pool: Pool, outbox: DurableOutbox, texts: Texts) -> int:
    """Remind of the tickets that were put off until now; return how many."""
    async with pool.connection() as conn, conn.transaction():
        cursor = await conn.execute(
            "update tickets set snoozed_until = null where closed_at is null and snoozed_until <= now()"
            " returning ticket_id, thread_id"
        )
        rows = await cursor.fetchall()
        now = int(datetime.now(UTC).timestamp())
        for row in rows:
            await outbox.note(conn, row["thread_id"], row["ticket_id"], f"wake.{now}", texts.render("desk_awake"))
    return len(rows)
