"""What every `Outbox` does about menus, on the memory twin and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Protocol

import pytest

from api.database import Pool
from api.deliveries import Deliveries
from api.job_queue import JobQueue
from api.outbox import DurableOutbox
from tools.memory import MemoryOutbox
from tools.messages import Choice, Menu, MenuOption, Outbound
from tools.ports import Outbox

THREAD = "wecom:wk1:wm1"
MENU = Menu(
    head="您是想问:",
    options=(MenuOption(option_id="a1", label="怎么退款?"), MenuOption(option_id="b2", label="都不是,找人工")),
    tail="请选一项",
)
CHOICE = Choice(
    thread_id=THREAD,
    turn_id="turn2",
    question="退",
    shown=("e1", "e2"),
    entry_id="e1",
    source="click",
    confidence=0.25,
)


class Look(Protocol):
    async def menus(self) -> list[tuple[str, Menu | None]]: ...
    async def choices(self) -> list[Choice]: ...


class MemoryLook:
    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox

    async def menus(self) -> list[tuple[str, Menu | None]]:
        return [(said.text, said.menu) for said in self._outbox.said.values()]

    async def choices(self) -> list[Choice]:
        return list(self._outbox.choices.values())


class DurableLook:
    """Reads what will be sent, as the deliverer does."""

    def __init__(self, pool: Pool, queue: JobQueue) -> None:
        self._pool, self._deliveries = pool, Deliveries(pool, queue)

    async def menus(self) -> list[tuple[str, Menu | None]]:
        found: list[Outbound] = []
        while (delivery := await self._deliveries.next(THREAD, "customer")) is not None:
            found.append(self._deliveries.outbound(delivery, await self._deliveries.allowance(THREAD)))
            await self._deliveries.mark_sent(delivery)
        return [(outbound.text, outbound.menu) for outbound in found]

    async def choices(self) -> list[Choice]:
        columns = "thread_id, turn_id, question, shown, entry_id, source, confidence"
        async with self._pool.connection() as conn:
            rows = await (await conn.execute(f"select {columns} from answer_labels order by id")).fetchall()
        return [Choice(**{**row, "shown": tuple(row["shown"])}) for row in rows]


@pytest.fixture(params=["memory", "postgres"])
async def outbox_and_look(request: pytest.FixtureRequest, pool: Pool) -> AsyncIterator[tuple[Outbox, Look]]:
    if request.param == "memory":
        memory = MemoryOutbox()
        yield memory, MemoryLook(memory)
        return
    queue = JobQueue()
    async with queue.app.open_async(pool), pool.connection() as conn:
        await conn.execute(
            "insert into conversations (thread_id, channel, account_id, customer_id, last_customer_at)"
            " values (%s, 'wecom', 'wk1', 'wm1', now())",
            (THREAD,),
        )
        await conn.commit()
        yield DurableOutbox(pool, queue, split=lambda _, text: [text], has_desk=True), DurableLook(pool, queue)


async def test_a_menu_is_offered_once_and_whole(outbox_and_look: Any) -> None:
    outbox, look = outbox_and_look
    await outbox.offer(THREAD, "turn1", "clarify", MENU)
    await outbox.offer(THREAD, "turn1", "clarify", replace(MENU, head="别的"))
    assert await look.menus() == [("您是想问:\n1. 怎么退款?\n2. 都不是,找人工\n请选一项", MENU)]


async def test_a_menu_comes_after_what_was_said_before_it(outbox_and_look: Any) -> None:
    outbox, look = outbox_and_look
    await outbox.say(THREAD, "turn1", "answer", "包邮。")
    await outbox.offer(THREAD, "turn1", "clarify", MENU)
    assert [menu for _, menu in await look.menus()] == [None, MENU]


@pytest.mark.parametrize("choice", [CHOICE, replace(CHOICE, entry_id=None, source="typed")])
async def test_a_choice_is_recorded_once_a_turn(outbox_and_look: Any, choice: Choice) -> None:
    outbox, look = outbox_and_look
    await outbox.record_choice(choice)
    await outbox.record_choice(replace(choice, entry_id="e2"))
    await outbox.record_choice(replace(choice, turn_id="turn3"))
    assert await look.choices() == [choice, replace(choice, turn_id="turn3")]
