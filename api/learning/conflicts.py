"""Where a proposed entry meets the entries there are: asks the same, says something else, or is merely near."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from graph.facts import Fact, facts_of, offers
from graph.support import doubts
from graph.units import plain
from kb.chunks import Hit
from kb.clusters import SAME
from kb.confidence import is_lexical
from kb.evidence import closeness
from kb.lexical import asks_other, clean, negates

Kind = Literal["contradiction", "duplicate", "near"]

SAME_QUESTION = 0.7
"""Closeness from which on two questions that ask in the same way are one, for a person who is about to decide."""

LOOKED_AT = 5
"""Entries looked at for each wording."""

_ORDER: tuple[Kind, ...] = ("contradiction", "duplicate", "near")
_NAMES = {"number": "", "url": "link ", "email": "address ", "phone": "phone ", "weekday": "weekday ", "time": "time "}


class Searching(Protocol):
    """A retriever, as far as needed here."""

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """An entry that is close to the proposed one."""

    kind: Kind
    entry_id: str
    question: str
    answer: str
    closeness: float
    """0: another domain; 1: the same text."""
    differences: tuple[str, ...]
    """What the two answers say differently."""
    is_verbatim: bool = False
    """It asks in the very same words."""


async def find_conflicts(
    retriever: Searching, questions: Sequence[str], answer: str, *, floor: float, own: str | None = None
) -> list[Conflict]:
    """Compare a proposed entry with those found for any of its wordings; contradictions first.

    Args:
        retriever: searches the live base.
        questions: the wordings of the proposed entry.
        answer: what it would tell.
        floor: of the base, see `kb.evidence`.
        own: the entry it became already, which it does not meet.

    Raises:
        IndexUnavailableError: the knowledge base does not answer.
    """
    found: dict[str, Conflict] = {}
    for question in questions:
        for hit in await retriever.search(question, limit=LOOKED_AT):
            conflict = _compare(question, hit, answer, floor)
            if conflict is None or hit.entry_id == own:
                continue
            known = found.get(hit.entry_id)
            if known is None or _rank(conflict) < _rank(known):
                found[hit.entry_id] = conflict
    return sorted(found.values(), key=_rank)


def differences(answer: str, other: str) -> tuple[str, ...]:
    """Name what two answers to one question cannot both be right about."""
    said, known = facts_of(plain(answer)), facts_of(plain(other))
    mine = sorted((fact for fact in said if not offers(known, fact)), key=_text)
    theirs = sorted((fact for fact in known if not offers(said, fact)), key=_text)
    return tuple(_figures(mine, theirs)) + (
        ("one denies what the other says",) if "denial" in doubts(answer, [other]) else ()
    )


def _compare(question: str, hit: Hit, answer: str, floor: float) -> Conflict | None:
    close = hit.score if is_lexical([hit]) else closeness(hit.score, floor)
    is_verbatim = clean(question) == clean(hit.question)
    is_same = is_verbatim or (close >= SAME_QUESTION and _asks_same(question, hit.question))
    if not is_same and close < SAME:
        return None
    found = differences(answer, hit.answer)
    return Conflict(
        kind=("contradiction" if found else "duplicate") if is_same else "near",
        entry_id=hit.entry_id,
        question=hit.question,
        answer=hit.answer,
        closeness=close,
        differences=found,
        is_verbatim=is_verbatim,
    )


def _asks_same(question: str, other: str) -> bool:
    asked, found = clean(question), clean(other)
    if not found or negates(asked) != negates(found) or asks_other(asked, found):
        return False
    # 满59包邮吗 and 满99包邮吗 are two questions, however close.
    return not list(_figures(sorted(facts_of(plain(question)), key=_text), sorted(facts_of(plain(other)), key=_text)))


def _figures(mine: Sequence[Fact], theirs: Sequence[Fact]) -> Iterator[str]:
    """Name the facts of one kind that each side has its own of."""
    for fact in mine:
        others = [other for other in theirs if _are_rivals(fact, other)]
        if others:
            yield f"{_NAMES.get(fact.kind, fact.kind + ' ')}{_text(fact)} ≠ {'/'.join(map(_text, others))}"


def _are_rivals(fact: Fact, other: Fact) -> bool:
    if fact.kind != other.kind or fact == other:
        return False
    return fact.kind != "number" or fact.unit == other.unit or not (fact.unit and other.unit)


def _text(fact: Fact) -> str:
    return f"{fact.value}{fact.unit}"


def _rank(conflict: Conflict) -> tuple[int, bool, float, str]:
    return _ORDER.index(conflict.kind), not conflict.is_verbatim, -conflict.closeness, conflict.entry_id
