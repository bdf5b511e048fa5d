"""Fits the confidence to one knowledge base: to what a person judged, or to the base's own questions, or to neither.

Every search goes through the retriever the bot uses. From the base itself come: the floor, from messages of other
domains (`probes.txt`); right answers, from similar questions asked as if they were not stored; near misses, from
questions asked as if their entry were not stored. The weights are the mode of a posterior whose prior is the shipped
default, so little data changes little (a logistic regression with a Gaussian prior around those weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binomtest

from kb.bound import LEVEL, certify, clean_audits_for, upper_bound
from kb.confidence import CUT_OFFS, Basis, Calibration, Weights, cut_off, default_calibration, logistic
from kb.evidence import Evidence
from kb.lexical_index import LexicalIndex
from kb.measuring import Example, Label, Progress, measure, silent
from kb.retriever import PgRetriever

LEAST_OWN = 40
"""Similar questions below which the base tells too little about itself."""

LEAST_WRONG = 2
"""Wrong ones among judged messages below which nothing is refuted."""

CAUTION = 0.6
"""Once refuted and not certified anew, the share of the accepted rate that is aimed at."""

_PRIOR_PRECISION = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a calibration rests on and what it promises."""

    calibration: Calibration
    max_wrong: float
    examples: int
    labels: int
    answered: int
    """Labelled messages above the cut-off."""
    wrong: int
    bound: float | None
    """Upper limit of the rate of wrong answers among the labelled, at `LEVEL`; None without labels."""
    is_certified: bool
    """The cut-off was chosen by a test that keeps `max_wrong` at `LEVEL`."""
    needed: int
    """Judged answers without a wrong one that would certify it."""
    coverage: float | None
    """Share of the answerable examples that are answered; None without examples."""
    reliability: tuple[tuple[float, bool], ...]
    """Confidence and truth of each example, the labelled ones last."""
    searches: int = 0
    texts: int = 0
    """Texts that were searched for; what of them was embedded before cost nothing."""
    level: float = LEVEL


async def calibrate(
    retriever: PgRetriever,
    lexical: LexicalIndex,
    *,
    max_wrong: float,
    labels: Sequence[Label] = (),
    progress: Progress = silent,
) -> Report:
    """Measure the base and fit the confidence to it.

    Raises:
        IndexUnavailableError: the store or the embedding service does not answer.
    """
    measured = await measure(retriever, await lexical.current(), labels, progress=progress)
    start = default_calibration(max_wrong, floor=measured.floor, is_titled_passages=measured.is_titled_passages)
    report = settle(start, measured.own, measured.judged, max_wrong=max_wrong)
    return replace(report, searches=measured.searches, texts=measured.texts)


def settle(start: Calibration, own: Sequence[Example], judged: Sequence[Example], *, max_wrong: float) -> Report:
    """Choose weights and cut-off; without any example `start` stands.

    Judged messages change what holds without them in two cases only: a test certifies a cut-off, or they refute it.
    Aiming at the rate they merely expect broke it in most draws of 200 labels.
    """
    rights = sum(example.is_right for example in own)
    used = own if rights >= LEAST_OWN else ()
    chosen = _by_own_questions(start, used, max_wrong) if used else start
    fitted = _fitted(start, [*used, *judged], basis="labels")
    known = _scored(fitted, judged)
    certificate = certify([c for c, _ in known], [right for _, right in known], max_wrong=max_wrong)
    if certificate is not None:
        chosen = replace(fitted, threshold=certificate.threshold)
    elif _is_refuted(chosen, judged, max_wrong):
        expected = expected_threshold([c for c, _ in known], CAUTION * max_wrong)
        chosen = replace(fitted, threshold=max(expected, _usual(fitted, max_wrong)))
    return _report(chosen, used, judged, max_wrong=max_wrong, is_certified=certificate is not None)


