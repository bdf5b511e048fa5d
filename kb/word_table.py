"""Chunks by the words in them: BM25 to find candidates, shared wording to compare one with a query."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import rjieba
from numpy.typing import NDArray
from scipy import sparse

from kb.chunks import Chunk
from kb.lexical import bigrams, clean, core
from kb.spelling import Speller

ANSWER_WEIGHT = 0.3
"""What a word in the answer counts beside one in the question."""

CORE_SHARE = 0.75
"""How much of `alike` the telling words make; the rest is the whole wording, politeness and question words too."""

_K1, _B = 1.2, 0.75  # BM25's usual constants


_ENOUGH = 50_000
"""Places of words looked at for one query; beyond that its most frequent words are passed over, they tell little."""


class WordTable:
    """The words of some chunks: which chunk shares how much with a query, rare words counting more."""

    def __init__(self, chunks: Sequence[Chunk], *, earlier: WordTable | None = None, kept: Sequence[int] = ()) -> None:
        """Count the words of the chunks; `kept` are places in an `earlier` table that come before them, as counted."""
        self.vocabulary: dict[str, int] = dict(earlier.vocabulary) if earlier else {}
        """The row of each unit in `postings`."""
        postings, own = self._count(chunks)
        asks = np.asarray([bool(chunk.question) for chunk in chunks], dtype=bool)
        if earlier is not None:
            old, width = np.asarray(kept, dtype=np.int64), len(self.vocabulary)
            postings = sparse.hstack([_resized(earlier.postings[:, old], width, len(old)), postings], format="csr")
            own = sparse.vstack([_resized(earlier.own[old], len(old), width), own], format="csr")
            asks = np.concatenate([earlier.asks[old], asks])
        self.postings: sparse.csr_matrix
        """How often each unit is in each chunk, what is in the answer counting less."""
        self.own: sparse.csr_matrix
        """Chunk by chunk, which units there are in what it is found by."""
        self.postings, self.own = self._without_dead(postings, own)
        self.asks: NDArray[np.bool_] = asks
        """Which chunks are questions and not passages."""
        rows = self.postings.shape[1]
        found_in = np.diff(self.postings.indptr)
        self._idf = np.log(1 + (rows - found_in + 0.5) / (found_in + 0.5))
        self._rarest = math.log(1 + rows)
        self._wordings = self.own @ self._idf
        lengths = np.asarray(self.postings.sum(axis=0), dtype=np.float64).ravel()
        usual = float(lengths.mean()) if rows else 1.0
        self._damping = _K1 * (1 - _B + _B * lengths / max(usual, 1e-9))
        self._speller = Speller(self.vocabulary, found_in)

    def _count(self, chunks: Sequence[Chunk]) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        # Arrays and not lists: the numbers of a large base as objects would take a gigabyte.
        places, columns, weights = array("i"), array("i"), array("f")
        own, ends = array("i"), array("i", [0])
        for place, chunk in enumerate(chunks):
            found_by = _units(searched_text(chunk))
            for unit, weight in _weighed(chunk, found_by).items():
                places.append(place)
                columns.append(self.vocabulary.setdefault(unit, len(self.vocabulary)))
                weights.append(weight)
            own.extend(sorted(self.vocabulary[unit] for unit in found_by))
            ends.append(len(own))
        shape = (len(self.vocabulary), len(chunks))
        cells = np.asarray(weights), (np.asarray(columns), np.asarray(places))
        whole = np.ones(len(own), dtype=bool), np.asarray(own), np.asarray(ends)
        return sparse.csr_matrix(cells, shape=shape, dtype=np.float32), sparse.csr_matrix(whole, shape=shape[::-1])

    def _without_dead(
        self, postings: sparse.csr_matrix, own: sparse.csr_matrix
    ) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Forget the words that no chunk has any more."""
        alive = np.diff(postings.indptr) > 0
        if alive.all():
            return postings, own
        renamed = (np.cumsum(alive) - 1).tolist()
        self.vocabulary = {unit: renamed[place] for unit, place in self.vocabulary.items() if alive[place]}
        living = np.flatnonzero(alive)
        return postings[living], own[:, living]

    def spelled(self, query: str) -> str:
        """Return the query with its slips corrected; see `kb.spelling`."""
        return self._speller.correct(query)

    def best(self, query: str, *, limit: int) -> list[int]:
        """Return the places of the chunks BM25 ranks first; only those that share a word with the query."""
        scores = self._scores(query)
        found = np.flatnonzero(scores > 0)
        if len(found) > limit:
            found = found[np.argpartition(-scores[found], limit - 1)[:limit]]
        return sorted(found.tolist(), key=lambda place: (-scores[place], place))

    def _scores(self, query: str) -> NDArray[np.float64]:
        starts, seen = self.postings.indptr, 0
        scores = np.zeros(self.postings.shape[1])
        known = [self.vocabulary[unit] for unit in units(query) if unit in self.vocabulary]
        for word in sorted(known, key=lambda place: -self._idf[place]):
            seen += int(starts[word + 1] - starts[word])
            if seen > _ENOUGH:
                break
            places = self.postings.indices[starts[word] : starts[word + 1]]
            counts = self.postings.data[starts[word] : starts[word + 1]]
            # A place occurs once for a word, so that adding in bulk is safe.
            scores[places] += self._idf[word] * counts * (_K1 + 1) / (counts + self._damping[places])
        return scores

    def shared(self, query: str, places: Sequence[int]) -> list[float]:
        """Tell how much of the wording each of the chunks shares with a query, 0..1.

        A question is compared from both sides: the mean of either's covered share. Of a passage, which always says
        more, it is the covered share of the query.
        """
        asked = units(query)
        mine = self._weight(asked)
        if not mine or not places:
            return [0.0] * len(places)
        known = np.asarray(sorted(self.vocabulary[unit] for unit in asked if unit in self.vocabulary), dtype=np.int64)
        weights = np.zeros(len(self.vocabulary))
        weights[known] = self._idf[known]
        starts = self.own.indptr
        common = np.asarray([weights[self.own.indices[starts[n] : starts[n + 1]]].sum() for n in places])
        theirs = self._wordings[places]
        both = (common / mine + np.divide(common, theirs, out=np.zeros_like(common), where=theirs > 0)) / 2
        shares: list[float] = np.where(self.asks[places], both, common / mine).tolist()
        return shares

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
        places = (self.vocabulary.get(unit) for unit in parts)
        return sum(self._rarest if place is None else float(self._idf[place]) for place in places)


@lru_cache(1024)
def units(text: str) -> Mapping[str, float]:
    """Return what a text is compared by: neighbouring Chinese characters, words, and whole other words."""
    return _units(text)


def _units(text: str) -> Mapping[str, float]:
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


def _weighed(chunk: Chunk, found_by: Mapping[str, float]) -> Mapping[str, float]:
    weighed = Counter(found_by)
    if chunk.question:
        for unit, count in _units(chunk.answer).items():
            weighed[unit] += ANSWER_WEIGHT * count  # type: ignore[assignment]
    return weighed


def _resized(matrix: sparse.csr_matrix, rows: int, columns: int) -> sparse.csr_matrix:
    matrix.resize(rows, columns)
    return matrix
