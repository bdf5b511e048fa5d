"""What the chat model was asked and what it cost: counted for Prometheus, and returned to be kept with the turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from langchain_core.messages.ai import UsageMetadata
from prometheus_client import Counter

Outcome = Literal["usable", "unusable", "failed"]
"""What came of a call: an answer in the asked form, one in another, or none in time."""

CALLS = Counter("kefu_model_calls", "Calls of the chat model, by what came of them", ["outcome"])
TOKENS = Counter("kefu_model_tokens", "Tokens of the chat model as its server counts them", ["kind"])
COST = Counter("kefu_model_cost", "Cost of these tokens by LLM_PRICE_INPUT and LLM_PRICE_OUTPUT")

_PER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Calls of the model and their tokens; a repair is a call of its own."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """In the currency of the prices; 0 without prices."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Counts calls at the prices of a million tokens."""

    price_input: float = 0.0
    price_output: float = 0.0

    def record(self, outcome: Outcome, tokens: UsageMetadata | None) -> Usage:
        """Count one call; `tokens` is what the server said, if it said so."""
        input_tokens = tokens["input_tokens"] if tokens else 0
        output_tokens = tokens["output_tokens"] if tokens else 0
        cost = (input_tokens * self.price_input + output_tokens * self.price_output) / _PER
        CALLS.labels(outcome).inc()
        TOKENS.labels("input").inc(input_tokens)
        TOKENS.labels("output").inc(output_tokens)
        COST.inc(cost)
        return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost=cost)
