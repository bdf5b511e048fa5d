"""The knowledge base: imports against the bare model, searches against the bare query, at several sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figures import quantile, verdict
from lines import part
from rich.table import Table
from service import fill, make_database, wecom_environment
from sizes import Size

REIMPORTED = 10_000
ROUNDS = 3
LARGE = 100_000


async def knowledge(server_uri: str, folder: Path, size: Size) -> dict[str, Any]:
    """Rates, latencies and memory; the vectors of the large bases are made up, so that they need no model."""
    environment = wecom_environment() | {"KB_DB_URL": make_database(server_uri, "knowledge")}
    await fill(environment, folder)
    async with part("knowledge_base.py", **environment) as base:
        await base.ask(do="forget")
        result: dict[str, Any] = {
            "imports": await base.ask(do="imports", count=size.imported, rounds=ROUNDS),
            "imports_again": await base.ask(do="imports_again", count=REIMPORTED, folder=str(folder)),
            "sizes": [],
        }
        for rows in size.entries:
            grown = await base.ask(do="grow", rows=rows)
            searched = await base.ask(do="searches", count=size.searches)
            result["sizes"].append({"rows": rows, **grown, **_in_milliseconds(searched)})
        result["reloads"] = await base.ask(do="reloads")
        result["calibrates"] = await base.ask(do="calibrates")
    return result


def _in_milliseconds(searched: dict[str, Any]) -> dict[str, Any]:
    took = {
        name: {"p50_ms": quantile(seconds, 0.5) * 1000, "p95_ms": quantile(seconds, 0.95) * 1000}
        for name, seconds in searched.pop("took").items()
    }
    return {**searched, **took, "ratio": took["ours"]["p95_ms"] / took["bare"]["p95_ms"]}


def show(result: dict[str, Any], table: Table) -> None:
    """Add the rows of this part."""
    imports, again = result["imports"], result["imports_again"]
    ratio = imports["ours"] / imports["bare"]
    goal = f"≥ 0.95: {verdict(is_met=ratio >= 0.95)}"
    table.add_row("entries imported/s", f"{imports['ours']:.0f}", f"{imports['bare']:.0f}", f"{ratio:.2f}", goal)
    is_met = again["again"] < 5 and not again["embedded"]
    took = f"{again['again']:.1f} s, {again['embedded']} embedded"
    table.add_row(f"import of {REIMPORTED:,} unchanged entries", took, "", "", f"< 5 s, 0: {verdict(is_met=is_met)}")
    for row in result["sizes"]:
        goal = ""
        if row["rows"] >= LARGE:
            is_met = row["ratio"] <= 2 and row["new"]["p95_ms"] <= 150
            goal = f"≤ 2, new ≤ 150 ms: {verdict(is_met=is_met)}"
        sides = (f"p50 {row[side]['p50_ms']:.1f}, p95 {row[side]['p95_ms']:.1f} ms" for side in ("ours", "bare"))
        table.add_row(f"search among {row['rows']:,}, known question", *sides, f"{row['ratio']:.2f}", goal)
        new = row["new"]
        facts = f"p50 {new['p50_ms']:.1f}, p95 {new['p95_ms']:.1f} ms"
        table.add_row(f"search among {row['rows']:,}, new question", facts)
        table.add_row(f"memory with {row['rows']:,} entries", f"{row['megabytes']:.0f} MB")
    reload = result["reloads"]
    took = f"{reload['seconds'] * 1000:.0f} ms, others waited {reload['stall'] * 1000:.0f} ms"
    table.add_row("search after one of them changed", took)
    table.add_row("calibration", f"{result['calibrates']['seconds']:.0f} s", "", "", "≤ 30 s")
