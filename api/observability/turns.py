"""Counts what the graph decided."""

from __future__ import annotations

from collections.abc import Sequence

from api.observability.counters import CONFIDENCE
from graph.state import Question, Turn


class TurnCounter:
    """`graph.observer.Observer` over Prometheus."""

    def decided(self, turn: Turn, questions: Sequence[Question]) -> None:
        """Count the confidence of each question."""
        del turn
        for question in questions:
            # What was clicked on was not searched for: nobody was more or less sure.
            if "confidence" in question and "decision" in question:
                CONFIDENCE.labels(question["decision"]).observe(question["confidence"])
