"""A click on what a greeting offered: the entry is known, although no turn came before it."""

from __future__ import annotations

import pytest

from graph.choices import greeting_option_id, past_option
from graph.state import TurnLine


def click(option_id: str) -> TurnLine:
    return {"kind": "text", "text": "如何退款?", "choice": option_id}


@pytest.mark.parametrize("entry_id", ["a1b2c3", "手写的", "x" * 60])
def test_an_option_tells_its_entry(entry_id: str) -> None:
    option_id = greeting_option_id(entry_id)
    assert option_id is not None
    assert len(option_id) <= 128
    assert option_id.isascii()
    assert option_id.replace("_", "").isalnum()
    option = past_option(click(option_id), [])
    assert option is not None
    assert (option["entry_id"], option["question"]) == (entry_id, "如何退款?")


def test_an_id_that_does_not_fit_is_no_option() -> None:
    assert greeting_option_id("x" * 61) is None


@pytest.mark.parametrize("option_id", ["greeted_", "greeted_zz", "greeted_f", "greeted_ff", "gift_61", "61"])
def test_what_no_greeting_offered_is_only_text(option_id: str) -> None:
    assert past_option(click(option_id), []) is None
    assert past_option({"kind": "text", "text": "greeted_61"}, []) is None
