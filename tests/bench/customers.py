"""WeCom's side as a process of its own: customers who write, and a clock until they have their answers."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import uvloop
from lines import answer_lines

from tools.simulators.wecom import WecomSimulator

PATIENCE = 600


class Customers:
    """Plays waves of customers."""

    def __init__(self, wecom: WecomSimulator) -> None:
        self._wecom = wecom

    async def handle(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch one question."""
        actions = {"set_up": self.set_up, "wave": self.wave, "one_by_one": self.one_by_one}
        return await actions[question.pop("do")](**question)

    async def set_up(self, callback_url: str) -> dict[str, Any]:
        """Point the callbacks at the service."""
        self._wecom.callback_url = callback_url
        return {"api_base": self._wecom.api_base}

    async def wave(self, texts: list[str], customers: list[str]) -> dict[str, Any]:
        """Let every customer write one message, call back once, and wait until all have an answer."""
        waiting = set(customers)
        seen = len(self._wecom.sent)
        began = time.perf_counter()
        self._wecom.append(*(_item(*pair) for pair in zip(customers, texts, strict=True)))
        await self._wecom.notify()

        def is_over() -> bool:
            nonlocal seen
            fresh = self._wecom.sent[seen:]
            seen += len(fresh)
            waiting.difference_update(sent.customer for sent in fresh)
            return not waiting

        await self._wecom.wait_until(is_over, timeout=PATIENCE)
        return {"seconds": time.perf_counter() - began}

    async def one_by_one(self, texts: list[str], customers: list[str]) -> dict[str, Any]:
        """Let one customer after another write, each after the one before has the answer."""
        took = []
        for customer, text in zip(customers, texts, strict=True):
            wanted = len(self._wecom.texts_to(customer)) + 1
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wecom.customer_says(customer, text))
                await self._wecom.wait_for_text(customer, wanted, timeout=PATIENCE)
                took.append(time.perf_counter() - began)
        return {"took": took}


def _item(customer: str, text: str) -> dict[str, Any]:
    return {"external_userid": customer, "origin": 3, "msgtype": "text", "text": {"content": text}}


async def main() -> None:
    simulator = WecomSimulator(
        corp_id=os.environ["WECOM_CORP_ID"],
        secret=os.environ["WECOM_AGENT_SECRET"],
        token=os.environ["WECOM_TOKEN"],
        encoding_aes_key=os.environ["WECOM_ENCODING_AES_KEY"],
    )
    async with simulator as wecom:
        await answer_lines(Customers(wecom).handle)


if __name__ == "__main__":
    uvloop.run(main())
