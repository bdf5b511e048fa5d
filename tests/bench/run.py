"""Speed against the floors, in one run: `python tests/bench/run.py [--json FILE] [--quick]`.

Every figure that matters is a ratio within the run, because absolute ones say more about the machine than about us. The
two sides of a ratio take turns, so that a machine that is busy with something else slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from lines import Part, part
from rich.console import Console
from rich.table import Table
from service import Service, bare_route, clean_environment, fill, make_database, serve, wecom_environment

from api.embedded import embedded_postgres
from kb.readers import read_articles

CONCURRENCIES = (1, 8, 32)
ACCOUNTS = 4
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int
    callbacks: int
    wave: int
    waves: int
    singles: int
    conversations: tuple[int, ...]
    accounts: int = ACCOUNTS


FULL = Size(rounds=5, callbacks=1500, wave=300, waves=4, singles=50, conversations=(1_000, 10_000))
QUICK = Size(rounds=2, callbacks=600, wave=100, waves=3, singles=20, conversations=(1_000,))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


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


def questions() -> list[str]:
    """Every wording of the sample's questions, once."""
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        return list(dict.fromkeys(chunk.question for chunk in read_articles([sample]).chunks))


async def pipeline(server_uri: str, folder: Path, size: Size) -> dict[str, Any]:
    """Messages per second, latency and memory of the whole service, without a model."""
    environment = wecom_environment() | {"KB_DB_URL": make_database(server_uri, "pipeline")}
    await fill(environment, folder)
    bare_uri = make_database(server_uri, "bare_graph", template="pipeline")
    async with (
        part("customers.py", **environment) as customers,
        part("bare_graph.py", **environment | {"KB_DB_URL": bare_uri}) as bare,
    ):
        api_base = (await customers.ask(do="set_up", callback_url=""))["api_base"]
        environment["WECOM_API_BASE"] = api_base
        async with serve(environment=environment, folder=folder) as service:
            await customers.ask(do="set_up", callback_url=f"http://127.0.0.1:{service.port}/wecom/callback")
            result = await _waves(customers, bare, size)
            result["reply_ms"] = await _singles(customers, size)
            result["memory"] = await _memory(customers, service, size)
            return result


async def _waves(customers: Part, bare: Part, size: Size) -> dict[str, Any]:
    texts = questions()[: size.wave]
    who = [f"wmWave{number:05d}" for number in range(len(texts))]
    warm = {"texts": ["你好"] * 20, "customers": [f"wmWarm{number:03d}" for number in range(20)]}
    await customers.ask(do="wave", **warm)
    await bare.ask(**warm)
    waves = []
    for _ in range(size.waves):
        ours = (await customers.ask(do="wave", texts=texts, customers=who))["seconds"]
        floor = (await bare.ask(texts=texts, customers=who))["seconds"]
        waves.append({"ours": len(texts) / ours, "bare": len(texts) / floor, "ratio": floor / ours})
    # The first wave embeds every question, the others find the vectors in the cache.
    known = waves[1:]
    return {
        "new_questions": waves[0],
        "known_questions": {name: statistics.median(wave[name] for wave in known) for name in known[0]},
    }


async def _singles(customers: Part, size: Size) -> dict[str, float]:
    texts = list(itertools.islice(itertools.cycle(reversed(questions())), size.singles))
    who = [f"wmSingle{number:03d}" for number in range(size.singles)]
    took = (await customers.ask(do="one_by_one", texts=texts, customers=who))["took"]
    return {"p50": quantile(took, 0.5) * 1000, "p95": quantile(took, 0.95) * 1000}


async def _memory(customers: Part, service: Service, size: Size) -> dict[str, float]:
    texts, batch = questions()[:100], 250
    memory = {"0": service.memory / MEGABYTE}
    done = 0
    for goal in size.conversations:
        while done < goal:
            who = [f"wmMemory{number:06d}" for number in range(done, min(done + batch, goal))]
            asked = list(itertools.islice(itertools.cycle(texts), len(who)))
            await customers.ask(do="wave", texts=asked, customers=who)
            done += len(who)
        memory[str(goal)] = service.memory / MEGABYTE
    return memory


def show(result: dict[str, Any], console: Console) -> None:
    """Print one table."""
    table = Table(title="kefu against the floors", title_justify="left")
    for name in ("what", "kefu", "floor", "ratio", "goal"):
        table.add_column(name, justify="left" if name == "what" else "right")
    best = max(row["ours"]["per_second"] for row in result["callbacks"] if row["accounts"] == ACCOUNTS)
    for row in result["callbacks"]:
        ours, bare = row["ours"], row["bare"]
        is_best = ours["per_second"] == best
        is_met = best >= 300 and ours["p99_ms"] <= 50 and row["ratio"] >= 0.7
        goal = f"≥ 300/s, p99 ≤ 50 ms, ≥ 0.7: {_verdict(is_met=is_met)}" if is_best else ""
        table.add_row(
            f"callbacks acknowledged/s, {row['concurrency']} at a time" + _accounts(row),
            *(_callback(side) for side in (ours, bare)),
            f"{row['ratio']:.2f}",
            goal,
        )
    for name in ("new_questions", "known_questions"):
        row = result["pipeline"][name]
        goal = f"≥ 0.5: {_verdict(is_met=row['ratio'] >= 0.5)}"
        what = f"messages/s, pipeline, {name.replace('_', ' ')}"
        table.add_row(what, f"{row['ours']:.1f}", f"{row['bare']:.1f}", f"{row['ratio']:.2f}", goal)
    reply = result["pipeline"]["reply_ms"]
    table.add_row("callback to reply, one at a time", f"p50 {reply['p50']:.0f} ms, p95 {reply['p95']:.0f} ms")
    for count, megabytes in result["pipeline"]["memory"].items():
        table.add_row(f"memory after {int(count):,} conversations", f"{megabytes:.0f} MB")
    console.print(table)


def _accounts(row: dict[str, Any]) -> str:
    return "" if row["accounts"] == ACCOUNTS else ", an account each"


def _callback(side: dict[str, float]) -> str:
    return f"{side['per_second']:.0f} (p50 {side['p50_ms']:.1f}, p99 {side['p99_ms']:.1f} ms)"


def _verdict(*, is_met: bool) -> str:
    return "met" if is_met else "missed"


async def measure(size: Size) -> dict[str, Any]:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="kefu-bench-") as name, embedded_postgres(Path(name)) as uri:
        folder = Path(name) / "run"
        folder.mkdir()
        machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
        return {
            "machine": machine,
            "callbacks": await callbacks(uri, folder, size),
            "pipeline": await pipeline(uri, folder, size),
        }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 1,000 conversations")
    options = parser.parse_args()
    cleaned = clean_environment({})
    os.environ.clear()
    os.environ.update(cleaned)
    result = asyncio.run(measure(QUICK if options.quick else FULL))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(result, Console(width=150))
    growth = Path(__file__).with_name("thread_growth.py")
    turns = ("10", "50") if options.quick else ("10", "100", "200")
    sys.exit(subprocess.run([sys.executable, str(growth), "--turns", *turns], check=False).returncode)


if __name__ == "__main__":
    main()
