"""The table at the end, and the same as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from verdict import Verdict

FINDINGS_SHOWN = 20


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def figures(verdict: Verdict, facts: dict[str, int | float]) -> dict[str, int | float]:
    """Every number of the run, in the order of the table."""
    return {
        **facts,
        "cards or lines repeated at the desk": verdict.desk_repeats,
        "seconds to answer, p50": round(percentile(verdict.waits, 0.5), 2),
        "seconds to answer, p95": round(percentile(verdict.waits, 0.95), 2),
        "seconds to answer, longest": round(max(verdict.waits, default=0.0), 2),
        "texts nobody asked for": len(verdict.strays),
        "rows left open or dead": len(verdict.open_rows),
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "out of order": len(verdict.out_of_order),
    }


def show(console: Console, numbers: dict[str, int | float], faults: Counter[str], verdict: Verdict) -> None:
    """Print the table, and the first findings when there are any."""
    table = Table(title="kefu chaos", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in numbers.items():
        table.add_row(name, f"{number:,}")
        if name == "vendor faults":
            for fault, count in sorted(faults.items()):
                table.add_row(f"  {fault}", str(count), style="dim")
    console.print(table)
    for title, findings in _findings(verdict).items():
        for finding in findings[:FINDINGS_SHOWN]:
            console.print(f"{title}: {finding}", markup=False, highlight=False)
        if len(findings) > FINDINGS_SHOWN:
            console.print(f"{title}: … and {len(findings) - FINDINGS_SHOWN} more", markup=False, highlight=False)


def write_json(path: Path, numbers: dict[str, int | float], faults: Counter[str], verdict: Verdict) -> None:
    """Write everything to a file."""
    content = {"figures": numbers, "faults": dict(sorted(faults.items())), "findings": _findings(verdict)}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def _findings(verdict: Verdict) -> dict[str, list[str]]:
    return {
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "out of order": verdict.out_of_order,
        "nobody asked for": verdict.strays,
        "left": verdict.open_rows,
    }
