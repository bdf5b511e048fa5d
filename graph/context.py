"""What a run is given: data it may be edited by (Context) and the objects it works with (Ports)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from langgraph.runtime import Runtime

from graph.profile import Profiles
from graph.reader import Reader
from graph.summary import Summariser
from kb.ports import Grader, Retriever
from prompts.rules import Rule, RuleFacts
from tools.messages import Mood
from tools.ports import Outbox

HandoffMode = Literal["silent", "assist", "resume"]
"""What the bot does while a person has the conversation: nothing, answer what it is sure of, or nothing until the
person is away for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Settings of one run; JSON, so that Studio can show and edit them. Not checkpointed: pass it on every run."""

    top_k: int = 5
    """Hits kept for each query."""
    history_lines: int = 8
    """Last lines shown to the model and to the desk."""
    has_desk: bool = True
    """Whether a person can be reached; without one the bot says so honestly and does not wait."""
    model_timeout_seconds: float = 20
    """How long a reader may take before it is decided without one."""
    handoff_mode: HandoffMode = "silent"
    """What the bot does while a person has the conversation."""


class Texts(Protocol):
    """The texts the bot speaks with."""

    def render(self, name: str, /, **values: str) -> str:
        """Fill the named prompt."""
        ...

    def small_talk_reply(self, text: str) -> str | None:
        """Return the friendly fixed reply to small talk, None for anything else."""
        ...

    def wants_human(self, text: str) -> bool:
        """Tell whether the customer asks for a person."""
        ...

    def strip_pleasantries(self, text: str) -> str:
        """Drop greetings around a question."""
        ...

    def is_wordless(self, text: str) -> bool:
        """Tell whether a message is nothing but emoji and punctuation."""
        ...

    def mood_of(self, text: str) -> Mood:
        """Tell how a turn sounds."""
        ...


class Rules(Protocol):
    """The rules in force."""

    def match(self, facts: RuleFacts) -> Rule | None:
        """Return the first rule that fits, None when none does."""
        ...


class Hours(Protocol):
    """When people are there."""

    def back_at(self) -> str:
        """Say to a customer when people are back; empty while they are there."""
        ...


class AlwaysOpen:
    """People are always there."""

    def back_at(self) -> str:
        """They are there."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The objects a graph is built with."""

    retriever: Retriever
    grader: Grader
    outbox: Outbox
    texts: Texts
    reader: Reader | None = None
    """None: answers are taken verbatim from the knowledge base."""
    summariser: Summariser | None = None
    """None: what a person last said is remembered word for word."""
    hours: Hours = field(default_factory=AlwaysOpen)
    rules: Rules | None = None
    """None: nothing but the confidence and the customer's wish calls a person."""
    profiles: Profiles | None = None
    """None: nothing is known of customers beyond the conversation."""


def context_of(runtime: Runtime[Context]) -> Context:
    """Return the run's context, or the defaults where none was given (Studio may send none)."""
    return runtime.context or Context()
