"""A calibration in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kb.bound import audits_missing, clean_audits_for
from kb.calibration import LEAST_OWN, Report
from kb.confidence import Basis

BASIS: dict[Basis, str] = {
    "default": "the shipped default; nothing but the floor was measured on this base",
    "own questions": "the similar questions of this base",
    "labels": "messages a person judged",
}

LADDER = (0.05, 0.02, 0.01)


def calibration_facts(report: Report) -> dict[str, Any]:
    """Return what a program wants to know."""
    fitted = report.calibration
    return {
        "basis": fitted.basis,
        "examples": report.examples,
        "labels": report.labels,
        "floor": fitted.floor,
        "threshold": fitted.threshold,
        "is_titled_passages": fitted.is_titled_passages,
        "max_wrong": report.max_wrong,
        "answered": report.answered,
        "wrong": report.wrong,
        "bound": report.bound,
        "level": report.level,
        "is_certified": report.is_certified,
        "coverage": report.coverage,
        "missing": _missing(report),
        "searches": report.searches,
        "texts": report.texts,
    }


def calibration_lines(report: Report, *, seconds: float | None = None) -> list[str]:
    """Return what a person wants to know, a fact a line."""
    return [f"{name:<10} {text}" for name, text in _facts(report, seconds)]


def _facts(report: Report, seconds: float | None) -> Iterator[tuple[str, str]]:
    fitted = report.calibration
    yield "basis", f"{fitted.basis}: {BASIS[fitted.basis]}"
    own = report.examples - report.labels
    yield "n", f"{report.examples} examples: {own} questions of the base, {report.labels} judged messages"
    if fitted.is_titled_passages:
        yield "passages", "the entries are texts under titles: offered for choice, answered only on a reader's word"
    yield "floor", f"{fitted.floor:.3f}, the cosine that messages of other domains reach in this base"
    yield "threshold", f"confidence {fitted.threshold:.3f}, for at most {report.max_wrong:.1%} wrong answers"
    yield "bound", _bound(report)
    if report.coverage is not None:
        yield "coverage", f"{report.coverage:.0%} of the examples whose best hit is right would be answered"
    if not report.is_certified:
        yield "missing", _advice(report)
    if not report.is_certified and fitted.basis != "own questions":
        yield "too little", _too_little(report)
    cost = f"{report.searches} searches, {report.texts} texts embedded"
    yield "cost", cost if seconds is None else f"{cost}, {seconds:.1f} s"


def _bound(report: Report) -> str:
    if report.bound is None:
        return "none: no judged messages, so nothing is promised about this base"
    counted = f"{report.wrong} wrong of {report.answered} judged messages above the threshold"
    if report.is_certified:
        return f"at most {report.bound:.1%} wrong at {report.level:.0%} confidence (Clopper-Pearson; {counted})"
    if not report.answered:
        return "none: no judged message is above the threshold"
    return f"not certified: {counted}; at {report.level:.0%} confidence that is at most {report.bound:.1%} wrong"


def _advice(report: Report) -> str:
    ladder = ", ".join(f"{clean_audits_for(rate)} ⇒ ≤ {rate:.0%}" for rate in LADDER)
    return f"{_missing(report)} more judged answers, all of them right, would promise it ({ladder})"


def _missing(report: Report) -> int:
    return 0 if report.is_certified else audits_missing(report.wrong, report.answered, report.max_wrong)


def _too_little(report: Report) -> str:
    return (
        f"fewer than {LEAST_OWN} similar questions found again, and {report.labels} judged messages do not certify a "
        "cut-off: it leans on other bases; write similar questions, or judge messages"
    )
