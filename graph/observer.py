"""Who looks on: told what was decided, after the fact; nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from graph.state import Question, Turn


class Observer(Protocol):
    """Is told of every turn of a customer that ran to its end or to a wait."""

    def decided(self, turn: Turn, questions: Sequence[Question]) -> None:
        """Take note of what a turn asked and how sure the bot was; never raises."""
        ...
