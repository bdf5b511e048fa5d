"""The floor of the pipeline: the project's graph with its saver, fed by a loop; no inbox, queue, outbox or channel."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Any

import uvloop
from langchain_core.messages import HumanMessage
from lines import answer_lines

from api.checkpoints import make_saver
from api.database import open_pool
from api.knowledge import open_knowledge
from api.lifespan import POOL_SIZE
from api.settings import load_settings
from graph.builder import build
from graph.context import Context, Ports
from graph.texts import PromptTexts
from tools.memory import MemoryOutbox

CONCURRENCY = 10
"""What one `kefu serve` works on at once."""


async def main() -> None:
    settings, conninfo = load_settings(), os.environ["KB_DB_URL"]
    numbers = itertools.count()
    async with open_pool(conninfo, size=POOL_SIZE) as pool, open_knowledge(settings, pool, conninfo) as knowledge:
        ports = Ports(
            retriever=knowledge.retriever, grader=knowledge.grader, outbox=MemoryOutbox(), texts=PromptTexts()
        )
        graph = build(ports).compile(checkpointer=make_saver(pool))
        slots = asyncio.Semaphore(CONCURRENCY)

        async def run(thread_id: str, text: str) -> None:
            turn_id = f"t{next(numbers)}"
            turn = {
                "id": turn_id,
                "thread_id": thread_id,
                "speaker": "customer",
                "lines": [{"kind": "text", "text": text}],
            }
            config = {"configurable": {"thread_id": thread_id}}
            given = {"messages": [HumanMessage(id=f"m{turn_id}", content=text)], "turn": turn}
            async with slots:
                await graph.ainvoke(given, config, context=Context(has_desk=False), durability="sync")

        async def handle(question: dict[str, Any]) -> dict[str, Any]:
            began = time.perf_counter()
            await asyncio.gather(*map(run, question["customers"], question["texts"]))
            return {"seconds": time.perf_counter() - began}

        await answer_lines(handle)


if __name__ == "__main__":
    uvloop.run(main())
