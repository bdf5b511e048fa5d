"""What people do at the desk, into the inbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import psycopg_pool

from api.database import Pool
from api.desk.inbox import DeskInbox
from graph.context import Texts
from tools.errors import DeskError
from tools.messages import DeskEvent
from tools.telegram import TelegramDesk
from tools.telegram_updates import parse_update

logger = logging.getLogger(__name__)

POLL_SECONDS = 25
RETRY_SECONDS = 5
TOO_EARLY_SECONDS = 0.2
TOO_LATE_SECONDS = 15
"""So long is looked for what an update belongs to: where something is always on its way, one line that is nobody's must
not hold back everybody else's."""
ATTEMPTS = 5
"""How often an update is taken before it is given up."""

OUTAGES = (psycopg.OperationalError, psycopg_pool.PoolTimeout, DeskError)
"""The database or Telegram is away: no reason to give an update up."""

POLLER_LOCK = 7_263_002
"""Advisory lock of the one process that polls: Telegram answers a second one with 409."""


class DeskIntake:
    """Takes Telegram updates: stored first, acknowledged after."""

    def __init__(
        self,
        inbox: DeskInbox,
        desk: TelegramDesk,
        texts: Texts,
        *,
        chat_id: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._desk = desk
        self._texts = texts
        self._chat_id = chat_id
        self._clock = clock
        self._failures: Counter[int] = Counter()
        self._first_seen: dict[int, float] = {}
        """When an update that may be too early came first."""

    async def take(self, update: Mapping[str, Any]) -> bool:
        """Store one update; whoever is not in the configured chat is not heard. False: bring it again shortly."""
        if self._chat_id is None:
            return True
        event = parse_update(update, chat_id=self._chat_id, bot_id=self._desk.bot_id)
        if event is None:
            return True
        if event.action in {"help", "unsupported"}:
            await self._acknowledge(event, self._texts.render(f"desk_{event.action}"))
            return True
        answer = await self._inbox.store(event)
        if answer.outcome == "too_early" and self._may_still_fit(event.update_id):
            return False
        self._first_seen.pop(event.update_id, None)
        is_lost = answer.outcome in {"unknown", "too_early"}
        word = self._texts.render("desk_unknown") if is_lost else answer.word
        # What was not pressed was answered where it was stored, in a row. Words in a topic that is no customer's are
        # people's own; outside topics only an answer to the bot is an event, and its writer believes that it was sent.
        is_chatter = event.action == "edited" or (event.action == "text" and event.place.topic_id is not None)
        if event.callback_id is not None or (is_lost and not is_chatter):
            await self._acknowledge(event, word or "✓")
        return True

    def _may_still_fit(self, update_id: int) -> bool:
        now = self._clock()
        for known in [known for known, at in self._first_seen.items() if at < now - 2 * TOO_LATE_SECONDS]:
            # Another process took it in the end.
            del self._first_seen[known]
        return now - self._first_seen.setdefault(update_id, now) < TOO_LATE_SECONDS

    async def poll(self, pool: Pool) -> None:
        """Ask Telegram for updates for ever; one process at a time does."""
        while True:
            try:
                async with pool.connection() as conn:
                    row = await (
                        await conn.execute("select pg_try_advisory_lock(%s) as got", (POLLER_LOCK,))
                    ).fetchone()
                    if row and row["got"]:
                        try:
                            await self._poll_as_the_one()
                        finally:
                            await conn.execute("select pg_advisory_unlock(%s)", (POLLER_LOCK,))
            except DeskError as error:
                logger.warning("Desk not polled", extra={"action": "poll_failed", "error": type(error).__name__})
            await asyncio.sleep(RETRY_SECONDS)

    async def _poll_as_the_one(self) -> None:
        await self._desk.use_polling()
        await self.offer_commands()
        offset = 0
        while True:
            for update in await self._desk.poll(offset, POLL_SECONDS):
                await self._take_in_turn(update)
                offset = int(update["update_id"]) + 1

    async def _take_in_turn(self, update: Mapping[str, Any]) -> None:
        """Store an update before the next one; what fails for no outward reason must not hold the desk for ever."""
        update_id = int(update["update_id"])
        try:
            while not await self.take(update):  # noqa: ASYNC110 -- the awaited row is another process's
                await asyncio.sleep(TOO_EARLY_SECONDS)
        except OUTAGES:
            raise
        except Exception:
            self._failures[update_id] += 1
            if self._failures[update_id] < ATTEMPTS:
                raise
            logger.exception("Update given up", extra={"action": "desk_update_failed", "update_id": update_id})

    async def offer_commands(self) -> None:
        """Show people the commands as they type; without that they still work."""
        try:
            await self._desk.offer_commands()
        except DeskError as error:
            logger.warning("Commands not offered", extra={"action": "commands_failed", "error": type(error).__name__})

    async def _acknowledge(self, event: DeskEvent, text: str) -> None:
        try:
            await self._desk.acknowledge(event, text)
        except DeskError as error:
            logger.warning("Not acknowledged", extra={"action": "acknowledge_failed", "error": type(error).__name__})
