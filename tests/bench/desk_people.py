"""Both simulators as a process of their own: customers with open questions, an agent who answers, and a clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvloop
from lines import answer_lines

from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

PATIENCE = 60


class DeskPeople:
    """Plays customers and an agent."""

    def __init__(self, wecom: WecomSimulator, telegram: TelegramSimulator) -> None:
        self._wecom, self._telegram = wecom, telegram

    async def handle(self, question: dict[str, Any]) -> dict[str, Any]:
        """Dispatch one question."""
        actions = {"set_up": self.set_up, "hook": self.hook, "answer": self.answer}
        return await actions[question.pop("do")](**question)

    async def set_up(self, callback_url: str) -> dict[str, Any]:
        """Point the callbacks at the service; tell where the simulators are."""
        self._wecom.callback_url = callback_url
        return {
            "WECOM_API_BASE": self._wecom.api_base,
            "TELEGRAM_API_BASE": self._telegram.api_base,
            "TELEGRAM_BOT_TOKEN": self._telegram.token,
            "NOTIFICATION_CHANNEL": f"telegram:{self._telegram.chat_id}",
        }

    async def hook(self, url: str, secret: str) -> dict[str, Any]:
        """Have updates posted to the service."""
        async with httpx.AsyncClient(trust_env=False) as client:
            call = f"{self._telegram.api_base}/bot{self._telegram.token}/setWebhook"
            (await client.post(call, json={"url": url, "secret_token": secret})).raise_for_status()
        return {}

    async def answer(self, question: str, customer: str, texts: list[str]) -> dict[str, Any]:
        """Let a customer ask for a person, and time each of the agent's messages until the customer has it."""
        self._wecom.add_customer(customer, nickname=customer)
        await self._wecom.customer_says(customer, question)
        card = await self._telegram.wait_for_message(
            lambda message: bool(message.buttons) and customer in message.text, PATIENCE
        )
        took = []
        for text in texts:
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._telegram.agent_writes(text, topic_id=card.topic_id))
                await self._wecom.wait_for_text(customer, text, timeout=PATIENCE)
                took.append(time.perf_counter() - began)
        return {"took": took}


@contextlib.asynccontextmanager
async def open_people() -> AsyncIterator[DeskPeople]:
    """Run both simulators."""
    wecom = WecomSimulator(
        corp_id=os.environ["WECOM_CORP_ID"],
        secret=os.environ["WECOM_AGENT_SECRET"],
        token=os.environ["WECOM_TOKEN"],
        encoding_aes_key=os.environ["WECOM_ENCODING_AES_KEY"],
    )
    async with wecom, TelegramSimulator() as telegram:
        yield DeskPeople(wecom, telegram)


async def main() -> None:
    async with open_people() as people:
        await answer_lines(people.handle)


if __name__ == "__main__":
    uvloop.run(main())
