"""What the retriever finds for every message of a set: confidences are then fitted and compared without searching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scoring import score
from sets import LabelledSet

import kb.calibration
import kb.confidence
from api.evaluation import open_trial, prediction
from api.settings import Settings
from kb.calibration import fit, settle
from kb.chunks import Hit
from kb.confidence import CalibratedGrader, Calibration, Weights, default_calibration
from kb.evidence import Evidence, evidence
from kb.measuring import Example, measure

LEAST_ANSWERED = 20
"""A cut-off that answers fewer messages of a set says nothing."""

Table = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """One set, searched."""

    labelled: LabelledSet
    floor: float
    is_titled: bool
    own: list[Example]
    hits: list[list[Hit]]
    """Of each message; entries by their own ids."""

    @property
    def name(self) -> str:
        return self.labelled.name

    def examples(self, places: Sequence[int] | None = None) -> list[Example]:
        """The messages that found something, with their truth."""
        chosen = range(len(self.hits)) if places is None else places
        return [
            Example(
                found=evidence(self.hits[place], floor=self.floor),
                is_right=self.hits[place][0].entry_id == self.labelled.messages[place]["gold_id"],
            )
            for place in chosen
            if self.hits[place]
        ]

    def decide(self, calibration: Calibration) -> list[dict[str, Any]]:
        """Decide on every message with a calibration."""
        grader = CalibratedGrader(calibration)
        return [
            prediction(place, [hit.entry_id for hit in found], grader.grade(message["query"], found))
            for place, (message, found) in enumerate(zip(self.labelled.messages, self.hits, strict=True))
        ]

    def score(self, calibration: Calibration, *, without: frozenset[int] = frozenset()) -> dict[str, float]:
        """Score a calibration on the messages."""
        decided = [each for each in self.decide(calibration) if each["query_index"] not in without]
        return score(decided, self.labelled.messages)

    def settled(self, max_wrong: float, judged: Sequence[Example] = ()) -> Calibration:
        """Fit as the service does."""
        start = default_calibration(max_wrong, floor=self.floor, is_titled_passages=self.is_titled)
        return settle(start, self.own, judged, max_wrong=max_wrong).calibration


async def collect(settings: Settings, conninfo: str, labelled: LabelledSet) -> Collected:
    """Import, measure and search as `kefu eval` does."""
    async with open_trial(settings, conninfo, labelled.entries) as trial:
        return await collect_from(trial, labelled)


async def collect_from(trial: Any, labelled: LabelledSet) -> Collected:
    """Measure and search an imported set."""
    knowledge = trial.knowledge
    measured = await measure(knowledge.retriever, await knowledge.lexical.current())
    found = await trial.search(labelled.queries)
    return Collected(
        labelled=labelled,
        floor=measured.floor,
        is_titled=measured.is_titled_passages,
        own=measured.own,
        hits=[[replace(hit, entry_id=trial.entry_ids[hit.entry_id]) for hit in hits] for hits in found],
    )


def default_weights(sets: Sequence[Collected]) -> Weights:
    """Fit weights like the shipped ones: over the nearness alone, each set counting the same."""
    examples = [
        replace(
            example,
            found=Evidence(closeness=example.found.closeness, lead=0, wording=0, is_passage=False),
            weight=1000 / len(each.hits),
        )
        for each in sets
        for example in each.examples()
    ]
    return fit(examples, Weights(bias=0, nearness=0))


def cut_offs(sets: Sequence[Collected], rates: Sequence[float]) -> Table:
    """Find like the shipped table the smallest closeness that keeps each rate on every one of the sets."""
    return tuple(
        (rate, max(least_value([e.found.closeness for e in each.examples()], each, rate) for each in sets))
        for rate in rates
    )


def least_value(values: Sequence[float], searched: Collected, rate: float) -> float:
    """Return the smallest value from which on at most this rate of a set's answers is wrong."""
    right = np.array([example.is_right for example in searched.examples()])
    order = np.argsort(-np.asarray(values), kind="stable")
    ranked, errors = np.asarray(values)[order], np.cumsum(~right[order])
    counts = np.arange(1, len(ranked) + 1)
    is_end = np.append(np.diff(ranked) != 0, True)
    kept = np.flatnonzero((counts >= LEAST_ANSWERED) & (errors <= rate * counts) & is_end)
    return float(ranked[kept[-1]]) if len(kept) else float("inf")


@contextlib.contextmanager
def shipped(weights: Weights, table: Table) -> Iterator[None]:
    """Let the service ship these weights and cut-offs while the block runs."""
    places = (
        (kb.confidence, "QUESTION", weights),
        (kb.confidence, "CUT_OFFS", table),
        (kb.calibration, "CUT_OFFS", table),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def cosines(searched: Collected) -> list[float]:
    """The raw cosine of each message's best hit."""
    return [hits[0].score for hits in searched.hits if hits]
