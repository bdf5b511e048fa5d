"""What a search result looks like from outside: the numbers the confidence is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb.chunks import Hit
from kb.lexical import asks_other, clean, core, negates
from kb.ranking import rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The facts of one search result."""

    score: float
    """Cosine of the best hit."""
    margin: float
    """How far the best hit ranks above the next entry; 0 when it is the only one."""
    relative: float
    """Where the best score lies between the mean of the other entries (0) and the same text (1), whatever the scale."""
    relative_margin: float
    """The lead over the next entry on that scale."""
    is_passage: bool
    """The best hit has no question of its own."""
    has_same_core: bool
    """Query and hit say the same but for polite and question words."""
    differs_in_negation: bool
    asks_for_other: bool
    """Both name what they ask for (how, why, when, price …), and it is not the same."""


def features(query: str, hits: Sequence[Hit]) -> Features:
    """Look at a search result, best hit first."""
    best, others = hits[0], hits[1:5]  # the confidence was fitted on five hits
    asked, found = clean(query), clean(best.question or best.content)
    # One hit alone may be a base of one entry, or a search for one hit: no lead is known.
    margin = relative = relative_margin = 0.0
    if others:
        margin = rank(query, best) - rank(query, others[0])
        mean = sum(hit.score for hit in others) / len(others)
        room = max(1 - mean, 1e-3)
        relative = min(max((best.score - mean) / room, 0.0), 1.0)
        relative_margin = min(max((best.score - others[0].score) / room, 0.0), 1.0)
    return Features(
        score=best.score,
        margin=margin,
        relative=relative,
        relative_margin=relative_margin,
        is_passage=not best.question,
        has_same_core=bool(core(asked)) and core(asked) == core(found),
        differs_in_negation=negates(asked) != negates(found),
        asks_for_other=asks_other(asked, found),
    )
