"""What one long conversation costs in the database, with and without pruning: `python tests/bench/thread_growth.py`.

The real graph over the Postgres saver; the knowledge base and the outbox are in memory, so that only checkpoints count.
Both sides take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from rich.console import Console
from rich.table import Table

from api.checkpoints import make_saver
from api.database import Pool, open_pool
from api.embedded import embedded_postgres
from api.migrate import migrate
from graph.builder import build
from graph.context import Context, Ports
from graph.conversation import Conversation, CustomerLine
from graph.texts import PromptTexts
from kb.chunks import Grade, Hit
from tools.memory import MemoryOutbox

CHARACTERS = (
    "我上周买的那件蓝色外套尺码不合适想换大一号运费是谁出要几天能收到七内影响二次销售商品可以来回由店铺承担仓库后般两寄"
)
LINE_LENGTH = 45
WINDOW = 10
"""Turns up to each reported one that its time is the median of."""

SIZE = """
select (select count(*) from checkpoints where thread_id = %(thread)s)
     + (select count(*) from checkpoint_blobs where thread_id = %(thread)s)
     + (select count(*) from checkpoint_writes where thread_id = %(thread)s) as rows,
    (select coalesce(sum(pg_column_size(c)), 0) from checkpoints c where thread_id = %(thread)s)
     + (select coalesce(sum(pg_column_size(b)), 0) from checkpoint_blobs b where thread_id = %(thread)s)
     + (select coalesce(sum(pg_column_size(w)), 0) from checkpoint_writes w where thread_id = %(thread)s) as bytes
"""


class Writer:
    """Writes lines that compress no better than what people write."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def line(self) -> str:
        return "".join(self._random.choices(CHARACTERS, k=LINE_LENGTH))


class Shop:
    """A knowledge base that always knows."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        answer = self._writer.line()
        hit = Hit(chunk_id="c", entry_id="e", content=query, question=query, answer=answer, score=0.95)
        return [hit][:limit]

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        return Grade(confidence=0.95, threshold=0.8)


class Hoarder(AsyncPostgresSaver):
    """The saver as it comes: it keeps every step."""

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        del thread_ids, strategy


class Growth:
    """One conversation and what it cost so far."""

    def __init__(self, pool: Pool, name: str, saver: AsyncPostgresSaver) -> None:
        self._pool = pool
        self.name = name
        self._writer = Writer()
        outbox, shop = MemoryOutbox(), Shop(self._writer)
        ports = Ports(retriever=shop, grader=shop, outbox=outbox, texts=PromptTexts())
        self._conversation = Conversation(build(ports).compile(checkpointer=saver), outbox, Context())
        self.milliseconds: list[float] = []
        self.sizes: dict[int, tuple[int, int]] = {}

    async def turn(self, number: int) -> None:
        line = CustomerLine(message_id=f"{self.name}-m{number}", kind="text", text=self._writer.line())
        began = time.perf_counter()
        await self._conversation.customer_turn(self.name, f"{self.name}-t{number}", [line])
        self.milliseconds.append((time.perf_counter() - began) * 1000)

    async def measure(self, number: int) -> None:
        async with self._pool.connection() as conn:
            row = await (await conn.execute(SIZE, {"thread": self.name})).fetchone()
        assert row is not None
        self.sizes[number] = (int(row["rows"]), int(row["bytes"]))

    def speed(self, number: int) -> float:
        return statistics.median(self.milliseconds[max(0, number - WINDOW) : number])


async def measure(conninfo: str, marks: Sequence[int]) -> list[Growth]:
    await migrate(conninfo)
    async with open_pool(conninfo, size=4) as pool:
        kept = make_saver(pool)
        hoarder = Hoarder(pool, serde=kept.serde)
        hoarder.lock = kept.lock
        # A thread each that does not count: the first turns of a process pay for imports and plans.
        for saver in (kept, hoarder):
            warm = Growth(pool, f"warm-{type(saver).__name__}", saver)
            for number in range(1, 6):
                await warm.turn(number)
        sides = [Growth(pool, "all steps kept", hoarder), Growth(pool, "pruned each turn", kept)]
        for number in range(1, max(marks) + 1):
            for side in sides:
                await side.turn(number)
                if number in marks:
                    await side.measure(number)
    return sides


def show(sides: Sequence[Growth], marks: Sequence[int]) -> None:
    table = Table("turns", *(f"{side.name}\n{unit}" for side in sides for unit in ("rows", "KB", "ms/turn")))
    for mark in marks:
        cells = []
        for side in sides:
            rows, size = side.sizes[mark]
            cells += [str(rows), f"{size / 1024:.1f}", f"{side.speed(mark):.1f}"]
        table.add_row(str(mark), *cells)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 100, 200], help="turns to report at")
    marks = sorted(parser.parse_args().turns)
    with tempfile.TemporaryDirectory(prefix="kefu-bench-") as folder, embedded_postgres(Path(folder)) as conninfo:
        show(asyncio.run(measure(conninfo, marks)), marks)


if __name__ == "__main__":
    main()
