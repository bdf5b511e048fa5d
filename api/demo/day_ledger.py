"""What happened on the demonstration's day, and whether what was promised holds: measured, never assumed."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from api.demo.day_script import Part
from tools.simulators.wecom import WecomSimulator


@dataclass(slots=True, kw_only=True)
class Story:
    """What one customer lived through."""

    part: Part
    expected: Counter[str] = field(default_factory=Counter)
    """Everything that must have arrived, each so often."""
    was_asked_back: bool = False
    answer: str | None = None
    """What the bot answered; None when a person did, or nobody."""
    waited: float | None = None
    """Seconds from the message that a person comes to the person's first words."""
    is_ticket: bool = False
    missing: list[str] = field(default_factory=list)
    """What was waited for in vain."""

    @property
    def is_right(self) -> bool:
        """Whether the bot's answer is the one that fits."""
        return self.answer is not None and self.part.entry is not None and self.answer == self.part.entry.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What the service itself wrote down."""

    tickets: int
    open_tickets: int
    dead_letters: int
    approved: int
    actions: Counter[str]


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The day so far."""

    stories: list[Story] = field(default_factory=list)
    cards: int = 0
    """Cards the desk was shown."""
    proofs: list[str] = field(default_factory=list)
    """What the desk was told after each approval."""

    def of(self, *kinds: str) -> list[Story]:
        """Return the stories of some kinds of parts."""
        return [story for story in self.stories if story.part.kind in kinds]

    def lost(self, wecom: WecomSimulator) -> list[str]:
        """List what should have arrived and did not."""
        lines = [f"{story.part.name}: {text}" for story in self.stories for text in story.missing]
        for story in self.stories:
            lines += [f"{story.part.name}: {text}" for text in (story.expected - _received(wecom, story)).elements()]
        return lines

    def doubled(self, wecom: WecomSimulator) -> list[str]:
        """List what arrived more often than it should."""
        return [
            f"{story.part.name}: {text}"
            for story in self.stories
            for text in (_received(wecom, story) - story.expected).elements()
        ]

    def broken(self, wecom: WecomSimulator, records: Records, *, customers: int, topics: int) -> list[str]:
        """Name the promises that do not hold."""
        tickets = sum(story.is_ticket for story in self.stories)
        missed = [story.part.question for story in self.of("again") if not story.is_right]
        lost, doubled = self.lost(wecom), self.doubled(wecom)
        found = {
            f"{len(self.stories)} of {customers} customers were served": len(self.stories) != customers,
            f"customers were told of {tickets} tickets, the desk saw {self.cards}, {records.tickets} are stored": not (
                tickets == self.cards == records.tickets
            ),
            f"{records.open_tickets} tickets are still open": records.open_tickets > 0,
            f"{records.dead_letters} messages could not be delivered": records.dead_letters > 0,
            f"lost: {_first(lost)}": bool(lost),
            f"doubled: {_first(doubled)}": bool(doubled),
            f"{records.approved} of {topics} entries were learned": records.approved != topics,
            f"learned, and still not answered: {_first(missed)}": bool(missed),
        }
        return [text for text, is_broken in found.items() if is_broken]


def repeat_misses(stories: Sequence[Story]) -> tuple[int, int]:
    """Count who asked what somebody had asked before, and how many of them the bot could not answer."""
    repeats = list(_repeats(stories))
    return sum(not story.is_right for story in repeats), len(repeats)


def median_wait(stories: Sequence[Story]) -> float | None:
    """Return the median time to a person's first words."""
    waits = [story.waited for story in stories if story.waited is not None]
    return statistics.median(waits) if waits else None


def _repeats(stories: Sequence[Story]) -> Iterator[Story]:
    seen: set[int] = set()
    for story in stories:
        topic = story.part.topic
        if topic is None:
            continue
        # Those who come after the review are repeats whoever else is looked at.
        if topic in seen or story.part.kind == "again":
            yield story
        seen.add(topic)


def _received(wecom: WecomSimulator, story: Story) -> Counter[str]:
    return Counter(sent.text for sent in wecom.sent if sent.customer == story.part.customer and sent.is_delivered)


def _first(lines: Sequence[str]) -> str:
    return "; ".join(lines[:3]) + (f" … {len(lines)} in all" if len(lines) > 3 else "")
