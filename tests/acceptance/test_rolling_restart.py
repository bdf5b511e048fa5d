"""A rolling restart: each process is asked to end while customers write, and another takes its place."""

from __future__ import annotations

import asyncio

QUESTION = "运费谁承担?"
ANSWER = "来回运费由我们承担"
CUSTOMERS = [f"wmRoll{number:02d}" for number in range(24)]
WAITING = "select 1 from inbox where handled_at is null union all select 1 from outbox where state <> 'sent' limit 1"


async def test_no_turn_is_cut_off_or_repeated_when_the_workers_are_replaced(make_service):
    """Everyone is answered once, each process ends with 0, and no turn was begun a second time."""
    service = await make_service()
    wecom = service.wecom
    http = await service.serve("--workers-inline", "0")
    workers = [await service.start("worker") for _ in range(2)]

    async def write() -> None:
        for number, customer in enumerate(CUSTOMERS, start=1):
            await wecom.customer_says(customer, QUESTION)
            # The restarts keep pace with the customers: the next one writes when half of those before are answered.
            half = number // 2
            await wecom.wait_until(lambda half=half: len(wecom.sent) >= half, timeout=60)

    async def replace() -> None:
        for number, old in enumerate(workers, start=1):
            await wecom.wait_until(lambda wanted=4 * number: len(wecom.sent) >= wanted, timeout=60)
            await service.start("worker")
            old.terminate()
            assert await asyncio.wait_for(old.wait(), 30) == 0
        http.terminate()
        assert await asyncio.wait_for(http.wait(), 30) == 0
        await service.serve("--workers-inline", "0")

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(replace())
    await wecom.notify()
    await wecom.wait_until(lambda: all(wecom.texts_to(customer) for customer in CUSTOMERS), timeout=60)
    async with asyncio.timeout(30):
        while service.rows(WAITING):
            await wecom.notify()
    assert all([ANSWER in text for text in wecom.texts_to(customer)] == [True] for customer in CUSTOMERS)
    assert service.rows("select max(attempts) from inbox") == [(1,)]
