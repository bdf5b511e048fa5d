"""How right the bot is on labelled messages: `python tests/evals/run.py [--record] [--only NAME…] [--json FILE]`.

Runs the set shipped with the project, and the sets in the folder named by EVAL_DIR. Each twice: without labels, and
with 200 messages taken at random (seed 0) as labels, scored on the rest. The accepted rate of wrong answers is 2 %. The
shipped set is compared with the latest line of `history.jsonl`; `--record` adds a line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scoring import FIGURES, score
from sets import MAX_WRONG, SAMPLE, LabelledSet, markdown, note, other_sets, run_with_database, sample_set

from api.evaluation import open_trial
from api.settings import Settings

HISTORY = Path(__file__).parent / "history.jsonl"

TOLERANCE = 0.02
"""A figure that is worse by more than this fails the run: one message in fifty."""

BETTER = {"wrong": -1, "ood_answered": -1, "ood_suggested": -1, "aurc": -1, "resolved": 1, "assisted": 1, "top1": 1}

Row = dict[str, Any]


async def run_set(settings: Settings, conninfo: str, labelled: LabelledSet) -> list[Row]:
    rows: list[Row] = []
    labels, rest = labelled.split()
    started = time.monotonic()
    async with open_trial(settings, conninfo, labelled.entries) as trial:
        for given in ([], labels):
            report = await trial.fit(given, max_wrong=MAX_WRONG)
            decisions = await trial.decide(labelled.queries)
            scored = [each for each in decisions if not given or each["query_index"] in rest]
            rows.append(
                {
                    "set": labelled.name,
                    "labels": len(given),
                    **{name: round(value, 4) for name, value in score(scored, labelled.messages).items()},
                    "basis": report.calibration.basis,
                    "is_certified": report.is_certified,
                }
            )
    note(f"{labelled.name}: {time.monotonic() - started:.0f} s")
    return rows


def table(rows: list[Row]) -> str:
    """Write the rows as Markdown; shares in percent."""
    heads = ["set", "labels", *FIGURES, "fitted to"]
    cells = [
        [
            row["set"],
            str(row["labels"]),
            *(figure(name, row[name]) for name in FIGURES),
            row["basis"] + (", certified" if row["is_certified"] else ""),
        ]
        for row in rows
    ]
    return markdown(heads, cells)


def figure(name: str, value: float) -> str:
    if name == "n":
        return str(value)
    return f"{value:.3f}" if name == "aurc" else f"{100 * value:.1f}"


def worse_than_before(rows: list[Row]) -> list[str]:
    """Name the figures of the shipped set that fell behind the latest recorded ones."""
    lines = HISTORY.read_text(encoding="utf-8").splitlines() if HISTORY.exists() else []
    if not lines:
        return []
    before = {(row["set"], row["labels"]): row for row in json.loads(lines[-1])["rows"]}
    return [
        f"{row['set']} with {row['labels']} labels: {name} was {old[name]:.3f}, is {row[name]:.3f}"
        for row in rows
        if (old := before.get((row["set"], row["labels"])))
        for name, sign in BETTER.items()
        if sign * (row[name] - old[name]) < -TOLERANCE
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="add a line to history.jsonl")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these sets of EVAL_DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    target = options.json and options.json.resolve()
    sets = [sample_set(), *other_sets(set(options.only))]

    async def command(settings: Settings, conninfo: str) -> list[Row]:
        return [row for labelled in sets for row in await run_set(settings, conninfo, labelled)]

    rows = run_with_database(command)
    sys.stdout.write(table(rows) + "\n")
    if target:
        target.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    problems = worse_than_before(rows)
    for problem in problems:
        sys.stdout.write(f"worse than before: {problem}\n")
    if options.record:
        line = {"date": datetime.now(UTC).date().isoformat(), "rows": [row for row in rows if row["set"] == SAMPLE]}
        with HISTORY.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return 1 if problems and not options.record else 0


if __name__ == "__main__":
    sys.exit(main())
