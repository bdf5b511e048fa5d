"""Showing things at the desk: where, what, and whose turn it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from api.customers import Customers
from api.database import Pool, personal
from api.deliveries import Deliveries, Delivery
from api.desk import tickets as desk_tickets
from api.desk.buttons import ON_A_CARD, ticket_buttons
from api.desk.desks import Desks, gives_up
from api.desk.farewell import Move, say_it_left
from api.desk.files import DeskFiles
from api.outbox import DurableOutbox
from tools.errors import DeskError, DeskUnavailableError, TopicGoneError
from tools.messages import DeskLabel, DeskName, DeskPlace, DeskPost
from tools.ports import Desk

logger = logging.getLogger(__name__)

FirstDesk = Callable[[str], DeskName | None]
"""Names the desk that is asked first about a conversation; None: the usual one."""


def no_wish(thread_id: str) -> DeskName | None:
    """Leave every conversation to the usual order."""
    del thread_id
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskScreen:
    """The desks, with what has to be known to show something there."""

    pool: Pool
    outbox: DurableOutbox
    desks: Desks
    deliveries: Deliveries
    customers: Customers
    files: DeskFiles
    first_desk: FirstDesk = no_wish

    async def show(self, delivery: Delivery) -> None:
        """Show one thing where its conversation lives; when that desk fails, at the next one, which has it then.

        An answer goes to the desk it was asked at, as long as that one takes it.
        """
        post, known = await self._made(delivery)
        if delivery.media is not None:
            post = await self.files.fetched(post, delivery.media, attempts=delivery.attempts)
        asked = DeskPlace(**at) if (at := delivery.payload.get("at")) else None
        if delivery.payload.get("is_farewell"):
            await self._farewell(delivery, post, asked, known)
            return
        if asked is not None and (known is None or asked.desk != known.desk):
            if await self._answer(delivery, post, asked):
                return
            post = replace(post, reply_to=None)
        await self._show_in_turn(delivery, post, asked, known)

    async def _made(self, delivery: Delivery) -> tuple[DeskPost, DeskPlace | None]:
        post, known = await self.deliveries.desk_post(delivery, await self.customers.name(delivery.thread_id))
        if (ticket := post.handoff) is not None:
            buttons = ticket_buttons(self.files.texts, ON_A_CARD, ticket.ticket_id, has_draft=bool(ticket.draft))
            post = replace(post, buttons=buttons)
        return post, known

    async def _show_in_turn(
        self, delivery: Delivery, post: DeskPost, asked: DeskPlace | None, known: DeskPlace | None
    ) -> None:
        """Show it at the first desk that takes it, in the order that holds for this conversation."""
        names = self.desks.starting_with(await self._first(delivery, post, known))
        for number, name in enumerate(names):
            # A message there is no message here, even one of the same number.
            fitting = post if asked is None or asked.desk == name else replace(post, reply_to=None)
            try:
                await self._show_at(delivery, fitting, name, known)
            except DeskError as error:
                if not gives_up(error, delivery.attempts):
                    raise
                await self._pass_on(delivery, name, error)
                if number == len(names) - 1:
                    raise
            else:
                if known is not None and known.desk not in names[: number + 1] and post.handoff is None:
                    await self._say_it_left(delivery, known, name)
                return

    async def _say_it_left(self, delivery: Delivery, left: DeskPlace, name: DeskName) -> None:
        move = Move(thread_id=delivery.thread_id, occasion=delivery.key, left=left, to=name)
        async with self.pool.connection() as conn, conn.transaction():
            await say_it_left(conn, self.outbox, self.files.texts, move)

    async def _farewell(
        self, delivery: Delivery, post: DeskPost, left: DeskPlace | None, known: DeskPlace | None
    ) -> None:
        """Tell a desk that a conversation has left it, once: whoever works at another one must not wait for that."""
        if left is not None and known is not None and left.desk != known.desk:
            try:
                if await self._answer(delivery, post, left):
                    return
            except DeskError as error:
                logger.warning("A desk was not told", extra={"action": "desk_farewell_failed", "error": str(error)})
        await self.deliveries.mark_sent(delivery)

    async def _answer(self, delivery: Delivery, post: DeskPost, place: DeskPlace) -> bool:
        """Show an answer where it was asked for; False when nobody can be told there any more."""
        desk = self.desks.desks.get(place.desk)
        if desk is None:
            return False
        try:
            message_id = await self._post(desk, post, place, delivery.attempts)
        except TopicGoneError:
            return False
        except DeskError as error:
            if not gives_up(error, delivery.attempts):
                raise
            return False
        await self._record_sent(delivery, place, message_id)
        return True

    async def _first(self, delivery: Delivery, post: DeskPost, known: DeskPlace | None) -> DeskName | None:
        """Name the desk tried first: a ticket begins anew with the order, or where its rule or its account wants it."""
        if post.handoff is not None:
            return post.handoff.channel or self.first_desk(delivery.thread_id)
        wanted: DeskName | None = delivery.payload.get("move_to")
        is_free = wanted is not None and post.label.status == "waiting"
        return wanted if is_free else known.desk if known else None

    async def _pass_on(self, delivery: Delivery, name: DeskName, error: DeskError) -> None:
        """Tell the groups that come after a desk which fails."""
        logger.warning("A desk fails", extra={"action": "desk_failed", "desk": name, "error": str(error)})
        async with self.pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "select ticket_id from tickets where thread_id = %s and closed_at is null", (delivery.thread_id,)
            )
            ticket = await cursor.fetchone()
            if ticket is None:
                return
            for group in self.desks.groups_after(name):
                await self.outbox.tell_group(conn, delivery.thread_id, ticket["ticket_id"], group)

    async def _show_at(self, delivery: Delivery, post: DeskPost, name: DeskName, known: DeskPlace | None) -> None:
        desk = self.desks.desks[name]
        place = await self._place(desk, post, _at(name, known), known)
        try:
            await self._card_first(desk, delivery, place)
            message_id = await self._post(desk, post, place, delivery.attempts)
        except TopicGoneError:
            place = await self._place(desk, post, None, known)
            await self._card_first(desk, delivery, place, is_new=True)
            message_id = await self._post(desk, post, place, delivery.attempts)
        if post.handoff is not None:
            await self._record_card(post.handoff.ticket_id, place)
        await self._record_sent(delivery, place, message_id)

    async def _post(self, desk: Desk, post: DeskPost, place: DeskPlace, attempts: int) -> int | None:
        if post.kind == "sent":
            await desk.mark(post, place)
            return None
        return await self.files.post(desk, post, place, attempts=attempts)

    async def _card_first(self, desk: Desk, delivery: Delivery, place: DeskPlace, *, is_new: bool = False) -> None:
        """Show the open ticket's card before anything else at a desk that does not have it, or in an empty place."""
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                "select t.ticket_id, o.payload from tickets t join outbox o on o.turn_id = t.ticket_id"
                " and o.destination = 'desk' and o.part = 'card.0' and o.payload ? 'handoff'"
                " where t.thread_id = %s and t.closed_at is null and (t.card_desk <> %s or %s)",
                (delivery.thread_id, place.desk, is_new),
            )
            row = await cursor.fetchone()
        if row is None or "handoff" in delivery.payload:
            return
        card, _ = await self._made(replace(delivery, key=f"{delivery.key}-card", payload=row["payload"]))
        message_id = await desk.post(card, place)
        await self._record_card(row["ticket_id"], place)
        if place.desk == "telegram":
            async with self.pool.connection() as conn:
                await conn.execute(
                    "insert into desk_messages (chat_id, message_id, thread_id) values (%s, %s, %s)"
                    " on conflict do nothing",
                    (place.chat_id, message_id, delivery.thread_id),
                )

    async def _record_card(self, ticket_id: str, place: DeskPlace) -> None:
        async with self.pool.connection() as conn:
            await conn.execute("update tickets set card_desk = %s where ticket_id = %s", (place.desk, ticket_id))

    async def _record_sent(self, delivery: Delivery, place: DeskPlace, message_id: int | None) -> None:
        # Only Telegram's messages can be replied to.
        is_named = place.desk == "telegram" and message_id is not None
        await self.deliveries.mark_sent(delivery, (place.chat_id, message_id or 0) if is_named else None)

    async def label(self, thread_id: str) -> None:
        """Make the topic on Telegram say whose turn it is, unless it does."""
        desk = self.desks.desks.get("telegram")
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                "select chat_id, topic_id, desk, label, customer_name from desk_places join conversations"
                " using (thread_id) where thread_id = %s",
                (thread_id,),
            )
            known = await cursor.fetchone()
            wanted = await desk_tickets.label_of(conn, thread_id)
        if desk is None or known is None or known["topic_id"] is None:
            return
        # Not asked of the channel: a name that comes to be known later is shown then.
        name = known["customer_name"]
        if known["label"] == _key(wanted, name):
            return
        place = DeskPlace(chat_id=known["chat_id"], topic_id=known["topic_id"])
        post = DeskPost(kind="notice", thread_id=thread_id, customer_name=name, text="", label=wanted)
        try:
            await desk.label(post, place)
        except DeskError as error:
            if isinstance(error, DeskUnavailableError) and known["desk"] == "telegram":
                raise
            # Only a name: nothing waits for it.
            logger.warning("Place not labelled", extra={"action": "desk_label_failed", "error": str(error)})
            return
        await self._record_label(thread_id, place, _key(wanted, name))

    async def _place(self, desk: Desk, post: DeskPost, known: DeskPlace | None, current: DeskPlace | None) -> DeskPlace:
        """Make a place ready at a desk; `known` is the one it had there, `current` where it is shown now."""
        place = await desk.place(post, known)
        if place != current:
            await self.deliveries.record_place(post.thread_id, place)
        if place != known and place.desk == "telegram":
            await self._record_label(post.thread_id, place, _key(post.label, post.customer_name))
        return place

    async def _record_label(self, thread_id: str, place: DeskPlace, key: str) -> None:
        async with self.pool.connection() as conn:
            await conn.execute(
                "update desk_places set label = %s where thread_id = %s and topic_id is not distinct from %s",
                (personal(key), thread_id, place.topic_id),
            )


def _at(name: DeskName, known: DeskPlace | None) -> DeskPlace | None:
    """Return the place a conversation has at a desk; the one on Telegram is kept while it is shown elsewhere."""
    if known is None or (name == "telegram" and known.chat_id == 0):
        return None
    return replace(known, desk=name)


def _key(label: DeskLabel, name: str) -> str:
    return f"{label.status}:{label.is_muted:d}{label.is_closed:d}:{label.holder}:{name}"
