"""What a sample of judged answers says about the rate of wrong ones, and the cut-off that keeps a bound.

Clopper and Pearson (1934) for the bound of one rate; Learn then Test (Angelopoulos et al., 2021, fixed sequence
testing from the strictest cut-off down) for choosing among cut-offs without spoiling it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta

LEVEL = 0.95
"""How often the stated bound holds over repeated samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A cut-off and what the sample says about what is answered above it."""

    threshold: float
    answered: int
    wrong: int
    bound: float
    """Upper limit of the rate of wrong answers, at `LEVEL`."""


def upper_bound(wrong: int, answered: int, *, level: float = LEVEL) -> float:
    """Return the Clopper-Pearson upper limit of a rate; 1 when nothing was answered."""
    if answered == 0 or wrong >= answered:
        return 1.0
    return float(beta.ppf(level, wrong + 1, answered - wrong))


def interval(count: int, total: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson limits of a share; from 0 to 1 when there is nothing."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def clean_audits_for(rate: float, *, level: float = LEVEL) -> int:
    """Return how many judged answers without a wrong one bound the rate: 59 for 5 %, 149 for 2 %, 299 for 1 %."""
    return math.ceil(math.log(1 - level) / math.log(1 - rate))


def audits_missing(wrong: int, answered: int, rate: float, *, level: float = LEVEL) -> int:
    """Return how many more judged answers, all of them right, would bound the rate."""

    def keeps(more: int) -> bool:
        return upper_bound(wrong, answered + more, level=level) <= rate

    enough = 1
    while not keeps(enough):
        enough *= 2
    return bisect_left(range(enough + 1), True, key=keeps)


def certify(
    confidences: Sequence[float], is_right: Sequence[bool], *, max_wrong: float, level: float = LEVEL
) -> Certificate | None:
    """Choose the lowest cut-off whose rate of wrong answers is at most `max_wrong`, None when none is certain.

    Cut-offs are tested from the strictest down, beginning where a clean record could pass, and the first one that
    fails ends the test: so the level holds for the one chosen, not only for one fixed beforehand.
    """
    ordered = sorted(zip(confidences, is_right, strict=True), key=lambda pair: -pair[0])
    least = clean_audits_for(max_wrong, level=level)
    chosen: Certificate | None = None
    wrong = 0
    for answered, (confidence, right) in enumerate(ordered, start=1):
        wrong += not right
        is_tied = answered < len(ordered) and ordered[answered][0] == confidence
        if answered < least or is_tied:
            continue
        bound = upper_bound(wrong, answered, level=level)
        if bound > max_wrong:
            break
        chosen = Certificate(threshold=confidence, answered=answered, wrong=wrong, bound=bound)
    return chosen
