"""Chunks by the words in them: BM25 to find candidates, shared wording to compare one with a query."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import rjieba
from numpy.typing import NDArray
from scipy import sparse

from kb.chunks import Chunk
from kb.lexical import bigrams, clean, core

ANSWER_WEIGHT = 0.3
"""What a word in the answer counts beside one in the question."""

CORE_SHARE = 0.75
"""How much of `alike` the telling words make; the rest is the whole wording, politeness and question words too."""

_K1, _B = 1.2, 0.75  # BM25's usual constants


class WordTable:
    """The words of some chunks: which chunk shares how much with a query, rare words counting more."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._vocabulary: dict[str, int] = {}
        counts = self._count(chunks)
        rows = counts.shape[0]
        found_in = np.bincount(counts.indices, minlength=len(self._vocabulary))
        self._idf: NDArray[np.float64] = np.log(1 + (rows - found_in + 0.5) / (found_in + 0.5))
        self._rarest = math.log(1 + rows)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        usual = float(lengths.mean()) if rows else 1.0
        damping = _K1 * (1 - _B + _B * np.repeat(lengths, np.diff(counts.indptr)) / max(usual, 1e-9))
        counts.data = self._idf[counts.indices] * counts.data * (_K1 + 1) / (counts.data + damping)
        self._postings = counts.T.tocsr()

    def _count(self, chunks: Sequence[Chunk]) -> sparse.csr_matrix:
        places: list[int] = []
        columns: list[int] = []
        weights: list[float] = []
        for place, chunk in enumerate(chunks):
            for unit, weight in _weighed(chunk).items():
                places.append(place)
                columns.append(self._vocabulary.setdefault(unit, len(self._vocabulary)))
                weights.append(weight)
        shape = (len(chunks), len(self._vocabulary))
        return sparse.csr_matrix((weights, (places, columns)), shape=shape, dtype=np.float32)

    def best(self, query: str, *, limit: int) -> list[int]:
        """Return the places of the chunks BM25 ranks first; only those that share a word with the query."""
        known = [self._vocabulary[unit] for unit in units(query) if unit in self._vocabulary]
        if not known:
            return []
        scores = np.asarray(self._postings[known].sum(axis=0)).ravel()
        width = min(limit, len(scores))
        nearest = np.argpartition(-scores, width - 1)[:width]
        ordered = sorted(nearest.tolist(), key=lambda place: (-scores[place], place))
        return [place for place in ordered if scores[place] > 0]

    def wording(self, query: str, text: str) -> float:
        """Tell how much of the wording is shared, 0..1: the mean of either side's covered share."""
        asked, found = units(query), units(text)
        shared = self._weight(asked.keys() & found.keys())
        mine, theirs = self._weight(asked), self._weight(found)
        return (shared / mine + shared / theirs) / 2 if mine and theirs else 0.0

    def alike(self, query: str, text: str) -> float:
        """Tell how close two wordings are, 0..1, where nothing but words can be compared; 1 is the same text."""
        asked, found = clean(query), clean(text)
        if asked == found:
            return 1.0
        telling = self._overlap(core(asked), core(found))
        whole = self._overlap(frozenset(bigrams(asked)), frozenset(bigrams(found)))
        return CORE_SHARE * telling + (1 - CORE_SHARE) * whole

    def _overlap(self, left: frozenset[str], right: frozenset[str]) -> float:
        total = self._weight(left) + self._weight(right)
        return 2 * self._weight(left & right) / total if total else 0.0

    def _weight(self, parts: Iterable[str]) -> float:
        places = (self._vocabulary.get(unit) for unit in parts)
        return sum(self._rarest if place is None else float(self._idf[place]) for place in places)


@lru_cache(8192)
def units(text: str) -> Mapping[str, float]:
    """Return what a text is compared by: neighbouring Chinese characters, words, and whole other words."""
    cleaned = clean(text)
    counted: dict[str, float] = dict(bigrams(cleaned))
    for word in rjieba.cut(cleaned):
        bare = word.strip()
        if bare:
            # A single character says little by itself; the mark keeps words apart from pairs of characters.
            name = f"w:{bare}"
            counted[name] = counted.get(name, 0.0) + (1.0 if len(bare) > 1 else 0.5)
    return counted


def searched_text(chunk: Chunk) -> str:
    """Return what a chunk is found by; a passage is its content, headings and text."""
    return chunk.question or chunk.content


def _weighed(chunk: Chunk) -> Mapping[str, float]:
    weighed = Counter(units(searched_text(chunk)))
    if chunk.question:
        for unit, count in units(chunk.answer).items():
            weighed[unit] += ANSWER_WEIGHT * count  # type: ignore[assignment]
    return weighed
