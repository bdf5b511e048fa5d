"""Sending what waits: to the customer within what the channel allows, to the desk; what became of it is recorded."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Protocol

from api.channels import Channels
from api.customers import Customers
from api.database import Connection, Pool
from api.deliveries import Allowance, Deliveries, Delivery
from api.desk.desks import Desks
from api.desk.files import DeskFiles
from api.desk.group_notices import GroupNotices
from api.desk.marks import Lost, mark_delivered, tell_undelivered
from api.desk.screen import DeskScreen, FirstDesk, no_wish
from api.observability.counters import DUPLICATES
from api.observability.following import following_delivery
from api.outbox import Destination, DurableOutbox
from api.pace import paced
from graph.context import Texts
from tools.errors import (
    ChannelError,
    ChannelUnavailableError,
    DeskError,
    DuplicateMessageError,
    ReplyWindowClosedError,
    ToolError,
)
from tools.messages import File, Media

logger = logging.getLogger(__name__)

DELIVERY_ATTEMPTS = 20
"""How often a row may fail for a reason nobody foresaw before it leaves the line."""


FETCHES = 8
"""How often the desk is asked for a file that a person sent; some three minutes."""


class CampaignGate(Protocol):
    """What knows whom campaigns may write to: `api.outreach.gate.Gate`."""

    async def admits(self, delivery: Delivery) -> bool:
        """Tell whether a campaign's message may still go; when not, its row is taken out of the line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Sends the rows of one conversation to one side; callers hold the delivery's queue lock."""

    pool: Pool
    outbox: DurableOutbox
    deliveries: Deliveries
    channels: Channels
    desks: Desks
    customers: Customers
    texts: Texts
    first_desk: FirstDesk = no_wish
    campaigns: CampaignGate | None = None
    """Looks at every campaign's message before it goes; without one none goes."""

    async def deliver(self, thread_id: str, destination: Destination) -> None:
        """Send what waits, in order; a row that may succeed later holds the line."""
        while (delivery := await self.deliveries.next(thread_id, destination)) is not None:
            with following_delivery(delivery):
                await self._attempt(delivery)
        if destination == "desk" and self.desks:
            await self._screen(thread_id).label(thread_id)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            if await self._may_go(delivery):
                await self._deliver(delivery)
                facts = {"action": "sent", "destination": delivery.destination, "attempts": delivery.attempts + 1}
                logger.info("Sent", extra=facts)
        except ToolError as error:
            if error.transient:
                in_doubt = isinstance(error, ChannelUnavailableError)
                await self.deliveries.mark_retry(delivery, str(error), in_doubt=in_doubt)
                raise
            await self._bury(delivery, error)
        except Exception as error:
            # Nobody foresaw this one: it must not hold the conversation's line for ever.
            if delivery.attempts < DELIVERY_ATTEMPTS:
                raise
            await self._bury(delivery, ToolError(type(error).__name__))

    async def _may_go(self, delivery: Delivery) -> bool:
        """Look once more at a campaign's message, which may have waited: what may not go any more was taken back."""
        if delivery.target_id is None:
            return True
        if self.campaigns is None:
            raise ReplyWindowClosedError("outreach is not set up in this process")
        return await self.campaigns.admits(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        if delivery.destination == "desk":
            await self._screen(delivery.thread_id).show(delivery)
        elif delivery.destination == "webhook":
            notices = GroupNotices(pool=self.pool, desks=self.desks, customers=self.customers, texts=self.texts)
            await notices.send(delivery)
            await self.deliveries.mark_sent(delivery)
        else:
            await self._send(delivery)

    async def _send(self, delivery: Delivery) -> None:
        allowance = await self._allowance(delivery)
        if not delivery.in_doubt and (refusal := _refusal(allowance)):
            # A doubtful one is tried under its key whatever the budget says: it may have been counted already.
            raise ReplyWindowClosedError(refusal)
        channel = self.channels.of(delivery.thread_id)
        outbound = self.deliveries.outbound(delivery, allowance)
        outbound = await paced(self.pool, delivery, outbound, channel.limits)
        if delivery.media is not None:
            outbound = replace(outbound, file=await self._fetched(delivery, delivery.media))
        try:
            await channel.send(outbound)
        except DuplicateMessageError:
            # The key is ours alone: the vendor has it because an earlier attempt arrived.
            DUPLICATES.inc()
            logger.info("Already accepted", extra={"action": "send_duplicate", "message_key": delivery.key})
        except ReplyWindowClosedError:
            with contextlib.suppress(ChannelError):
                session = await channel.session(allowance.account_id, allowance.customer_id)
                await self.deliveries.record_session(delivery.thread_id, session)
            raise
        await self._record_sent(delivery, allowance.units_left - 1)

    async def _fetched(self, delivery: Delivery, media: Media) -> File:
        """Return the file that a person sent.

        Raises:
            DeskError: it cannot be had, or not now; what is written behind it does not wait for ever.
        """
        try:
            return await self.desks.fetch(media)
        except DeskError as error:
            if error.transient and delivery.attempts < FETCHES:
                raise
            raise DeskError(str(error)) from error

    async def _record_sent(self, delivery: Delivery, units_left: int) -> None:
        async def mark(conn: Connection) -> None:
            await mark_delivered(conn, self.outbox, self.texts, delivery, units_left)

        await self.deliveries.mark_sent(delivery, then=mark if delivery.is_from_a_person else None)

    async def _allowance(self, delivery: Delivery) -> Allowance:
        allowance = await self.deliveries.allowance(delivery.thread_id)
        if allowance.session in {None, "bot"}:
            return allowance
        try:
            channel = self.channels.of(delivery.thread_id)
            session = await channel.session(allowance.account_id, allowance.customer_id)
        except ChannelError:
            return replace(allowance, session=None)
        await self.deliveries.record_session(delivery.thread_id, session)
        return replace(allowance, session=session)

    def _screen(self, thread_id: str) -> DeskScreen:
        if not self.desks:
            raise DeskError("no desk is configured any more")
        return DeskScreen(
            pool=self.pool,
            outbox=self.outbox,
            desks=self.desks,
            deliveries=self.deliveries,
            customers=self.customers,
            first_desk=self.first_desk,
            files=DeskFiles(channel=self.channels.of(thread_id), texts=self.texts),
        )

    async def _bury(self, delivery: Delivery, error: ToolError) -> None:
        logger.error("Not delivered", extra={"action": "send_failed", "message_key": delivery.key, "error": str(error)})
        if delivery.destination == "customer" and delivery.target_id is None:
            # Told before the row is closed: a crash in between tells it again, under the same key.
            # Whatever is said of this attempt, an earlier one may have arrived: nobody shall say it twice.
            words = f"无法确认是否送达（{error}）" if delivery.in_doubt else str(error)
            lost = Lost(thread_id=delivery.thread_id, key=delivery.key, error=words, text=delivery.text)
            await self._notify_undelivered(lost, delivery.key)
        await self.deliveries.mark_dead(delivery, str(error))

    async def _notify_undelivered(self, lost: Lost, turn_id: str) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            await tell_undelivered(conn, self.outbox, self.texts, lost, turn_id)


def _refusal(allowance: Allowance) -> str | None:
    """Say in the desk's words why the channel would refuse now, None when it would not."""
    if not allowance.is_window_open:
        return "客户超过 48 小时没有发言，微信不允许主动发送"
    if allowance.units_left <= 0:
        return "客户上次发言后已发满 5 条，要等客户再次发言"
    if allowance.session in {"queued", "staff"}:
        return "会话正由企业微信里的接待人员处理，结束后才能从这里发送"
    return None
