"""`make demo-day`: a whole day at a shop on this machine, played in about two minutes and checked at its end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psycopg
from psycopg.rows import dict_row
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from api.demo.day_ledger import Ledger, Records
from api.demo.day_players import Agent, Call, Customers, review
from api.demo.day_report import show_day
from api.demo.day_script import Part, Script, make_script
from api.demo.stage import Stage, open_stage
from api.errors import ApiError

AT_ONCE = 4
"""Customers who write at the same time."""

DAY_SECONDS = 300
"""A day takes one or two minutes; something that is broken must not take all of the real one."""

SETTLE_SECONDS, LOOK_SECONDS = 20.0, 0.2

ON_THE_WAY = "select 1 from outbox where state in ('pending', 'sending') limit 1"

BAR = (TextColumn("the day"), BarColumn(), MofNCompleteColumn())

RECORDS = """
select (select count(*)::int from tickets) as tickets,
    (select count(*)::int from tickets where closed_at is null) as open_tickets,
    (select count(*)::int from outbox where state not in ('sent', 'merged')) as dead_letters,
    (select count(*)::int from kb_drafts where state = 'approved') as approved
"""


async def play_day(*, customers: int, seed: int) -> None:
    """Play the day, print what was measured, and say which promises do not hold.

    Raises:
        ApiError: a part did not start, or a promise does not hold.
    """
    console, bar = Console(highlight=False), Console(stderr=True)
    script = make_script(customers=customers, seed=seed)
    console.print("启动嵌入式 PostgreSQL、企业微信模拟器、Telegram 模拟器和 kefu 服务……", style="dim")
    async with open_stage() as stage:
        began = time.monotonic()
        try:
            with Progress(*BAR, console=bar, transient=True) as shown:
                task = shown.add_task("the day", total=len(script.parts) + script.topics)
                async with asyncio.timeout(DAY_SECONDS):
                    ledger = await _play(stage, script, lambda: shown.advance(task))
        except TimeoutError as error:
            raise ApiError(f"the day was not over after {DAY_SECONDS} s; see the lines above") from error
        records = await _records(stage.database_uri)
        seconds = time.monotonic() - began
        broken = ledger.broken(stage.wecom, records, customers=customers, topics=script.topics)
        show_day(console, script, ledger, records, wecom=stage.wecom, seconds=seconds)
    if broken:
        raise ApiError(f"the day did not go as promised: {' | '.join(broken)}")


async def _play(stage: Stage, script: Script, step: Callable[[], object]) -> Ledger:
    ledger, calls = Ledger(), asyncio.Queue[Call]()
    customers = Customers(stage=stage, ledger=ledger, calls=calls, done=step)
    answered: Counter[int] = Counter()
    agents = [
        Agent(
            name=name,
            colleague=script.agents[place - 1],
            stage=stage,
            ledger=ledger,
            random=script.random,
            answered=answered,
        )
        for place, name in enumerate(script.agents)
    ]
    working = [asyncio.create_task(agent.work(calls)) for agent in agents]
    try:
        await _come(customers, script.morning)
        await calls.join()
        for topic in range(script.topics):
            await _review(stage, ledger, script, topic)
            step()
        await _come(customers, script.afternoon)
        await calls.join()
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    return ledger


async def _come(customers: Customers, parts: Sequence[Part]) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(part: Part) -> None:
        async with at_once:
            await customers.play(part)

    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(one(part))


async def _review(stage: Stage, ledger: Ledger, script: Script, topic: int) -> None:
    answer = next(part.reply for part in script.morning if part.topic == topic)
    try:
        agent = script.agents[topic % len(script.agents)]
        await review(stage, ledger, question=lambda text: answer in text, agent=agent)
    except TimeoutError:
        # The records will miss it, and so will whoever asks again.
        return


async def _records(database_uri: str) -> Records:
    connection = await psycopg.AsyncConnection.connect(database_uri, row_factory=dict_row, autocommit=True)
    async with connection as conn:
        # The last marks and labels are on their way to the desk; what cannot be sent is a dead letter within seconds.
        for _ in range(round(SETTLE_SECONDS / LOOK_SECONDS)):
            if await (await conn.execute(ON_THE_WAY)).fetchone() is None:
                break
            await asyncio.sleep(LOOK_SECONDS)
        facts = await (await conn.execute(RECORDS)).fetchone()
        rows = await (
            await conn.execute(
                "select action, count(*)::int as count from audit_log where detail ->> 'outcome' in"
                " ('stored', 'answered') group by action"
            )
        ).fetchall()
    assert facts is not None, "aggregates give a row"
    return Records(**facts, actions=Counter({row["action"]: row["count"] for row in rows}))
