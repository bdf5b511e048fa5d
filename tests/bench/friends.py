"""A burst of new friends: how long after its callback began each is welcomed, while the codes live 20 seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figures import quantile, verdict
from lines import part
from rich.table import Table
from service import fill, make_database, serve, wecom_environment
from sizes import Size

AT_ONCE = 8
"""Callbacks in flight, as fast as they are acknowledged."""
GOAL_SECONDS = 2


async def friends(server_uri: str, folder: Path, size: Size) -> list[dict[str, Any]]:
    """Seconds from callback to welcome, for a burst of friends, with the worker inside the server."""
    environment = wecom_environment() | {"KB_DB_URL": make_database(server_uri, "friends")}
    async with part("new_friends.py", **environment) as wecom:
        environment["WECOM_API_BASE"] = (await wecom.ask(do="start"))["api_base"]
        await fill(environment, folder)
        async with serve(environment=environment, folder=folder) as service:
            await wecom.ask(do="point", callback_url=f"http://127.0.0.1:{service.port}/wecom/callback")
            await wecom.ask(do="burst", count=20, at_once=AT_ONCE)
            answer = await wecom.ask(do="burst", count=size.friends, at_once=AT_ONCE)
    took = answer["took"]
    return [
        {
            "friends": size.friends,
            "seconds": answer["seconds"],
            "per_second": size.friends / answer["seconds"],
            "p50": quantile(took, 0.5),
            "p99": quantile(took, 0.99),
            "longest": max(took),
        }
    ]


def show(rows: list[dict[str, Any]], table: Table) -> None:
    """Add the rows of this part."""
    for row in rows:
        is_met = row["p99"] < GOAL_SECONDS
        table.add_row(
            f"{row['friends']} new friends at once, seconds from callback to welcome",
            f"p50 {row['p50']:.2f}, p99 {row['p99']:.2f}, longest {row['longest']:.2f} ({row['per_second']:.0f}/s)",
            "the code's 20",
            f"{row['p99'] / 20:.2f}",
            f"p99 < {GOAL_SECONDS}: {verdict(is_met=is_met)}",
        )
