"""The fault run, in small: its whole machinery and its verdict, in seconds instead of minutes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

RUN = Path(__file__).parent.parent / "chaos" / "run.py"
SMALL = {"--seed": "1", "--messages": "60", "--customers": "10", "--minutes": "0.12", "--patience": "60"}
FAULTS = {"--kill-every": "5", "--fault-every": "0.4", "--restarts": "0"}


async def test_nothing_is_lost_doubled_or_out_of_order_while_processes_are_killed(tmp_path):
    report = tmp_path / "report.json"
    options = [part for pair in {**SMALL, **FAULTS, "--json": str(report)}.items() for part in pair]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(RUN), *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            # It then ends everything it started.
            process.terminate()
            await process.wait()
    assert process.returncode == 0, output.decode()
    figures = json.loads(report.read_text())["figures"]
    assert figures["messages of customers"] == 60
    assert figures["customers who got to the end"] == 10
    assert figures["kill -9"] >= 1
    assert figures["vendor faults"] >= 5
    assert figures["handed over"] >= 10
    assert (figures["lost"], figures["doubled"], figures["out of order"]) == (0, 0, 0)
