"""What customers and agents get to see, as the simulators recorded it, sorted by person and with waiting."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from tools.simulators.telegram import TelegramSimulator
from tools.simulators.telegram_state import BotMessage
from tools.simulators.wecom import WecomSimulator
from tools.simulators.wecom_state import Sent

FOR_EVER = 24 * 3600.0


class Observer:
    """Reads both simulators' records as they grow; every message is looked at once."""

    def __init__(self, wecom: WecomSimulator, telegram: TelegramSimulator) -> None:
        self.received: defaultdict[str, list[Sent]] = defaultdict(list)
        """What each customer got, oldest first."""
        self.desk: list[BotMessage] = []
        """What the bot wrote at the desk, oldest first, as it read when it was new."""
        self._wecom = wecom
        self._telegram = telegram
        self._seen = 0
        self._news: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def text_to(self, customer: str) -> str:
        """Everything a customer got to read."""
        return "\n\n".join(sent.text for sent in self.received[customer])

    def card(self, question: str) -> BotMessage | None:
        """The first ticket card about a question."""
        return next((message for message in self.desk if is_card_about(message, question)), None)

    def shows_at_desk(self, text: str) -> bool:
        """Whether the desk was told this."""
        return any(text in message.text for message in self.desk)

    async def until(self, customer: str, is_reached: Callable[[], bool]) -> None:
        """Wait for something that a message to this customer brings about."""
        while not is_reached():
            await self._news[customer].wait()

    async def until_desk(self, is_reached: Callable[[], bool]) -> None:
        """Wait for something that a message at the desk brings about."""
        await self.until("", is_reached)

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_wecom())
            group.create_task(self._read_telegram())

    def _tell(self, reader: str) -> None:
        self._news.pop(reader, asyncio.Event()).set()

    async def _read_wecom(self) -> None:
        while True:
            await self._wecom.wait_until(lambda: len(self._wecom.sent) > self._seen, timeout=FOR_EVER)
            fresh = self._wecom.sent[self._seen :]
            self._seen += len(fresh)
            for sent in fresh:
                self.received[sent.customer].append(sent)
            for customer in {sent.customer for sent in fresh}:
                self._tell(customer)

    async def _read_telegram(self) -> None:
        while True:
            known = len(self.desk)
            await self._telegram.wait_until(lambda: len(self._telegram.messages) > known, FOR_EVER)  # noqa: B023
            self.desk.extend(self._telegram.messages[known:])
            self._tell("")


def is_card_about(message: BotMessage, question: str) -> bool:
    """Whether a message is the ticket card of a question, and not a later card whose history quotes it."""
    return bool(message.buttons) and question in message.text.partition("📌")[0]
