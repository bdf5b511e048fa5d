"""WeCom's side as a process of its own: customers who add a member of staff, and a clock until they are welcomed."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import uvloop
from lines import answer_lines

from tools.simulators.wecom import WecomSimulator

PATIENCE = 120


class NewFriends:
    """Plays bursts of friends."""

    def __init__(self, wecom: WecomSimulator) -> None:
        self._wecom = wecom
        self._bursts = 0

    async def handle(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch one question."""
        actions = {"start": self.start, "point": self.point, "burst": self.burst}
        return await actions[question.pop("do")](**question)

    async def start(self) -> dict[str, Any]:
        """Tell where the API is."""
        return {"api_base": self._wecom.api_base}

    async def point(self, callback_url: str) -> dict[str, Any]:
        """Point the callbacks at the service."""
        self._wecom.callback_url = callback_url
        return {}

    async def burst(self, count: int, at_once: int) -> dict[str, Any]:
        """Let so many customers add somebody as fast as the callbacks are taken; wait until all are welcomed."""
        self._bursts += 1
        began: dict[str, float] = {}
        slots = asyncio.Semaphore(at_once)
        before = len(self._wecom.contacts.welcomes)

        async def add(number: int) -> None:
            customer = f"wm{self._bursts}-{number}"
            async with slots:
                began[customer] = time.time()
                await self._wecom.befriends(customer, "zhangsan", state="site", told="half")

        start = time.time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(add(number))
            await self._wecom.wait_until(lambda: len(self._wecom.contacts.welcomes) >= before + count, timeout=PATIENCE)
        welcomes = self._wecom.contacts.welcomes[before:]
        took = [welcome.at - began[welcome.customer] for welcome in welcomes]
        return {"seconds": max(welcome.at for welcome in welcomes) - start, "took": took}


async def main() -> None:
    simulator = WecomSimulator(
        corp_id=os.environ["WECOM_CORP_ID"],
        secret=os.environ["WECOM_AGENT_SECRET"],
        token=os.environ["WECOM_TOKEN"],
        encoding_aes_key=os.environ["WECOM_ENCODING_AES_KEY"],
    )
    async with simulator as wecom:
        await answer_lines(NewFriends(wecom).handle)


if __name__ == "__main__":
    uvloop.run(main())
