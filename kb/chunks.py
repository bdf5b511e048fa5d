"""Articles, chunks and hits: the values of knowledge, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Decision = Literal["answer", "clarify", "escalate"]

SUGGESTED_HITS = 3
"""Entries a customer is asked to choose from."""

GRADED_HITS = 5
"""Hits a grade looks at: the lead over the next entries is part of the confidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One indexed piece: a question with its answer, or a passage under its headings."""

    content: str
    """What a person reads: question and answer, or headings and passage."""
    question: str
    """The question this piece is found by; empty for a passage."""
    answer: str
    """What a customer may be told as is."""
    entry_id: str
    """Shared by the pieces of one entry: its question and its similar questions."""
    source: str
    """The file it came from, relative to the imported folder; empty when typed in by hand."""
    category: str = ""
    headings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    """What else its row shall tell, as names and values: where it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk found for a query."""

    chunk_id: str
    entry_id: str
    content: str
    question: str
    answer: str
    score: float
    """Cosine similarity, 0..1, higher is better."""
    wording: float = 0.0
    """How much of the wording it shares with the query, 0..1, rare words counting more."""
    rerank_score: float | None = None
    """What a reranking service gave it, higher is better."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How sure the bot may be of what it found, and what follows from it."""

    confidence: float
    """P(the best hit answers this query), 0..1."""
    threshold: float
    """The smallest confidence that is answered."""
    shortlist: float = 0.0
    """P(the right entry is among the first three), 0..1."""
    shortlist_threshold: float = 1.0
    """The smallest `shortlist` for which the customer is asked to choose."""

    @property
    def is_sure(self) -> bool:
        """Whether the bot may answer."""
        return self.confidence >= self.threshold

    @property
    def decision(self) -> Decision:
        """What to do: answer, ask which of the first three is meant, or hand over."""
        if self.is_sure:
            return "answer"
        return "clarify" if self.shortlist >= self.shortlist_threshold else "escalate"
