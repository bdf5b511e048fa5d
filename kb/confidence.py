"""How sure the bot may be of its best hit: a probability fitted to the knowledge base, and the cut-off for it.

The shipped weights are a default, not a measurement of your base. They were fitted once, with the bundled embedding
model, on three labelled sets pooled with equal weight: patients' questions (Chinese, 589 entries), everyday questions
(Chinese, 1616 entries) and the live chat of a shop (English, 28 entries). About half of the messages had no right
entry, many of those looked alike on purpose. On each of the three the default cut-off of 2 % was chosen by the other
two; `docs/accuracy.md` has the table. `kb.calibration` fits them to a base.

A passage under a title is another matter: that a title sounds like the question does not tell that its text answers it.
On a set of web searches against titled passages one in three was wrong even at the same wording, whatever was looked
at from outside. So a passage is offered for choice, and answered only when a reader found the answer in it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kb.chunks import Grade, Hit
from kb.evidence import Evidence, closeness, evidence
from kb.lexical import asks_other, clean, negates
from kb.lexical_index import LEG

Basis = Literal["default", "own questions", "labels"]
"""What the weights were fitted to: nothing of this base, its similar questions, or messages a person judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Log odds that the best hit answers: a sum over the evidence."""

    bias: float
    nearness: float
    lead: float = 0.0
    wording: float = 0.0

    def log_odds(self, found: Evidence) -> float:
        """Add up."""
        return self.bias + self.nearness * found.nearness + self.lead * found.lead + self.wording * found.wording


QUESTION = Weights(bias=-1.93, nearness=2.63)
"""For entries with a question of their own."""

PASSAGE = Weights(bias=-1.43, nearness=1.01)
"""For passages and titled passages; never enough without a reader."""

SHORTLIST = (-1.44, 3.75)
"""Log odds that the right entry is among the first three, over closeness; fitted on all four sets."""

SUPPORTED, REFUTED = 3.0, -4.0
"""What a reader's word adds to the log odds: a guess on the careful side, no set has been read by a model."""

# Accepted rate of wrong answers -> smallest closeness, the strictest of the three sets; between them, interpolated.
CUT_OFFS = ((0.005, 0.95), (0.01, 0.9), (0.02, 0.84), (0.05, 0.73), (0.1, 0.65), (0.2, 0.5))

DEFAULT_FLOOR = 0.92
"""Until a base has been measured: where messages of other domains end with the bundled model in a wide base."""

LEXICAL_THRESHOLD = 0.93
"""While no embedding can be made only what is almost the same question is answered: on three labelled sets 0, 0 and
2 % of those answers were wrong. A higher accepted rate buys nothing, words alone are not trusted further."""

LEXICAL_LEAD = 0.1
"""How far the next entry must be behind; two entries worded alike are for a person to tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The confidence of one base, as fitted; plain values, so that it can be stored."""

    basis: Basis
    floor: float
    """The cosine that messages of other domains reach in this base, its 95th percentile."""
    is_titled_passages: bool
    """The entries are texts under titles, not answers to their questions."""
    question: Weights
    passage: Weights
    threshold: float
    """The smallest confidence that is answered."""


def default_calibration(
    max_wrong: float, *, floor: float = DEFAULT_FLOOR, is_titled_passages: bool = False
) -> Calibration:
    """Return what holds for a base about which nothing but its floor is known."""
    return Calibration(
        basis="default",
        floor=floor,
        is_titled_passages=is_titled_passages,
        question=QUESTION,
        passage=PASSAGE,
        threshold=default_threshold(max_wrong),
    )


def default_threshold(max_wrong: float) -> float:
    """Return the confidence to ask for when no data of the base tells which."""
    least = Evidence(closeness=cut_off(max_wrong, CUT_OFFS), lead=0, wording=0, is_passage=False)
    return logistic(QUESTION.log_odds(least))


class CalibratedGrader:
    """Grades search results; `search` should have been asked for five hits."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0.

        `is_supported` is what a reader made of it: whether the best hit answers this very query; None when nobody read.
        """
        if is_lexical(hits):
            return grade_lexical(query, hits)
        fitted = self.calibration
        if not hits:
            return Grade(confidence=0.0, threshold=fitted.threshold)
        found = evidence(hits, floor=fitted.floor)
        weights = fitted.passage if found.is_passage or fitted.is_titled_passages else fitted.question
        odds = weights.log_odds(found)
        if is_supported is not None:
            odds += SUPPORTED if is_supported else REFUTED
        return Grade(confidence=logistic(odds), threshold=fitted.threshold, **_shortlist(found.closeness))


class SimilarityGrader:
    """The operator's fixed cut-off: the confidence is the score of the best hit."""

    def __init__(self, *, threshold: float, floor: float = DEFAULT_FLOOR) -> None:
        self._threshold = threshold
        self._floor = floor

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0, and so does a reader who found no answer."""
        # The cut-off is meant for cosines; shared wording is another scale.
        if is_lexical(hits):
            return grade_lexical(query, hits)
        # A threshold of 0 must not answer without any hit.
        threshold = self._threshold if hits else max(self._threshold, 1e-9)
        if not hits or is_supported is False:
            return Grade(confidence=0.0, threshold=max(threshold, 1e-9))
        score = min(max(hits[0].score, 0.0), 1.0)
        return Grade(confidence=score, threshold=threshold, **_shortlist(closeness(score, self._floor)))


def is_lexical(hits: Sequence[Hit]) -> bool:
    """Whether the hits were found by words alone."""
    return bool(hits) and hits[0].metadata.get("leg") == LEG


def grade_lexical(query: str, hits: Sequence[Hit]) -> Grade:
    """Grade hits found by words alone: sure only of what is almost the same question."""
    best, next_score = hits[0], hits[1].score if len(hits) > 1 else 0.0
    asked, found = clean(query), clean(best.question or best.content)
    is_other = not best.question or negates(asked) != negates(found) or asks_other(asked, found)
    is_alone = best.score - next_score >= LEXICAL_LEAD
    # Halved, not dropped: it may still be what a person would propose.
    confidence = best.score if is_alone and not is_other else best.score / 2
    return Grade(confidence=confidence, threshold=LEXICAL_THRESHOLD)


def cut_off(rate: float, table: Sequence[tuple[float, float]]) -> float:
    """Interpolate the cut-off for a rate of wrong answers; a rate below the table asks for almost certainty."""
    rates = [entry[0] for entry in table]
    place = bisect_right(rates, rate)
    if place == 0:
        # Nothing was measured down there: from the first entry towards 1 as the rate goes to 0.
        first_rate, first = table[0]
        return 1 - (1 - first) * rate / first_rate
    if place == len(table):
        return table[-1][1]
    (low_rate, low), (high_rate, high) = table[place - 1], table[place]
    return low + (high - low) * (rate - low_rate) / (high_rate - low_rate)


def logistic(log_odds: float) -> float:
    """Turn log odds into a probability."""
    return 1 / (1 + math.exp(-log_odds))


def _shortlist(close: float) -> dict[str, float]:
    bias, slope = SHORTLIST
    # At the floor: below it other domains begin, and asking back about those is a nuisance.
    return {"shortlist": logistic(bias + slope * close), "shortlist_threshold": logistic(bias)}
