"""What is known of a customer beyond one conversation: few facts, each with who said it, when and where."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, NotRequired, TypedDict, cast

from langgraph.store.base import BaseStore

from graph.told import LABELS, SINGLE, FactKind, Told

NAMESPACE = ("profiles",)
MAX_FACTS = 20
MAX_EARLIER = 3
"""Values a fact had before that are kept."""

Teller = Literal["customer", "model"]
"""`model`: the customer's words as a model read them."""


class Earlier(TypedDict):
    """What was true before."""

    value: str
    message_id: str
    at: str


class ProfileFact(TypedDict):
    """One fact with where it comes from."""

    kind: FactKind
    value: str
    message_id: str
    at: str
    """When it was learned, ISO 8601 in UTC."""
    said_by: Teller
    earlier: NotRequired[list[Earlier]]
    """Newest first."""


class Profiles:
    """Customers' facts in LangGraph's store, one item for each conversation."""

    def __init__(
        self, store: BaseStore, *, seal: Callable[[str], str] = str, clock: Callable[[], float] = time.time
    ) -> None:
        """`seal` makes a value unreadable at rest; the store opens what it reads."""
        self._store = store
        self._seal = seal
        self._clock = clock

    async def facts(self, thread_id: str) -> list[ProfileFact]:
        """Return what is known, oldest first."""
        item = await self._store.aget(NAMESPACE, thread_id)
        return cast("list[ProfileFact]", list(item.value.get("facts", []))) if item else []

    async def learn(self, thread_id: str, found: Sequence[tuple[str, Told]], *, said_by: Teller = "customer") -> None:
        """Take down what messages told, each with the message's id; a message that comes again changes nothing.

        Callers hold the conversation's lock.
        """
        if not found:
            return
        before = await self.facts(thread_id)
        facts, at = before, datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        for message_id, told in found:
            fact = ProfileFact(kind=told.kind, value=told.value, message_id=message_id, at=at, said_by=said_by)
            facts = _with(facts, fact)
        if facts != before:
            kept = [self._sealed(fact) for fact in facts[-MAX_FACTS:]]
            await self._store.aput(NAMESPACE, thread_id, {"facts": kept}, index=False)

    def _sealed(self, fact: ProfileFact) -> ProfileFact:
        sealed = ProfileFact(**{**fact, "value": self._seal(fact["value"])})
        if "earlier" in fact:
            sealed["earlier"] = [Earlier(**{**past, "value": self._seal(past["value"])}) for past in fact["earlier"]]
        return sealed

    async def forget(self, thread_id: str) -> None:
        """Erase everything known of a customer."""
        await self._store.adelete(NAMESPACE, thread_id)


def profile_lines(facts: Sequence[ProfileFact]) -> list[str]:
    """Write facts down, a line each."""
    return [f"{LABELS[fact['kind']]}: {fact['value']}" for fact in facts]


def _with(facts: list[ProfileFact], fact: ProfileFact) -> list[ProfileFact]:
    """Add a fact; one that is known stays as it is, one that contradicts it becomes its past."""
    same_kind = [known for known in facts if known["kind"] == fact["kind"]]
    if any(_is_known(known, fact) for known in same_kind):
        return facts
    if fact["kind"] not in SINGLE or not same_kind:
        return [*facts, fact]
    replaced = same_kind[-1]
    past = Earlier(value=replaced["value"], message_id=replaced["message_id"], at=replaced["at"])
    fact["earlier"] = [past, *replaced.get("earlier", [])][:MAX_EARLIER]
    return [*(known for known in facts if known is not replaced), fact]


def _is_known(known: ProfileFact, fact: ProfileFact) -> bool:
    """Tell whether it is known, or was taken down from this very message before something newer came."""
    if known["value"] == fact["value"]:
        return True
    return any(
        past["value"] == fact["value"] and past["message_id"] == fact["message_id"] for past in known.get("earlier", [])
    )
