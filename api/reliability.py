"""A picture of the confidence: what it says against how often it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from api.errors import InputFileError
from kb.bound import interval
from kb.calibration import Report

BINS = 10

LEAST_IN_BIN = 10
"""Fewer examples than this a bin say nothing; then there are fewer bins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Neighbouring confidences, and how often they were right."""

    confidence: float
    """Their mean."""
    count: int
    right: int

    @property
    def share(self) -> float:
        """The share that was right."""
        return self.right / self.count

    @property
    def limits(self) -> tuple[float, float]:
        """The Clopper-Pearson limits of that share."""
        return interval(self.right, self.count)


def equal_bins(scored: Sequence[tuple[float, bool]], *, most: int = BINS) -> list[Bin]:
    """Put the examples into bins of about the same count, by rising confidence."""
    ordered = sorted(scored)
    count = min(most, max(1, len(ordered) // LEAST_IN_BIN)) if ordered else 0
    edges = [round(number * len(ordered) / count) for number in range(count + 1)] if count else []
    groups = [ordered[start:end] for start, end in pairwise(edges)]
    return [
        Bin(
            confidence=sum(confidence for confidence, _ in group) / len(group),
            count=len(group),
            right=sum(right for _, right in group),
        )
        for group in groups
    ]


def plotted(report: Report) -> Sequence[tuple[float, bool]]:
    """Return the examples to plot: what a person judged where there is some, else the base's own questions."""
    return report.reliability[-report.labels :] if report.labels else report.reliability


def plot(report: Report, path: Path) -> None:
    """Write the picture as PNG.

    Raises:
        InputFileError: the file cannot be written.
    """
    # Its import takes a second, and only this command draws. Without pyplot it draws with Agg: no screen is needed.
    from matplotlib.figure import Figure  # noqa: PLC0415

    bins = equal_bins(plotted(report))
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1.05), xlabel="confidence", ylabel="share that was right")
    axes.plot([0, 1], [0, 1], color="lightgrey", label="what it says is what happens")
    axes.axvline(report.calibration.threshold, linestyle="--", color="tab:red", label="answered from here on")
    if bins:
        shares = [each.share for each in bins]
        errors = [
            [share - each.limits[0] for share, each in zip(shares, bins, strict=True)],
            [each.limits[1] - share for share, each in zip(shares, bins, strict=True)],
        ]
        axes.errorbar([each.confidence for each in bins], shares, yerr=errors, fmt="o", capsize=3, label="examples")
        for each, share in zip(bins, shares, strict=True):
            axes.annotate(str(each.count), (each.confidence, share), xytext=(4, 4), textcoords="offset points")
    else:
        axes.text(0.5, 0.5, "no examples yet", ha="center")
    kind = "judged messages" if report.labels else "the base's own questions"
    axes.set_title(f"{sum(each.count for each in bins)} {kind}; bars: 95 % Clopper-Pearson")
    axes.legend(loc="upper left")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise InputFileError(f"{path} cannot be written ({type(error).__name__})") from error
