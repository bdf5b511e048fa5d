"""What a search result looks like from outside: the few numbers the confidence is made of.

The one that carries over from base to base is `closeness`: where the cosine of the best hit lies between what messages
of other domains reach in this very base (its floor) and the same text. Raw cosines do not carry over: the bundled
model gives unrelated texts 0.80 to 0.95, depending on how many and how wide the entries are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kb.chunks import Hit
from kb.ranking import found_rank

IDENTICAL = 0.03
"""Closeness from 0.97 on counts as the same text: what is left is the noise of the model."""

LEAD = 0.05
"""A lead of so much over the next entry counts as a full one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The facts of one search result."""

    closeness: float
    """0: no closer than messages of other domains come; 1: the same text. Negative below the floor."""
    lead: float
    """How far the best hit ranks above the next entry, 0..1; 0 when it is the only one."""
    wording: float
    """How much of the wording is shared, 0..1."""
    is_passage: bool
    """The best hit has no question of its own."""

    @property
    def nearness(self) -> float:
        """Closeness on the scale the odds grow by: each halving of the room to the same text adds as much."""
        return max(-math.log(max(1 - self.closeness, IDENTICAL)), 0.0)


def closeness(score: float, floor: float) -> float:
    """Place a cosine between the floor of a base and the same text."""
    return (score - floor) / max(1 - floor, 1e-6)


def evidence(hits: Sequence[Hit], *, floor: float) -> Evidence:
    """Look at a search result, best hit first; there is at least one."""
    best = hits[0]
    # Not by a reranker's scores: their scale is its own. Where it put another hit first, there is no lead.
    ahead = found_rank(best) - max(map(found_rank, hits[1:])) if len(hits) > 1 else 0.0
    lead = min(max(ahead / LEAD, 0.0), 1.0)
    return Evidence(
        closeness=closeness(best.score, floor), lead=lead, wording=best.wording, is_passage=not best.question
    )
