"""Acknowledged callbacks per second, against a bare route."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from figures import quantile, verdict
from lines import Part, part
from rich.table import Table
from service import Service, bare_route, make_database, serve, wecom_environment
from sizes import ACCOUNTS, Size

CONCURRENCIES = (1, 8, 32)


async def callbacks(server_uri: str, folder: Path, size: Size) -> list[dict[str, Any]]:
    """Acknowledged callbacks per second of `kefu serve` against the bare route."""
    environment = wecom_environment() | {"KB_DB_URL": make_database(server_uri, "callbacks")}
    async with (
        serve("--workers-inline", "0", environment=environment, folder=folder) as ours,
        bare_route(environment=environment, folder=folder) as bare,
        part("load.py", **environment) as load,
    ):
        for side in (ours, bare):
            await _round(load, side, size.callbacks // 4, max(CONCURRENCIES))
        rows = [await _compare(load, ours, bare, concurrency, size) for concurrency in CONCURRENCIES]
        # The worst case: no two callbacks can share a pull, so each adds a job and notifies the workers.
        worst = await _compare(load, ours, bare, 8, replace(size, accounts=size.callbacks))
        return [*rows, worst]


async def _compare(load: Part, ours: Service, bare: Service, concurrency: int, size: Size) -> dict[str, Any]:
    count = size.callbacks if concurrency > 1 else size.callbacks // 4
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(size.rounds):
        for name, side in (("ours", ours), ("bare", bare)):
            answer = await _round(load, side, count, concurrency, size.accounts)
            rates[name].append(count / answer["seconds"])
            took[name] += answer["took"]
    return {
        "concurrency": concurrency,
        "accounts": size.accounts,
        "ratio": statistics.median(a / b for a, b in zip(rates["ours"], rates["bare"], strict=True)),
        **{
            name: {
                "per_second": statistics.median(rates[name]),
                "p50_ms": quantile(took[name], 0.5) * 1000,
                "p99_ms": quantile(took[name], 0.99) * 1000,
            }
            for name in rates
        },
    }


async def _round(load: Part, side: Service, count: int, concurrency: int, accounts: int = ACCOUNTS) -> dict[str, Any]:
    answer = await load.ask(port=side.port, count=count, concurrency=concurrency, accounts=accounts)
    if answer["failed"]:
        raise RuntimeError(f"{answer['failed']} of {count} callbacks were not acknowledged")
    return answer


def show(rows: list[dict[str, Any]], table: Table) -> None:
    """Add the rows of this part."""
    best = max(row["ours"]["per_second"] for row in rows if row["accounts"] == ACCOUNTS)
    for row in rows:
        ours, bare = row["ours"], row["bare"]
        is_best = ours["per_second"] == best
        is_met = best >= 300 and ours["p99_ms"] <= 50 and row["ratio"] >= 0.7
        goal = f"≥ 300/s, p99 ≤ 50 ms, ≥ 0.7: {verdict(is_met=is_met)}" if is_best else ""
        table.add_row(
            f"callbacks acknowledged/s, {row['concurrency']} at a time" + _accounts(row),
            *(_callback(side) for side in (ours, bare)),
            f"{row['ratio']:.2f}",
            goal,
        )


def _accounts(row: dict[str, Any]) -> str:
    return "" if row["accounts"] == ACCOUNTS else ", an account each"


def _callback(side: dict[str, float]) -> str:
    return f"{side['per_second']:.0f} (p50 {side['p50_ms']:.1f}, p99 {side['p99_ms']:.1f} ms)"
