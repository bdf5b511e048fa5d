"""Plays the scripts: customers who mostly wait for their answer, agents who answer in the right topic."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from observer import Observer
from plan import HANDED_BACK, HOLD, Burst, Handover, Script
from stage import Stage


@dataclass(slots=True, kw_only=True)
class Due:
    """Something the customer must get exactly once."""

    marker: str
    kind: str
    """`answer`, `hold`, `reply`, `handed_back`: what it is counted as."""
    occurrence: int
    """1 for the first time this marker is due to this customer, 2 for the second …"""
    since: float
    """When it became due; wall clock, as the simulators keep it."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What one customer's part has led to so far."""

    script: Script
    dues: list[Due] = field(default_factory=list)
    msgids: list[str] = field(default_factory=list)
    handovers: list[str] = field(default_factory=list)
    """The open questions asked."""
    relayed: list[str] = field(default_factory=list)
    """What was written while a person had the conversation."""
    is_finished: bool = False

    @property
    def customer(self) -> str:
        """The customer's id."""
        return self.script.customer

    def owe(self, marker: str, kind: str) -> None:
        """Note what must arrive from now on."""
        earlier = sum(due.marker == marker for due in self.dues)
        self.dues.append(Due(marker=marker, kind=kind, occurrence=earlier + 1, since=time.time()))


@dataclass(slots=True, kw_only=True)
class Traffic:
    """All parts, played at the same time."""

    stage: Stage
    observer: Observer
    ledgers: list[Ledger]

    @property
    def sent(self) -> int:
        """How many messages the customers have written."""
        return sum(len(ledger.msgids) for ledger in self.ledgers)

    async def run(self, *, limit: float) -> None:
        """Play until all have finished, or `limit` seconds are over; whoever waits then goes on waiting in vain."""
        began = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(self._play(ledger, began), name=ledger.customer) for ledger in self.ledgers]
        try:
            done, _ = await asyncio.wait(tasks, timeout=limit)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _play(self, ledger: Ledger, began: float) -> None:
        clock = asyncio.get_running_loop().time
        for step, start in zip(ledger.script.steps, ledger.script.starts, strict=True):
            await asyncio.sleep(max(0.0, began + start - clock()))
            if isinstance(step, Burst):
                await self._burst(ledger, step)
            else:
                await self._handover(ledger, step)
        ledger.is_finished = True

    async def _burst(self, ledger: Ledger, burst: Burst) -> None:
        for line in burst.lines:
            ledger.owe(line.marker, "answer")
            await self._say(ledger, line.text)
        await self._until_paid(ledger)

    async def _handover(self, ledger: Ledger, step: Handover) -> None:
        ledger.handovers.append(step.question)
        ledger.owe(HOLD, "hold")
        await self._say(ledger, step.question)
        await self._until_paid(ledger)
        await self.observer.until_desk(lambda: self.observer.card(step.question) is not None)
        card = self.observer.card(step.question)
        assert card is not None
        for text in step.added:
            ledger.relayed.append(text)
            await self._say(ledger, text)
            await self.observer.until_desk(lambda: self.observer.shows_at_desk(text))  # noqa: B023
        for text in step.replies:
            await self._reply(ledger, text, card.topic_id)
            if not step.is_in_one_go:
                await self._until_paid(ledger)
        ledger.owe(HANDED_BACK, "handed_back")
        await self.stage.telegram.agent_writes("/done", topic_id=card.topic_id)
        await self._until_paid(ledger)
        if step.afterthought:
            await self._reply(ledger, step.afterthought, card.topic_id)
            await self._until_paid(ledger)

    async def _say(self, ledger: Ledger, text: str) -> None:
        ledger.msgids.append(await self.stage.customer_says(ledger.customer, text))

    async def _reply(self, ledger: Ledger, text: str, topic_id: int | None) -> None:
        ledger.owe(text, "reply")
        await self.stage.telegram.agent_writes(text, topic_id=topic_id)

    async def _until_paid(self, ledger: Ledger) -> None:
        def is_paid() -> bool:
            text = self.observer.text_to(ledger.customer)
            return all(text.count(due.marker) >= due.occurrence for due in ledger.dues)

        await self.observer.until(ledger.customer, is_paid)
