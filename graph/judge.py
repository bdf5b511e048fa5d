"""Whether the operator's rules want a person for a turn, whatever the bot could answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from graph.context import AlwaysOpen, Hours, Rules
from graph.course import repeats
from graph.facts import facts_of
from graph.lines import said
from graph.long_text import LONG
from graph.state import Question, RuleState, Turn
from graph.units import plain
from prompts.rules import RuleFacts

logger = logging.getLogger(__name__)

YUAN = "元"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Looks at turns with the rules."""

    rules: Rules | None = None
    """None: there are no rules."""
    hours: Hours = field(default_factory=AlwaysOpen)

    def judged(self, turn: Turn, questions: list[Question]) -> Turn:
        """Return the turn with the rule that fits it, if one does."""
        rule = self.rules.match(self.facts(turn, questions)) if self.rules else None
        if rule is None:
            return turn
        found: RuleState = {
            "name": rule.name,
            "escalate": rule.then.escalate,
            "priority": rule.then.priority,
            "channel": rule.then.channel,
            "words": rule.then.words,
        }
        logger.info("A rule fits", extra={"action": "rule_fits", "turn_id": turn["id"], "rule": rule.name})
        return {**turn, "rule": found}

    def facts(self, turn: Turn, questions: list[Question]) -> RuleFacts:
        """Collect what the rules look at."""
        text = "\n".join(filter(None, map(said, turn["lines"])))
        course, customer = turn.get("course", {}), turn.get("customer")
        return RuleFacts(
            text=text,
            moods=tuple(course.get("moods", [])),
            tags=frozenset(customer["tags"]) if customer else frozenset(),
            source=customer["source"] if customer else "",
            repeats=repeats(course, questions),
            unsure_turns=course.get("unsure_turns", 0),
            amount=largest_amount(text),
            is_open=not self.hours.back_at(),
            account=_account(turn["thread_id"]),
        )


def is_for_a_person(turn: Turn) -> bool:
    """Tell whether a rule gives the turn to a person."""
    return "rule" in turn and turn["rule"]["escalate"]


def largest_amount(text: str) -> float:
    """Return the largest sum in 元 that a text names, 0 when it names none."""
    sums = [fact.value for fact in facts_of(plain(text[:LONG])) if fact.kind == "number" and fact.unit == YUAN]
    return max(map(float, sums), default=0.0)


def _account(thread_id: str) -> str:
    parts = thread_id.split(":")
    return parts[1] if len(parts) == 3 else ""
