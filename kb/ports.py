"""What the graph needs from knowledge, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kb.chunks import Grade, Hit


class Retriever(Protocol):
    """Search over the knowledge base."""

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        """Return the best hits, best first, at most one per entry.

        Raises:
            IndexUnavailableError: the store or the embedding service does not answer.
        """
        ...


class Grader(Protocol):
    """The confidence that the best hit answers the query."""

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; no hits give confidence 0.

        `is_supported` is what a reader made of it: whether the best hit answers this very query; None when nobody read.
        """
        ...


class Breaker(Protocol):
    """Tells when to leave a service alone that does not answer."""

    def allow(self) -> bool:
        """Tell whether to ask now; who is told so reports the outcome."""
        ...

    def succeeded(self) -> None:
        """Report that it answered."""
        ...

    def failed(self) -> None:
        """Report that it did not answer."""
        ...
