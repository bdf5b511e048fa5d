"""What the chat model is counted to cost."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from tools.model_usage import Meter, Usage

TOKENS = {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_call_is_counted_with_its_tokens_and_its_price() -> None:
    names = [("kefu_model_calls_total", {"outcome": "usable"}), ("kefu_model_tokens_total", {"kind": "input"})]
    names += [("kefu_model_tokens_total", {"kind": "output"}), ("kefu_model_cost_total", {})]
    before = [counted(name, **labels) for name, labels in names]
    usage = Meter(price_input=2.0, price_output=8.0).record("usable", TOKENS)
    assert usage == Usage(calls=1, input_tokens=1000, output_tokens=50, cost=pytest.approx(0.0024))
    grown = [counted(name, **labels) - value for (name, labels), value in zip(names, before, strict=True)]
    assert grown == pytest.approx([1, 1000, 50, 0.0024])


def test_a_call_nobody_answered_is_a_call() -> None:
    before = counted("kefu_model_calls_total", outcome="failed")
    assert Meter().record("failed", None) == Usage(calls=1)
    assert counted("kefu_model_calls_total", outcome="failed") == before + 1


def test_calls_add_up() -> None:
    one = Usage(calls=1, input_tokens=2, output_tokens=3, cost=0.5)
    assert sum([one, one], Usage()) == Usage(calls=2, input_tokens=4, output_tokens=6, cost=1.0)
