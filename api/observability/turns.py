"""What is taken down of every turn: how sure the bot was, in numbers and on the turn's trace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

from api.observability import spans
from api.observability.counters import CONFIDENCE
from graph.state import Question, Turn
from prompts.loader import load, names


@cache
def prompts_version() -> str:
    """Return a mark of all the bot's texts."""
    return hashlib.sha256("".join(load(name).version for name in names()).encode()).hexdigest()[:12]


class TurnObserver:
    """`graph.observer.Observer` over Prometheus and the spans; with words only where they are asked for."""

    def __init__(self, *, knowledge_version: Callable[[], str] = str, has_words: bool = False) -> None:
        self._knowledge_version = knowledge_version
        self._has_words = has_words

    def decided(self, turn: Turn, questions: Sequence[Question]) -> None:
        """Count the confidence of each question, and tell it on the trace."""
        # What was clicked on was not searched for: nobody was more or less sure.
        graded = [question for question in questions if "confidence" in question and "decision" in question]
        for question in graded:
            CONFIDENCE.labels(question["decision"]).observe(question["confidence"])
        facts: dict[str, spans.Fact] = {
            "intent": turn.get("intent", ""),
            "prompts_version": prompts_version(),
            "knowledge_version": self._knowledge_version(),
        }
        if graded:
            least = min(graded, key=lambda question: question["confidence"])
            facts |= {"confidence": least["confidence"], "decision": least["decision"]}
        if self._has_words:
            facts["question"] = "\n".join(question["text"] for question in questions)
        spans.note(facts)
