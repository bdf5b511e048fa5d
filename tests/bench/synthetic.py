"""A large knowledge base that nobody wrote: texts and vectors from a seed, and an embedder that knows them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from kb.bundled import BundledEmbedder
from kb.chunks import Chunk
from kb.vectors import Vector, unit

SIZE = 384
CLUSTERS = 2_000
WORDS = 20_000
PHRASES = 10_000
FIRST, LAST = 0x4E00, 0x5FFF
"""Characters the words are made of."""


class Base:
    """Entry after entry, always the same ones."""

    def __init__(self, seed: int = 11) -> None:
        choose = random.Random(seed)
        pairs = ((choose.randint(FIRST, LAST), choose.randint(FIRST, LAST)) for _ in range(WORDS))
        words = [chr(first) + chr(second) for first, second in pairs]
        # As in a language: a few words are everywhere, most are rare, and whole phrases come again.
        self._phrases = ["".join(words[place] for place in _zipf(choose, WORDS, 3)) for _ in range(PHRASES)]
        self._seed = seed
        self._centres = np.random.default_rng(seed).normal(size=(CLUSTERS, SIZE)).astype(np.float32)

    def chunk(self, number: int) -> Chunk:
        """Return an entry: a question of two phrases and an answer of ten."""
        choose = random.Random(self._seed * 1_000_003 + number)
        question, answer = (f"{number}{self._text(choose, size)}" for size in (2, 10))
        return Chunk(
            content=f"{question}\n{answer}", question=question, answer=answer, entry_id=f"e{number}", source="bench.csv"
        )

    def vector(self, number: int, *, aside: int = 0) -> Vector:
        """Return the vector of an entry, or one a little aside."""
        away = np.random.default_rng((self._seed, number, aside)).normal(size=SIZE).astype(np.float32)
        centre = self._centres[number % CLUSTERS]
        if not aside:
            return unit(centre + np.float32(0.5) * away)
        return unit(self.vector(number) + np.float32(0.01) * away)

    def chunks(self, numbers: range) -> Iterator[Chunk]:
        """Return some entries."""
        return map(self.chunk, numbers)

    def _text(self, choose: random.Random, count: int) -> str:
        return "".join(self._phrases[place] for place in _zipf(choose, PHRASES, count))


def _zipf(choose: random.Random, size: int, count: int) -> list[int]:
    """Choose numbers below `size`, the small ones far more often."""
    return [int(size ** choose.random()) - 1 for _ in range(count)]


class KnowingEmbedder:
    """Gives a text that starts with a number the vector of that entry; takes as long as the bundled model, if told."""

    model_id = "synthetic"

    def __init__(self, base: Base, model: BundledEmbedder | None = None) -> None:
        self._base = base
        self._model = model
        self.embedded = 0

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        """See `kb.embeddings.Embedder`."""
        self.embedded += len(texts)
        if self._model is not None:
            await self._model.embed_questions(texts)
        return [self._vector(text) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `kb.embeddings.Embedder`."""
        return await self.embed_questions(texts)

    async def aclose(self) -> None:
        """Do nothing."""

    def _vector(self, text: str) -> Vector:
        digits = "".join(letter for letter in text[:8] if letter.isdecimal())
        return self._base.vector(int(digits or sum(map(ord, text))), aside=1)
