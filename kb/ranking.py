"""From pieces to hits: the order of a search result, and one hit per entry."""

from __future__ import annotations

from collections.abc import Iterable

from kb.chunks import Hit

MAX_QUERY = 1000
"""Characters of a query that are embedded; a longer text would take seconds and says what it is about before that."""

LEXICAL_WIDTH = 10
"""Candidates that words alone bring into a search: a rare word finds what a vector passes by."""

WORDING_BONUS = 0.03
"""What sharing the whole wording is worth beside the cosine: enough to part near ties, which is where the bundled model
confuses 退货 with 退款. On four labelled sets the right entry came first for 99, 100, 95 and 83 % of the questions."""

COVERAGE_COST = 0.1
"""What a passage loses by the share of the query's words that it lacks. A vector knows nothing of an order number or a
model's name deep in a text: of made-up ones in 492 long passages 9 in 10 came first with this, 3 in 10 without."""


def rank(hit: Hit) -> float:
    """Return what hits are ordered by: a reranker's score where there is one, else cosine and wording."""
    return found_rank(hit) if hit.rerank_score is None else hit.rerank_score


def found_rank(hit: Hit) -> float:
    """Return what the search itself ranks a hit by; on one scale, whatever reranker there is."""
    if hit.question:
        return hit.score + WORDING_BONUS * hit.wording
    # At most what a question can have: a text that has all the words must not pass by the entry that asks just that.
    return hit.score + WORDING_BONUS - COVERAGE_COST * (1 - hit.wording)


def first_width(limit: int) -> int:
    """Return how many pieces to look at first; an entry with many similar questions may fill the first places."""
    return limit * 4 + 20


def best_per_entry(pieces: Iterable[Hit], *, limit: int) -> list[Hit]:
    """Order the pieces and keep the best one of each entry."""
    ordered = sorted(pieces, key=lambda hit: (-rank(hit), hit.chunk_id))
    seen: dict[str, Hit] = {}
    for hit in ordered:
        seen.setdefault(hit.entry_id, hit)
    return list(seen.values())[:limit]
