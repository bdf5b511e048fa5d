"""What a sample of judged answers says about the rate of wrong ones, and the cut-off that keeps a bound.

Clopper and Pearson (1934) for the bound of one rate; Learn then Test (Angelopoulos et al., 2021, fixed sequence
testing from the strictest cut-off down) for choosing among cut-offs without spoiling it.
"""

from __future__ import annotations

import math
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


def clean_audits_for(rate: float, *, level: float = LEVEL) -> int:
    """Return how many judged answers without a wrong one bound the rate: 59 for 5 %, 149 for 2 %, 299 for 1 %."""
    return math.ceil(math.log(1 - level) / math.log(1 - rate))


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
