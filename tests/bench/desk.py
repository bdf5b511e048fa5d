"""From an agent's message at the desk to the customer, one at a time, in both ways Telegram brings updates."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from figures import quantile, verdict
from lines import Part, part
from rich.table import Table
from service import fill, make_database, serve, wecom_environment
from sizes import Size

GOAL_MS = 300
MESSAGES_A_CUSTOMER = 3
"""A channel allows five to a customer who says nothing, and one has told that somebody comes."""

MODES = ("webhook", "polling")


async def desk(server_uri: str, folder: Path, size: Size) -> dict[str, Any]:
    """Milliseconds from an agent's message to its arrival at the customer's side."""
    environment = wecom_environment()
    await fill(environment | {"KB_DB_URL": make_database(server_uri, "desk")}, folder)
    result = {}
    for mode in MODES:
        # One each: both simulators number their updates alike, and a number that came before is not taken twice.
        database = {"KB_DB_URL": make_database(server_uri, f"desk_{mode}", template="desk")}
        result[mode] = await _mode(mode, environment | database, folder, size)
    return result


async def _mode(mode: str, environment: dict[str, str], folder: Path, size: Size) -> dict[str, float]:
    async with part("desk_people.py", **environment) as people:
        secret = secrets.token_hex(16)
        desk_environment = await people.ask(do="set_up", callback_url="")
        extra = {"TELEGRAM_MODE": mode, "TELEGRAM_WEBHOOK_SECRET": secret}
        async with serve(environment=environment | desk_environment | extra, folder=folder) as service:
            url = f"http://127.0.0.1:{service.port}"
            await people.ask(do="set_up", callback_url=f"{url}/wecom/callback")
            if mode == "webhook":
                await people.ask(do="hook", url=f"{url}/telegram/webhook", secret=secret)
            await _answer(people, f"{mode}Warm", 1)
            took = [
                seconds
                for number in range(-(-size.singles // MESSAGES_A_CUSTOMER))
                for seconds in await _answer(people, f"{mode}{number:03d}", MESSAGES_A_CUSTOMER)
            ]
    return {"p50": quantile(took, 0.5) * 1000, "p95": quantile(took, 0.95) * 1000, "messages": len(took)}


async def _answer(people: Part, customer: str, count: int) -> list[float]:
    texts = [f"{customer} 第 {number} 句" for number in range(count)]
    took: list[float] = (await people.ask(do="answer", question="转人工", customer=customer, texts=texts))["took"]
    return took


def show(result: dict[str, Any], table: Table) -> None:
    """Add the rows of this part."""
    for mode in MODES:
        row = result[mode]
        goal = f"p50 ≤ {GOAL_MS} ms: {verdict(is_met=row['p50'] <= GOAL_MS)}"
        figures = f"p50 {row['p50']:.0f} ms, p95 {row['p95']:.0f} ms"
        table.add_row(f"desk to customer, {mode}", figures, "", "", goal)
