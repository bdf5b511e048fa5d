"""Speed against the floors, in one run: `python tests/bench/run.py [--json FILE] [--quick] [--only PART]`.

Every figure that matters is a ratio within the run, because absolute ones say more about the machine than about us. The
two sides of a ratio take turns, so that a machine that is busy with something else slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import callbacks
import desk
import friends
import knowledge
import pipeline
from rich.console import Console
from rich.table import Table
from service import clean_environment
from sizes import FULL, QUICK, Size

from api.embedded import embedded_postgres

PARTS = {"callbacks": callbacks, "pipeline": pipeline, "desk": desk, "friends": friends, "knowledge": knowledge}


async def measure(names: list[str], size: Size) -> dict[str, Any]:
    """Measure the named parts, one after the other."""
    with tempfile.TemporaryDirectory(prefix="kefu-bench-") as name, embedded_postgres(Path(name)) as uri:
        folder = Path(name) / "run"
        folder.mkdir()
        result: dict[str, Any] = {"machine": {"cpus": os.cpu_count(), "python": platform.python_version()}}
        for part in names:
            result[part] = await getattr(PARTS[part], part)(uri, folder, size)
        return result


def show(result: dict[str, Any], console: Console) -> None:
    """Print one table."""
    table = Table(title="kefu against the floors", title_justify="left")
    for name in ("what", "kefu", "floor", "ratio", "goal"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, part in PARTS.items():
        if name in result:
            part.show(result[name], table)
    console.print(table)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 1,000 conversations, 10,000 entries")
    parser.add_argument("--only", choices=PARTS, help="one part")
    options = parser.parse_args()
    cleaned = clean_environment({})
    os.environ.clear()
    os.environ.update(cleaned)
    result = asyncio.run(measure([options.only] if options.only else [*PARTS], QUICK if options.quick else FULL))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(result, Console(width=150))
    if options.only:
        return
    growth = Path(__file__).with_name("thread_growth.py")
    turns = ("10", "50") if options.quick else ("10", "100", "200")
    sys.exit(subprocess.run([sys.executable, str(growth), "--turns", *turns], check=False).returncode)


if __name__ == "__main__":
    main()
