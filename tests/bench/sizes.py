"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

ACCOUNTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int
    callbacks: int
    wave: int
    waves: int
    singles: int
    conversations: tuple[int, ...]
    friends: int
    """New friends of one burst."""
    imported: int
    """Texts embedded a round of the import, three rounds."""
    entries: tuple[int, ...]
    """Rows of the knowledge base at which searches are timed."""
    searches: int
    accounts: int = ACCOUNTS


FULL = Size(
    rounds=5,
    callbacks=1500,
    wave=300,
    waves=4,
    singles=50,
    conversations=(1_000, 10_000),
    friends=1_000,
    imported=768,
    entries=(1_000, 10_000, 100_000),
    searches=300,
)
QUICK = Size(
    rounds=2,
    callbacks=600,
    wave=100,
    waves=3,
    singles=20,
    conversations=(1_000,),
    friends=200,
    imported=256,
    entries=(1_000, 10_000),
    searches=100,
)
