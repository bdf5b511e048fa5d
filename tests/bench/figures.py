"""What every part of the benchmark does with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

MEGABYTE = 1 << 20


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def verdict(*, is_met: bool) -> str:
    """Say whether a goal was met."""
    return "met" if is_met else "missed"
