"""What the shipped defaults are worth on an unseen base: `EVAL_DIR=FOLDER python tests/evals/leave_one_out.py`.

For each set in EVAL_DIR whose entries are questions: the default weights and the table of cut-offs are fitted as the
shipped ones were, on the other sets, and the set that was left out is scored with them, through the retriever the bot
uses and with whatever its own questions add. The shipped sample is scored with the defaults fitted on all of them.
"""

from __future__ import annotations

import argparse
import os
import sys

from collected import Collected, collect, cut_offs, default_weights, shipped
from sets import markdown, note, other_sets, run_with_database, sample_set

from api.settings import Settings

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SCORED = (0.01, 0.02, 0.05)


def row(left_out: Collected, others: list[Collected]) -> list[list[str]]:
    weights, table = default_weights(others), cut_offs(others, RATES)
    rows = []
    for rate in SCORED:
        with shipped(weights, table):
            calibration = left_out.settled(rate)
            scored = left_out.score(calibration)
        rows.append(
            [
                left_out.name,
                ", ".join(each.name for each in others),
                f"{weights.bias:.2f} {weights.nearness:+.2f}",
                f"{rate:.0%}",
                f"{dict(table)[rate]:.3f}",
                calibration.basis,
                *(f"{100 * scored[name]:.1f}" for name in ("wrong", "resolved", "assisted", "ood_answered")),
            ]
        )
    return rows


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not os.environ.get("EVAL_DIR"):
        sys.stderr.write("EVAL_DIR names no folder of labelled sets\n")
        return 2
    sets = [sample_set(), *other_sets(set())]

    async def command(settings: Settings, conninfo: str) -> list[Collected]:
        found = []
        for labelled in sets:
            found.append(await collect(settings, conninfo, labelled))
            note(f"{labelled.name} searched")
        return found

    sample, *searched = run_with_database(command)
    questions = [each for each in searched if not each.is_titled]
    rows = [line for each in questions for line in row(each, [other for other in questions if other is not each])]
    rows += row(sample, questions)
    heads = ["left out", "fitted on", "weights", "asked for", "closeness", "fitted to", "wrong", "resolved", "assisted"]
    sys.stdout.write(markdown([*heads, "ood_answered"], rows) + "\n")
    titled = [each.name for each in searched if each.is_titled]
    sys.stdout.write(f"texts under titles, never answered without a reader: {', '.join(titled) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
