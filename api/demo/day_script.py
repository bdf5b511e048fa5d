"""Who writes what on the demonstration's day: drawn from `day.yaml`, the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from random import Random
from typing import Any, Literal

import yaml

from kb.readers import read_articles

Kind = Literal["known", "new", "person", "again"]
"""Covered by the sample; not covered; for a person anyway; asked again once it was learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What answers a question: what the bot must send, and how it is named in a menu."""

    answer: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One customer and their question."""

    customer: str
    name: str
    kind: Kind
    question: str
    entry: Entry | None = None
    """What the bot should answer from; None: nothing it has fits."""
    reply: str = ""
    """What a person answers, should it come to that."""
    topic: int | None = None
    """Which of the learned questions it is about."""
    then: str = ""
    """What is typed when the bot asks back, instead of a choice."""
    has_fitting_draft: bool = False
    """The card's proposal would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole day."""

    seed: int
    agents: tuple[str, ...]
    morning: tuple[Part, ...]
    afternoon: tuple[Part, ...]
    topics: int
    random: Random = field(repr=False)
    """Goes on where the script stopped drawing."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part of the day."""
        return (*self.morning, *self.afternoon)


@dataclass(slots=True, kw_only=True)
class _Cast:
    """Hands out customers."""

    names: Sequence[str]
    count: int = 0

    def part(self, kind: Kind, question: str, **facts: Any) -> Part:
        self.count += 1
        turn, place = divmod(self.count - 1, len(self.names))
        name = self.names[place] + (str(turn + 1) if turn else "")
        return Part(customer=f"wmDay{self.count:04d}", name=name, kind=kind, question=question, **facts)


def make_script(*, customers: int, seed: int) -> Script:
    """Write the day for so many customers: of 40, 20 ask what the sample covers, and 15 tickets are to be expected."""
    lines, random = _lines(), Random(seed)  # noqa: S311 -- a play, no secret
    topics = min(max(1, customers // 8), len(lines["learned"]))
    persons = max(1, customers // 8)
    known = max(1, customers - 3 * topics - persons)
    cast = _Cast(names=lines["names"])
    entries = _entries()
    chosen = lines["known"][:known] if known <= len(lines["known"]) else _cycle(lines["known"], known)
    morning = [cast.part("known", line["text"], entry=entries[line["entry"]]) for line in chosen]
    learned = lines["learned"][:topics]
    for topic, line in enumerate(learned):
        morning += [cast.part("new", line[which], reply=line["answer"], topic=topic) for which in ("first", "second")]
    morning += [
        cast.part(
            "person",
            line["text"],
            reply=line["answer"],
            then=line.get("then", ""),
            has_fitting_draft="draft" in line,
        )
        for line in _cycle(lines["persons"], persons)
    ]
    random.shuffle(morning)
    afternoon = [
        cast.part("again", line["again"], topic=topic, entry=_learned(line)) for topic, line in enumerate(learned)
    ]
    return Script(
        seed=seed,
        agents=tuple(lines["agents"]),
        morning=tuple(morning),
        afternoon=tuple(afternoon),
        topics=topics,
        random=random,
    )


def _learned(line: Mapping[str, str]) -> Entry:
    return Entry(answer=line["answer"], names=frozenset({line["first"], line["second"]}))


def _cycle(lines: Sequence[Any], count: int) -> list[Any]:
    return [lines[place % len(lines)] for place in range(count)]


@cache
def _lines() -> Mapping[str, Any]:
    lines: Mapping[str, Any] = yaml.safe_load(resources.files("api.demo").joinpath("day.yaml").read_text("utf-8"))
    return lines


def _entries() -> dict[str, Entry]:
    """Return the sample's entries by their own question."""
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        chunks = read_articles([sample]).chunks
    found: dict[str, list[Any]] = {}
    for chunk in chunks:
        found.setdefault(chunk.entry_id, []).append(chunk)
    return {
        pieces[0].question: Entry(answer=pieces[0].answer, names=frozenset(piece.question for piece in pieces))
        for pieces in found.values()
    }
