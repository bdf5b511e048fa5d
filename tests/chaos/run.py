"""Proves "nothing lost, nothing doubled, in order" while everything around the service fails.

Two HTTP processes, three workers, a PostgreSQL and both vendors' simulators on loopback; seeded, bounded, stopped in
the end. Exit code 0: proven; 1: something was lost, doubled or out of order, or the
run did not get to its end (the log is kept); 2: bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from faults import Saboteur
from observer import Observer
from plan import Script, customer_messages, make_scripts
from report import figures, show, write_json
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from stage import Stage, open_stage
from traffic import Ledger, Traffic
from verdict import INBOX, OPEN, UNHANDLED, judge, write_rows

QUIET_SECONDS = 75
"""How long the queues may take to run dry once nothing fails any more: the pull of every minute is among it."""
PLAIN_PROGRESS_SECONDS = 15
QUEUES = (INBOX, UNHANDLED, OPEN)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="what is said and what fails when (default: 1)")
    parser.add_argument("--messages", type=int, default=2000, help="messages of all customers (default: 2000)")
    parser.add_argument("--customers", type=int, default=200, help="customers (default: 200)")
    parser.add_argument("--minutes", type=float, default=4.5, help="over which the messages spread (default: 4.5)")
    parser.add_argument("--kill-every", type=float, default=5, help="seconds between two kill -9 (default: 5)")
    parser.add_argument(
        "--fault-every", type=float, default=0.5, help="seconds between two vendor faults (default: 0.5)"
    )
    parser.add_argument("--restarts", type=int, default=2, help="restarts of PostgreSQL (default: 2)")
    parser.add_argument("--break", dest="broken", choices=["dedupe"], help="take a safeguard out; the run must fail")
    parser.add_argument("--patience", type=float, default=150, help="seconds for stragglers (default: 150)")
    parser.add_argument("--json", type=Path, help="write figures and findings to this file")
    given = parser.parse_args()
    if not 1 <= given.customers <= given.messages:
        parser.error("--customers must be at least 1 and at most --messages")
    if min(given.minutes, given.kill_every, given.fault_every) <= 0 or given.restarts < 0:
        parser.error("--minutes, --kill-every and --fault-every must be above 0, --restarts at least 0")
    return given


async def play(given: argparse.Namespace, scripts: list[Script], folder: Path, console: Console) -> bool:
    """Run it all and print what came of it; true when it got to its end and nothing was found."""
    async with contextlib.AsyncExitStack() as stack:
        console.print("starting PostgreSQL, simulators, 2 serve and 3 worker processes …", style="dim")
        stage = await stack.enter_async_context(open_stage(has_dedupe=given.broken != "dedupe", folder=folder))
        observer = Observer(stage.wecom, stage.telegram)
        reading = asyncio.create_task(observer.run())
        stack.push_async_callback(_cancel, reading)
        traffic = Traffic(stage=stage, observer=observer, ledgers=[Ledger(script=script) for script in scripts])
        wanted = customer_messages(scripts)
        saboteur = Saboteur(
            stage=stage,
            chance=random.Random(given.seed + 1),
            seconds=given.minutes * 60,
            kill_every=given.kill_every,
            fault_every=given.fault_every,
            restarts=given.restarts,
            progress=lambda: traffic.sent / wanted,
        )
        began = time.monotonic()
        showing = asyncio.create_task(_show_progress(console, traffic, saboteur, wanted))
        stack.push_async_callback(_cancel, showing)
        sabotage = asyncio.create_task(saboteur.run())
        stack.push_async_callback(_cancel, sabotage)
        await traffic.run(limit=given.minutes * 60 + given.patience)
        await _cancel(sabotage)
        await _until_quiet(stage, {msgid for ledger in traffic.ledgers for msgid in ledger.msgids})
        await _cancel(showing)
        numbers = _facts(traffic, saboteur, observer, time.monotonic() - began)
        # The verdict is about what they left, and they may hold every connection there is.
        await stage.fleet.stop()
        verdict = await asyncio.to_thread(judge, traffic.ledgers, observer, stage.database)
        numbers = figures(verdict, numbers)
        show(console, numbers, saboteur.counts, verdict)
        if given.json:
            write_json(given.json, numbers, saboteur.counts, verdict)
        is_complete = all(ledger.is_finished for ledger in traffic.ledgers) and not verdict.open_rows
        if not (verdict.is_clean and is_complete):
            await asyncio.to_thread(write_rows, verdict, stage.database, folder / "rows.txt")
        if verdict.is_clean and not is_complete:
            console.print("nothing was lost, but the run did not get to its end in time", style="bold")
        return verdict.is_clean and is_complete


def _facts(traffic: Traffic, saboteur: Saboteur, observer: Observer, seconds: float) -> dict[str, int | float]:
    dues = [due for ledger in traffic.ledgers for due in ledger.dues]

    def count(kind: str) -> int:
        return sum(due.kind == kind for due in dues)

    return {
        "seconds": round(seconds),
        "customers": len(traffic.ledgers),
        "customers who got to the end": sum(ledger.is_finished for ledger in traffic.ledgers),
        "messages of customers": traffic.sent,
        "answers due": count("answer"),
        "handed over": count("hold"),
        "replies of people": count("reply"),
        "messages to customers": sum(map(len, observer.received.values())),
        "messages at the desk": len(observer.desk),
        "kill -9": saboteur.stage.fleet.kills,
        "processes ended by themselves": saboteur.stage.fleet.own_exits,
        "PostgreSQL restarts": saboteur.db_restarts,
        "vendor faults": saboteur.counts.total(),
    }


async def _until_quiet(stage: Stage, msgids: set[str]) -> None:
    """Wait until everything written was fetched and no row is left to work on, or time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(QUIET_SECONDS):
            while True:
                with contextlib.suppress(psycopg.OperationalError):
                    stored, *counts = [await asyncio.to_thread(stage.database.rows, each) for each in QUEUES]
                    if msgids <= {msgid for msgid, _ in stored} and counts == [[(0,)], [(0,)]]:
                        return
                await asyncio.sleep(0.5)


