"""What people do at the desk, into the inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from api.database import Pool
from api.inbox import DeskOutcome, Inbox
from graph.context import Texts
from tools.errors import DeskError
from tools.messages import DeskEvent
from tools.telegram import TelegramDesk
from tools.telegram_updates import parse_update

logger = logging.getLogger(__name__)

POLL_SECONDS = 25
RETRY_SECONDS = 5
TOO_EARLY_SECONDS = 0.2
POLLER_LOCK = 7_263_002
"""Advisory lock of the one process that polls: Telegram answers a second one with 409."""

OUTCOME_TEXTS: Mapping[DeskOutcome, str] = {"stale": "desk_stale", "unknown": "desk_unknown"}


class DeskIntake:
    """Takes Telegram updates: stored first, acknowledged after."""

    def __init__(self, inbox: Inbox, desk: TelegramDesk, texts: Texts, *, chat_id: int | None) -> None:
        self._inbox = inbox
        self._desk = desk
        self._texts = texts
        self._chat_id = chat_id

    async def take(self, update: Mapping[str, Any]) -> bool:
        """Store one update; whoever is not in the configured chat is not heard. False: bring it again shortly."""
        if self._chat_id is None or (event := parse_update(update, chat_id=self._chat_id)) is None:
            return True
        if event.action in {"help", "unsupported"}:
            await self._acknowledge(event, self._texts.render(f"desk_{event.action}"))
            return True
        outcome = await self._inbox.store_desk_event(event)
        if outcome == "too_early":
            return False
        word = OUTCOME_TEXTS.get(outcome)
        is_chatter = outcome == "unknown" and event.action == "text"
        if event.callback_id is not None or (word and not is_chatter):
            await self._acknowledge(event, self._texts.render(word) if word else "✓")
        return True

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
        offset = 0
        while True:
            for update in await self._desk.poll(offset, POLL_SECONDS):
                while not await self.take(update):  # noqa: ASYNC110 -- the awaited row is another process's
                    await asyncio.sleep(TOO_EARLY_SECONDS)
                offset = int(update["update_id"]) + 1

    async def _acknowledge(self, event: DeskEvent, text: str) -> None:
        try:
            await self._desk.acknowledge(event, text)
        except DeskError as error:
            logger.warning("Not acknowledged", extra={"action": "acknowledge_failed", "error": type(error).__name__})
