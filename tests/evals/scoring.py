"""What a list of decisions is worth, against labelled messages.

A message is answerable when it has a `gold_id`. A decision is wrong when it answers with another entry than that, or
answers a message that has none.

    wrong       wrong answers among the answers
    resolved    answerable messages answered with their entry, among the answerable
    assisted    the same, or their entry among the three offered for choice
    top1        answerable messages whose entry came first, answered or not
    ood_answered, ood_suggested   messages of another domain that were answered, or had something offered
    aurc        the mean rate of wrong ones among the k surest, over all k; equal confidences share their errors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OFFERED = 3

FIGURES = ("wrong", "resolved", "assisted", "ood_answered", "ood_suggested", "top1", "aurc", "n")


def score(decisions: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Score the decisions on these messages; `query_index` tells which message a decision is about."""
    told = {decision["query_index"]: decision for decision in decisions}
    pairs = [(told[index], message) for index, message in enumerate(messages) if index in told]
    answerable = [pair for pair in pairs if pair[1]["gold_id"] is not None]
    strange = [decision for decision, message in pairs if message.get("kind") == "ood"]
    answered = [pair for pair in pairs if is_answer(pair[0])]
    resolved = [pair for pair in answerable if is_answer(pair[0]) and is_right(*pair)]
    offered = [
        pair for pair in answerable if not is_answer(pair[0]) and pair[1]["gold_id"] in pair[0]["suggested"][:OFFERED]
    ]
    return {
        "wrong": share(sum(not is_right(*pair) for pair in answered), len(answered)),
        "resolved": share(len(resolved), len(answerable)),
        "assisted": share(len(resolved) + len(offered), len(answerable)),
        "ood_answered": share(sum(map(is_answer, strange)), len(strange)),
        "ood_suggested": share(sum(not is_answer(each) and bool(each["suggested"]) for each in strange), len(strange)),
        "top1": share(sum(is_right(*pair) for pair in answerable), len(answerable)),
        "aurc": aurc(
            [decision["confidence"] for decision, _ in pairs if decision["entry_id"] is not None],
            [is_right(*pair) for pair in pairs if pair[0]["entry_id"] is not None],
        ),
        "n": len(pairs),
    }


def is_answer(decision: Mapping[str, Any]) -> bool:
    return bool(decision["answered"]) and decision["entry_id"] is not None


def is_right(decision: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    return message["gold_id"] is not None and decision["entry_id"] == message["gold_id"]


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def aurc(confidences: Sequence[float], right: Sequence[bool]) -> float:
    if not confidences:
        return 0.0
    order = np.argsort(-np.asarray(confidences), kind="stable")
    ranked = np.asarray(confidences)[order]
    errors = np.cumsum(~np.asarray(right, dtype=bool)[order])
    # Only where the confidence changes is the number of errors certain; in between it grows evenly.
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    places = np.arange(1, len(ranked) + 1)
    expected = np.interp(places, np.append(0, ends + 1), np.append(0, errors[ends]))
    return float(np.mean(expected / places))
