"""A chat model in the conversation: it reads where that may decide, and can only ever cost its own wording."""

from __future__ import annotations

import asyncio
import json

import pytest
from langchain_core.exceptions import ModelRateLimitError


def verdict(answer: str = "", *cited: int) -> str:
    return json.dumps({"is_answered": bool(answer), "cited": cited, "answer": answer})


@pytest.fixture
def reading(make_bench, model):
    """A bot with a model that has one passage for one question."""
    bench = make_bench(model)
    bench.knowledge.resembles("怎么退", bench.knowledge.hit("", "在订单页申请。", 0.9), shortlist=0)
    return bench


async def test_what_the_model_writes_is_said_with_the_chunks_it_cites(reading, model):
    model.replies[:] = [verdict("您可以在订单页申请。", 1)]
    assert await reading.customer("怎么退") == ["您可以在订单页申请。"]
    [said] = reading.outbox.said.values()
    assert said.sources == ("c-在订单页申请。",)


async def test_an_entry_that_answers_as_it_stands_is_not_read(reading, model):
    reading.knowledge.knows("如何退款?", "在订单页申请。")
    assert await reading.customer("如何退款?") == ["在订单页申请。"]
    assert model.asked == []


async def test_reading_makes_an_unsure_entry_sure(reading, model):
    reading.knowledge.knows("如何退款?", "在订单页申请。", 0.5)
    model.replies[:] = [verdict("您可以在订单页申请。", 1)]
    assert await reading.customer("如何退款?") == ["您可以在订单页申请。"]


async def test_a_denial_hands_over(reading, model):
    model.replies[:] = [verdict()]
    await reading.customer("怎么退")
    assert (reading.ticket.reason, reading.ticket.question) == ("low_confidence", "怎么退")


async def test_a_denial_leaves_the_choice_to_the_customer_where_one_of_three_is_likely(reading, model):
    hits = [reading.knowledge.hit(f"问{number}", f"答{number}") for number in range(3)]
    reading.knowledge.resembles("刷杯子用什么", *hits)
    model.replies[:] = [verdict()]
    await reading.customer("刷杯子用什么")
    assert len(reading.menus) == 1
    assert await reading.customer("1") == ["答0"]
    assert len(model.asked) == 1


async def test_one_question_may_be_read_and_another_not(reading, model):
    reading.knowledge.knows("运费多少?", "包邮。")
    model.replies[:] = [verdict("您可以在订单页申请。", 1)]
    assert await reading.customer("运费多少?", "怎么退") == ["包邮。\n\n您可以在订单页申请。"]


@pytest.mark.parametrize("failure", [ModelRateLimitError("busy"), TimeoutError(), ""])
async def test_a_failing_or_silent_model_is_replaced_by_the_entry(reading, model, failure):
    model.replies[:] = [failure, failure]
    assert await reading.customer("怎么退") == ["在订单页申请。"]


async def test_a_model_that_never_answers_is_not_waited_for(make_bench, model, monkeypatch):
    async def hang(*_args, **_kwargs):
        await asyncio.Event().wait()

    monkeypatch.setattr(type(model), "_agenerate", hang)
    bench = make_bench(model, model_timeout_seconds=0.01)
    bench.knowledge.resembles("怎么退", bench.knowledge.hit("", "在订单页申请。", 0.9))
    assert await bench.customer("怎么退") == ["在订单页申请。"]


async def test_far_below_the_threshold_the_model_is_not_asked(make_bench, model):
    bench = make_bench(model)
    bench.knowledge.knows("如何退款?", "在订单页申请。", 0.04)
    await bench.customer("如何退款?")
    assert model.asked == []
    assert bench.outbox.tickets
