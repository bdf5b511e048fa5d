"""WeCom's side as a process of its own: customers who write, and a clock until they have their answers."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import uvloop
from lines import answer_lines
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tools.simulators.server import LoopbackServer
from tools.simulators.wecom import WecomSimulator

PATIENCE = 600
DOOR_PATIENCE = 30
"""Seconds after which a message counts as lost."""
DAY = 24 * 60 * 60


class Customers:
    """Plays waves of customers."""

    def __init__(self, wecom: WecomSimulator) -> None:
        self._wecom = wecom
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._unasked = 0
        self._door: LoopbackServer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def handle(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch one question."""
        actions = {
            "set_up": self.set_up,
            "wave": self.wave,
            "one_by_one": self.one_by_one,
            "open_door": self.open_door,
            "close_door": self.close_door,
        }
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

    async def open_door(self) -> dict[str, Any]:
        """Let customers write by HTTP: `POST /say` is answered when the service has answered."""
        self._answers.clear()
        self._door = LoopbackServer(Starlette(routes=[Route("/say", self._say, methods=["POST"])]))
        self._reading = asyncio.create_task(self._read_answers())
        await self._door.start()
        return {"url": self._door.url}

    async def close_door(self) -> dict[str, Any]:
        """Take no more; return how many answers nobody waited for."""
        assert self._door is not None
        assert self._reading is not None
        await self._door.stop()
        self._reading.cancel()
        return {"unasked": self._unasked}

    async def _say(self, request: Request) -> Response:
        said = await request.json()
        answered = asyncio.get_running_loop().create_future()
        self._answers[said["customer"]] = answered
        await self._wecom.customer_says(said["customer"], said["text"])
        try:
            async with asyncio.timeout(DOOR_PATIENCE):
                await answered
        except TimeoutError:
            return PlainTextResponse("no answer", status_code=504)
        return PlainTextResponse("answered")

    async def _read_answers(self) -> None:
        seen = len(self._wecom.sent)

        def look() -> bool:
            nonlocal seen
            fresh = self._wecom.sent[seen:]
            seen += len(fresh)
            for sent in fresh:
                waiting = self._answers.pop(sent.customer, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
                else:
                    self._unasked += 1
            return False

        await self._wecom.wait_until(look, timeout=DAY)


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
