"""Asks a knowledge base about itself, through the retriever the bot uses: what its confidence is fitted to."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np

from kb.chunks import GRADED_HITS
from kb.confidence import DEFAULT_FLOOR, is_lexical
from kb.evidence import Evidence, evidence
from kb.lexical_index import Snapshot
from kb.retriever import NOTHING, PgRetriever, Without

FLOOR_QUANTILE = 0.95
"""Of the probes' best scores; the highest few may touch the base's own domain."""

COVERED = 0.98
"""A probe that reaches this cosine has its answer in the base and tells nothing of what other domains reach: in a base
of everything one in ten does. On four labelled bases of one domain each none did."""

OWN_QUESTIONS = 600
"""Questions of the base that are asked as if they were not stored."""

OWN_WEIGHT = 0.3
"""What a question of the base counts beside a message a person judged."""

TITLED_LENGTH = 120
"""Characters: where the usual answer is longer and entries list no other wordings, the base is texts under titles."""

ALONE = 0.8
"""The share of entries without other wordings from which on that holds."""

Progress = Callable[[int, int], None]
"""Told how many searches are done, and how many there are."""


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One message that somebody judged."""

    question: str
    entry_id: str | None
    """The entry that answers it; None when none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One graded search of which the truth is known."""

    found: Evidence
    is_right: bool
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a base tells about itself, and what judged messages find in it."""

    floor: float
    """The cosine that messages of other domains reach, its 95th percentile."""
    is_titled_passages: bool
    own: list[Example]
    """Questions of the base, asked as if they, or their entry, were not stored."""
    judged: list[Example]
    searches: int
    texts: int
    """Texts that were searched for; what of them was embedded before cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    text: str
    truth: str | None
    without: Without = NOTHING


@dataclass(slots=True)
class _Search:
    """One search after another, counted."""

    retriever: PgRetriever
    progress: Progress
    total: int
    done: int = field(default=0)

    async def best_score(self, text: str) -> float | None:
        hits = await self.retriever.search(text, limit=1)
        self._step()
        return hits[0].score if hits and not is_lexical(hits) else None

    async def example(self, trial: _Trial, floor: float, weight: float) -> Example | None:
        hits = await self.retriever.search(trial.text, limit=GRADED_HITS, without=trial.without)
        self._step()
        if not hits or is_lexical(hits):
            return None
        is_right = trial.truth is not None and hits[0].entry_id == trial.truth
        return Example(found=evidence(hits, floor=floor), is_right=is_right, weight=weight)

    def _step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


async def measure(
    retriever: PgRetriever, base: Snapshot, labels: Sequence[Label] = (), *, progress: Progress = silent
) -> Measured:
    """Search for everything a calibration needs to know.

    Raises:
        IndexUnavailableError: the store or the embedding service does not answer.
    """
    is_titled = is_titled_passages(base)
    # A text under a title tells nothing about what its title answers.
    own = [] if is_titled else _own_questions(base)
    judged = [_Trial(text=label.question, truth=label.entry_id) for label in labels]
    texts = [*probes(), *(trial.text for trial in [*own, *judged])]
    await retriever.warm(texts)
    search = _Search(retriever, progress, total=len(texts))
    scores = [score for text in probes() if (score := await search.best_score(text)) is not None]
    floor = floor_of(scores)
    return Measured(
        floor=floor,
        is_titled_passages=is_titled,
        own=[made for trial in own if (made := await search.example(trial, floor, OWN_WEIGHT))],
        judged=[made for trial in judged if (made := await search.example(trial, floor, 1.0))],
        searches=search.done,
        texts=len(set(texts)),
    )


def floor_of(scores: Sequence[float]) -> float:
    """Return the cosine that messages of other domains reach, from the probes' best ones."""
    if not scores:
        return DEFAULT_FLOOR
    strangers = [score for score in scores if score < COVERED]
    # Where most reach it, it is the model that puts everything close together.
    return float(np.quantile(strangers if len(strangers) * 2 > len(scores) else scores, FLOOR_QUANTILE))


def is_titled_passages(base: Snapshot) -> bool:
    """Tell whether the entries are texts under titles rather than questions with their answers."""
    first = {row.chunk.entry_id: row.chunk for row in base.rows if row.chunk.question}
    if not first:
        return False
    pieces = Counter(row.chunk.entry_id for row in base.rows)
    alone = sum(pieces[entry_id] == 1 for entry_id in first)
    usual = statistics.median(len(chunk.answer) for chunk in first.values())
    return usual >= TITLED_LENGTH and alone >= ALONE * len(first)


def probes() -> list[str]:
    """Return messages of many domains; few of them concern any one business."""
    text = resources.files("kb").joinpath("probes.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


def _own_questions(base: Snapshot) -> list[_Trial]:
    pieces = Counter(row.chunk.entry_id for row in base.rows)
    # In an order of their own: the ids are made up anew at every import, and the same base must give the same fit.
    asked = sorted((row for row in base.rows if row.chunk.question), key=lambda row: (row.chunk.question, row.row_id))
    chosen = random.Random(0).sample(asked, min(OWN_QUESTIONS, len(asked)))  # noqa: S311 -- a sample, not a secret
    trials: list[_Trial] = []
    for row in chosen:
        entry_id, text = row.chunk.entry_id, row.chunk.question
        trials.append(_Trial(text=text, truth=None, without=Without(entry_id=entry_id)))
        if pieces[entry_id] > 1:
            trials.append(_Trial(text=text, truth=entry_id, without=Without(chunk_id=row.row_id)))
    return trials