def _report(
    chosen: Calibration, own: Sequence[Example], judged: Sequence[Example], *, max_wrong: float, is_certified: bool
) -> Report:
    scored = _scored(chosen, [*own, *judged])
    answered = [right for confidence, right in _scored(chosen, judged) if confidence >= chosen.threshold]
    wrong = len(answered) - sum(answered)
    answerable = [confidence for confidence, right in scored if right]
    return Report(
        calibration=chosen,
        max_wrong=max_wrong,
        examples=len(scored),
        labels=len(judged),
        answered=len(answered),
        wrong=wrong,
        bound=upper_bound(wrong, len(answered)) if judged else None,
        is_certified=is_certified,
        needed=clean_audits_for(max_wrong),
        coverage=sum(c >= chosen.threshold for c in answerable) / len(answerable) if answerable else None,
        reliability=tuple(scored),
    )


def _by_own_questions(start: Calibration, own: Sequence[Example], max_wrong: float) -> Calibration:
    fitted = _fitted(start, own, basis="own questions")
    expected = expected_threshold([c for c, _ in _scored(fitted, own)], max_wrong)
    return replace(fitted, threshold=min(expected, _usual(fitted, max_wrong)))


def _fitted(start: Calibration, examples: Sequence[Example], *, basis: Basis) -> Calibration:
    passages = [e for e in examples if e.found.is_passage or start.is_titled_passages]
    questions = [e for e in examples if not (e.found.is_passage or start.is_titled_passages)]
    return replace(start, basis=basis, question=fit(questions, start.question), passage=fit(passages, start.passage))


def _scored(calibration: Calibration, examples: Sequence[Example]) -> list[tuple[float, bool]]:
    return [(_confidence(calibration, example.found), example.is_right) for example in examples]


def _is_refuted(chosen: Calibration, judged: Sequence[Example], max_wrong: float) -> bool:
    answered = [right for confidence, right in _scored(chosen, judged) if confidence >= chosen.threshold]
    wrong = len(answered) - sum(answered)
    # One slip may be chance, or a mistake of the judge's.
    if wrong < LEAST_WRONG:
        return False
    test = binomtest(wrong, len(answered), max_wrong, alternative="greater")
    return bool(test.pvalue < 1 - LEVEL)


def _usual(fitted: Calibration, max_wrong: float) -> float:
    # What holds on other bases, in the terms of this one: its own questions may allow more, and need not show as much,
    # because few of them are worded as closely as customers' messages are.
    least = Evidence(closeness=cut_off(max_wrong, CUT_OFFS), lead=1, wording=1, is_passage=False)
    return logistic(fitted.question.log_odds(least))


def fit(examples: Sequence[Example], prior: Weights) -> Weights:
    """Return the most probable weights given the examples, the prior when there are none."""
    if not examples:
        return prior
    design = np.array([[1.0, e.found.nearness, e.found.lead, e.found.wording] for e in examples])
    truth = np.array([float(e.is_right) for e in examples])
    weights = np.array([e.weight for e in examples])
    centre = np.array([prior.bias, prior.nearness, prior.lead, prior.wording])

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = design @ values
        away = values - centre
        misfit = float((weights * (np.logaddexp(0, odds) - truth * odds)).sum())
        slope = design.T @ (weights * (1 / (1 + np.exp(-odds)) - truth))
        return misfit + 0.5 * _PRIOR_PRECISION * float(away @ away), slope + _PRIOR_PRECISION * away

    # Being closer, further ahead or worded more alike never speaks against an answer.
    bounds = [(None, None), (0, None), (0, None), (0, None)]
    found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Weights(bias=float(found[0]), nearness=float(found[1]), lead=float(found[2]), wording=float(found[3]))


def expected_threshold(confidences: Sequence[float], rate: float) -> float:
    """Return the lowest cut-off above which the confidences themselves expect at most this rate of wrong answers.

    Where none of them is high enough, the confidence at which a single answer is expected to keep the rate.
    """
    threshold, missing = 1 - rate, 0.0
    for count, confidence in enumerate(sorted(confidences, reverse=True), start=1):
        missing += 1 - confidence
        if missing / count > rate:
            break
        threshold = confidence
    return threshold


def _confidence(calibration: Calibration, found: Evidence) -> float:
    is_passage = found.is_passage or calibration.is_titled_passages
    return logistic((calibration.passage if is_passage else calibration.question).log_odds(found))
