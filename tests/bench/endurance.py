"""Half of what the service can carry, for a while: `python tests/bench/endurance.py [--minutes N] [--json FILE]`.

Customers are made by locust. First the capacity: they write again as soon as they are answered. Then they write at half
of that rate. No message may stay without an answer, and the memory may not grow. Ends with 1 when either does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from figures import MEGABYTE, verdict
from lines import part
from pipeline import questions
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy import stats
from service import Service, clean_environment, fill, make_database, serve, wecom_environment

from api.embedded import embedded_postgres

SHARE = 0.5
"""Of the capacity."""

CROWD = 64
"""Customers who write as soon as they are answered: more are answered later, not faster."""

CROWD_MINUTES = 1.0

PACE = 5.0
"""Seconds from one message of a customer to the next, at half of the capacity."""

WARM_UP = 0.2
"""Share of the time after which memory is looked at: caches fill first."""

SAMPLE_SECONDS = 2.0
FLAT = 0.5
"""MB a minute that memory may surely grow by, at most."""

UNKNOWN = ("你们老板是谁呀?", "能在杯子上刻我家狗的名字吗?", "在吗", "谢谢")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """What was seen."""

    capacity: float
    """Messages a second when everybody writes as soon as answered."""
    rate: float
    """Messages a second during the run."""
    messages: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    unasked: int
    """Answers nobody waited for: a message answered twice, or in two parts."""
    megabytes: list[float]
    """Minute by minute, after the warm-up."""
    slope: float
    """MB a minute after the warm-up."""
    slope_error: float
    """Half of the slope's 95 % interval."""

    @property
    def is_flat(self) -> bool:
        """Whether nothing says that memory grows by more than `FLAT`."""
        return self.slope - self.slope_error <= FLAT


async def endure(minutes: float, console: Console) -> Endurance:
    """Start everything, measure the capacity, run at half of it."""
    with tempfile.TemporaryDirectory(prefix="kefu-load-") as name, embedded_postgres(Path(name)) as uri:
        folder = Path(name) / "run"
        folder.mkdir()
        environment = wecom_environment() | {"KB_DB_URL": make_database(uri, "endurance")}
        await fill(environment, folder)
        async with part("customers.py", **environment) as customers:
            environment["WECOM_API_BASE"] = (await customers.ask(do="set_up", callback_url=""))["api_base"]
            async with serve(environment=environment, folder=folder) as service:
                await customers.ask(do="set_up", callback_url=f"http://127.0.0.1:{service.port}/wecom/callback")
                door = (await customers.ask(do="open_door"))["url"]
                crowd = await (await _locust(door, CROWD, pace=0, minutes=CROWD_MINUTES))
                capacity = crowd["num_requests"] / (crowd["last_request_timestamp"] - crowd["start_time"])
                users = max(1, round(SHARE * capacity * PACE))
                reading = await _locust(door, users, pace=PACE, minutes=minutes)
                memory = await _watch(reading, service, minutes, console)
                unasked = (await customers.ask(do="close_door"))["unasked"]
                return _summary(await reading, memory, capacity, users / PACE, unasked)


async def _locust(door: str, users: int, *, pace: float, minutes: float) -> asyncio.Task[dict[str, Any]]:
    """Let customers write, each `pace` seconds after the message before; the task ends with what locust saw."""
    texts = "\n".join([*questions(), *UNKNOWN])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "locust",
        "--locustfile",
        str(Path(__file__).with_name("locustfile.py")),
        "--host",
        door,
        "--headless",
        "--json",
        "--users",
        str(users),
        "--spawn-rate",
        str(max(1, users / PACE)),
        "--run-time",
        f"{round(minutes * 60)}s",
        "--loglevel",
        "WARNING",
        env=clean_environment({"KEFU_LOAD_TEXTS": texts, "KEFU_LOAD_PACE": str(pace)}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    async def seen() -> dict[str, Any]:
        raw, errors = await process.communicate()
        if process.returncode not in (0, 1):
            raise RuntimeError(f"locust ended before its time: {errors.decode()}")
        [figures] = json.loads(raw)
        return dict(figures)

    return asyncio.create_task(seen())


async def _watch(
    running: asyncio.Task[Any], service: Service, minutes: float, console: Console
) -> list[tuple[float, float]]:
    """Note the memory until the run is over: minutes and megabytes."""
    began = time.monotonic()
    memory: list[tuple[float, float]] = []
    columns = TextColumn("customers write"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("customers write", total=minutes)
        while not running.done():
            passed = (time.monotonic() - began) / 60
            memory.append((passed, service.memory / MEGABYTE))
            bar.update(task, completed=passed)
            await asyncio.wait({running}, timeout=SAMPLE_SECONDS)
    return memory


def _summary(
    seen: dict[str, Any], memory: list[tuple[float, float]], capacity: float, rate: float, unasked: int
) -> Endurance:
    counts = {float(milliseconds): count for milliseconds, count in seen["response_times"].items()}
    warm = [point for point in memory if point[0] >= WARM_UP * memory[-1][0]]
    fit = stats.linregress(*zip(*warm, strict=True))
    return Endurance(
        capacity=capacity,
        rate=rate,
        messages=seen["num_requests"],
        failures=seen["num_failures"],
        p50_ms=_quantile(counts, 0.5),
        p95_ms=_quantile(counts, 0.95),
        p99_ms=_quantile(counts, 0.99),
        unasked=unasked,
        megabytes=[megabytes for _, megabytes in warm[:: round(60 / SAMPLE_SECONDS)]],
        slope=fit.slope,
        slope_error=fit.stderr * stats.t.ppf(0.975, len(warm) - 2),
    )


def _quantile(counts: dict[float, int], share: float) -> float:
    wanted, seen = share * sum(counts.values()), 0
    for milliseconds in sorted(counts):
        seen += counts[milliseconds]
        if seen >= wanted:
            return milliseconds
    return float("inf")


def show(result: Endurance, console: Console) -> None:
    """Print one table."""
    table = Table(title="kefu at half of its capacity", title_justify="left")
    for name in ("what", "seen", "goal"):
        table.add_column(name)
    table.add_row("capacity, and rate of the run", f"{result.capacity:.1f} / {result.rate:.1f} messages/s")
    table.add_row("messages", f"{result.messages:,}")
    table.add_row("without an answer", str(result.failures), f"0: {verdict(is_met=result.failures == 0)}")
    table.add_row("message to answer", f"p50 {result.p50_ms:.0f}, p95 {result.p95_ms:.0f}, p99 {result.p99_ms:.0f} ms")
    table.add_row("answers in further parts, or beside any question", str(result.unasked))
    table.add_row(
        "memory of kefu after the warm-up",
        f"{result.megabytes[0]:.0f} → {result.megabytes[-1]:.0f} MB,"
        f" {result.slope:+.2f} ± {result.slope_error:.2f} MB/min",
        f"flat, at most {FLAT} MB/min: {verdict(is_met=result.is_flat)}",
    )
    console.print(table)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    options = parser.parse_args()
    cleaned = clean_environment({})
    os.environ.clear()
    os.environ.update(cleaned)
    console = Console(width=130)
    result = asyncio.run(endure(options.minutes, console))
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=2) + "\n")
    show(result, console)
    sys.exit(0 if result.failures == 0 and result.is_flat else 1)


if __name__ == "__main__":
    main()
