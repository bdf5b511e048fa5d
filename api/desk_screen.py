"""Showing things at the desk: where, what, and whose turn it is."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from api import desk_tickets
from api.customers import Customers
from api.database import Pool
from api.deliveries import Deliveries, Delivery
from tools.errors import DeskError, DeskUnavailableError, TopicGoneError
from tools.messages import DeskLabel, DeskPlace, DeskPost
from tools.ports import Desk

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskScreen:
    """The desk, with what has to be known to show something there."""

    pool: Pool
    desk: Desk
    deliveries: Deliveries
    customers: Customers

    async def show(self, delivery: Delivery) -> None:
        """Show one thing where its conversation lives; a place that was deleted is made anew."""
        post, known = await self.deliveries.desk_post(delivery, await self.customers.name(delivery.thread_id))
        place = await self._place(post, known)
        if post.kind == "sent":
            await self.desk.mark(post, place)
            await self.deliveries.mark_sent(delivery)
            return
        try:
            message_id = await self.desk.post(post, place)
        except TopicGoneError:
            place = await self._place(post, None)
            message_id = await self.desk.post(post, place)
        await self.deliveries.mark_sent(delivery, (place.chat_id, message_id))

    async def label(self, thread_id: str) -> None:
        """Make the place say whose turn it is, unless it does."""
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                "select chat_id, topic_id, label, customer_name from desk_places join conversations using (thread_id)"
                " where thread_id = %s",
                (thread_id,),
            )
            known = await cursor.fetchone()
            wanted = await desk_tickets.label_of(conn, thread_id)
        if known is None or known["topic_id"] is None:
            return
        # Not asked of the channel: a name that comes to be known later is shown then.
        name = known["customer_name"]
        if known["label"] == _key(wanted, name):
            return
        place = DeskPlace(chat_id=known["chat_id"], topic_id=known["topic_id"])
        post = DeskPost(kind="notice", thread_id=thread_id, customer_name=name, text="", label=wanted)
        try:
            await self.desk.label(post, place)
        except DeskUnavailableError:
            raise
        except DeskError as error:
            # Only a name: nothing waits for it.
            logger.warning("Place not labelled", extra={"action": "desk_label_failed", "error": str(error)})
            return
        await self._record_label(thread_id, place, _key(wanted, name))

    async def _place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        place = await self.desk.place(post, known)
        if place != known:
            await self.deliveries.record_place(post.thread_id, place)
            await self._record_label(post.thread_id, place, _key(post.label, post.customer_name))
        return place

    async def _record_label(self, thread_id: str, place: DeskPlace, key: str) -> None:
        async with self.pool.connection() as conn:
            await conn.execute(
                "update desk_places set label = %s where thread_id = %s and topic_id is not distinct from %s",
                (key, thread_id, place.topic_id),
            )


def _key(label: DeskLabel, name: str) -> str:
    return f"{label.status}:{label.is_muted:d}{label.is_closed:d}:{label.holder}:{name}"