async def _show_progress(console: Console, traffic: Traffic, saboteur: Saboteur, wanted: int) -> None:
    def line() -> str:
        fleet = saboteur.stage.fleet
        delivered = sum(map(len, traffic.observer.received.values()))
        return (
            f"{traffic.sent}/{wanted} sent, {delivered} delivered, {fleet.kills} killed, "
            f"{saboteur.db_restarts} database restarts, {saboteur.counts.total()} vendor faults"
        )

    if not console.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_PROGRESS_SECONDS)
            console.print(line(), highlight=False)
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=wanted)
        while True:
            progress.update(task, description=line(), completed=traffic.sent)
            await asyncio.sleep(0.5)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _main(given: argparse.Namespace, scripts: list[Script], folder: Path, console: Console) -> bool:
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    return await play(given, scripts, folder, console)


def main() -> int:
    """Run as a program."""
    given = arguments()
    # A client that is killed while it asks would leave a traceback of the simulators' server.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    console = Console(highlight=False)
    try:
        scripts = make_scripts(
            seed=given.seed, messages=given.messages, customers=given.customers, seconds=given.minutes * 60
        )
    except ValueError as error:
        console.print(f"run.py: {error}", markup=False)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="kefu-chaos-log-"))
    is_clean = False
    try:
        is_clean = asyncio.run(_main(given, scripts, folder, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped", style="dim")
        return 130
    finally:
        if is_clean:
            shutil.rmtree(folder)
        else:
            console.print(f"service.log and rows.txt are in {folder}", markup=False)
    console.print("nothing lost, nothing doubled, in order" if is_clean else "NOT proven", style="bold")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
