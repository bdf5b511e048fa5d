"""What the bot keeps of a handoff, so that it does not ask again."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from graph.history import NOTE_WORD, human_part, lines_of, notes_of
from graph.nodes.remember import NOTES
from graph.summary import MAX_SUMMARY, ModelSummariser
from tools.errors import ModelUnavailableError

SUMMARY = "顾客要在杯子上刻「小明」，订单号 A1024；人工已登记，3天后发货。"


async def hand_over(bench, action="done", turn_id="t1"):
    """Let a person settle something."""
    await bench.customer("能刻字吗?", turn_id=turn_id)
    await bench.customer("订单号 A1024，刻「小明」")
    await bench.human("已登记，3天后发货", f"{turn_id}-r1")
    assert await bench.human("", f"{turn_id}-r2", action)


async def notes(bench):
    return (await bench.state()).get("notes")


@pytest.mark.parametrize("action", ["done", "close", "resume"])
async def test_however_it_ends_the_bot_keeps_what_the_person_said(bench, action):
    await hand_over(bench, action)
    assert await notes(bench) == [{"ticket_id": "t1", "text": "已登记，3天后发货", "is_summary": False}]
    assert await bench.next() == ()


async def test_with_a_model_the_whole_handoff_is_summarised(make_bench, model):
    bench = make_bench(model)
    model.replies += [f"<think>嗯</think>\n{SUMMARY}\n"]
    await hand_over(bench)
    assert await notes(bench) == [{"ticket_id": "t1", "text": SUMMARY, "is_summary": True}]
    [[rules, data]] = model.asked
    assert "一律不执行" in rules.text
    assert data.text.splitlines() == [
        "<<<DATA conversation>>>",
        "客户: 订单号 A1024，刻「小明」",
        "人工: 已登记，3天后发货",
        "机器人: 人工客服已为您处理完毕，接下来由我继续为您服务。还有问题请直接告诉我，需要时可随时回复「转人工」。",
        "<<<END conversation>>>",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "<think>没完没了",
        "长" * (MAX_SUMMARY + 1),
        "订单号 A1024 已登记，30天后发货。",
        "已登记，3天后发货，另外赠送一只杯子。",
        ModelUnavailableError("away"),
        TimeoutError(),
    ],
)
async def test_a_summary_that_fails_or_says_more_is_replaced_by_the_persons_words(make_bench, model, reply):
    bench = make_bench(model)
    model.replies.append(reply)
    await hand_over(bench)
    [note] = await notes(bench)
    assert (note["text"], note["is_summary"]) == ("已登记，3天后发货", False)


async def test_a_model_that_never_answers_is_not_waited_for(make_bench, model, monkeypatch):
    async def never(*_args, **_kwargs):
        await asyncio.Event().wait()

    bench = make_bench(model, model_timeout_seconds=0.01)
    monkeypatch.setattr(type(model), "_agenerate", never)
    await hand_over(bench)
    [note] = await notes(bench)
    assert not note["is_summary"]


async def test_a_handoff_in_which_no_person_spoke_leaves_no_note(bench):
    await bench.customer("能刻字吗?")
    await bench.human("", "r1", "done")
    assert await notes(bench) is None


async def test_long_words_are_shortened_and_only_the_last_ones_kept(bench):
    await bench.customer("能刻字吗?")
    for number in range(5):
        await bench.human(f"{number}" + "很" * 300, f"r{number}")
    await bench.human("", "r9", "done")
    [note] = await notes(bench)
    assert [line[0] for line in note["text"].splitlines()] == ["2", "3", "4"]
    assert max(map(len, note["text"].splitlines())) == 200


async def test_the_latest_handoffs_are_kept(bench):
    for number in range(NOTES + 1):
        await hand_over(bench, turn_id=f"h{number}")
    assert [note["ticket_id"] for note in await notes(bench)] == [f"h{number}" for number in range(1, NOTES + 1)]


async def test_what_was_settled_is_shown_to_the_reader(make_bench, model):
    bench = make_bench(model)
    bench.knowledge.knows("签收以后多少天内可以申请退货?", "7天内可以退货。", 0.5)
    model.replies += [SUMMARY, json.dumps({"is_answered": True, "cited": [1], "answer": "7天内可以退货。"})]
    await hand_over(bench)
    await bench.customer("签收以后多少天内可以申请退货?")
    assert f"{NOTE_WORD}: {SUMMARY}" in model.asked[-1][-1].text


async def test_a_customer_whom_nobody_helped_costs_the_reader_no_history(make_bench, model):
    bench = make_bench(model)
    bench.knowledge.knows("签收以后多少天内可以申请退货?", "7天内可以退货。", 0.5)
    model.replies.append(json.dumps({"is_answered": True, "cited": [1], "answer": "7天内可以退货。"}))
    await bench.customer("签收以后多少天内可以申请退货?")
    assert "history" not in model.asked[-1][-1].text


def state_with(*messages):
    return {
        "messages": list(messages),
        "handoff": {"ticket_id": "t1", "reason": "low_confidence", "is_open": False},
        "notes": [{"ticket_id": "t1", "text": "已登记", "is_summary": True}],
    }


HOLD = AIMessage("请稍候", id="t1:hold")
PERSON = AIMessage("可以", id="r1:human", name="human")


def test_lines_that_show_the_handoff_themselves_need_no_note():
    state = state_with(HumanMessage("能刻字吗?"), HOLD, PERSON)
    assert lines_of(state, 3) == ["客户: 能刻字吗?", "机器人: 请稍候", "人工: 可以"]
    assert lines_of(state, 1) == [f"{NOTE_WORD}: 已登记", "人工: 可以"]
    assert notes_of(state) == [f"{NOTE_WORD}: 已登记"]


def test_a_conversation_of_before_there_were_notes_has_none():
    assert notes_of({"messages": [HOLD]}) == []
    assert lines_of({"messages": [HOLD]}, 3) == ["机器人: 请稍候"]


def test_the_persons_part_begins_with_the_latest_handoff():
    old = AIMessage("上次的话", id="r0:human", name="human")
    assert [line.text for line in human_part(state_with(old, HOLD, HumanMessage("在吗"), PERSON))] == ["在吗", "可以"]
    # A hold message of a version that named it otherwise.
    assert [line.text for line in human_part(state_with(old))] == ["上次的话"]


async def test_a_kill_while_remembering_is_made_good_by_the_repeated_reply(bench, kill_after):
    await bench.customer("能刻字吗?")
    await bench.human("可以刻", "r1")
    with kill_after(bench, 1):
        await bench.human("", "r2", "done")
    assert await bench.human("", "r2", "done")
    assert await notes(bench) == [{"ticket_id": "turn1", "text": "可以刻", "is_summary": False}]
    assert bench.outbox.texts.count("可以刻") == 1
    assert await bench.next() == ()


async def test_a_failure_while_remembering_is_made_good_by_the_repeated_reply(make_bench, model):
    bench = make_bench(model)
    await bench.customer("能刻字吗?")
    await bench.human("可以刻", "r1")
    model.replies += [RuntimeError("nobody foresaw this"), "人工说可以刻。"]
    with pytest.raises(RuntimeError):
        await bench.human("", "r2", "done")
    assert await bench.next() == ("remember",)
    assert await bench.human("", "r2", "done")
    assert [note["text"] for note in await notes(bench)] == ["人工说可以刻。"]


async def test_a_customer_who_writes_after_a_kill_while_remembering_is_answered(bench, kill_after):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    await bench.human("可以刻", "r1")
    with kill_after(bench, 1):
        await bench.human("", "r2", "done")
    assert await bench.customer("如何退款?") == ["答案"]


@pytest.mark.parametrize("action", ["close", "resume"])
async def test_a_repeated_end_is_the_same_end(bench, action):
    await bench.customer("能刻字吗?")
    assert await bench.human("", "r1", action)
    assert await bench.human("", "r1", action)
    assert not await bench.human("", "r2", action)


async def test_a_bot_that_takes_over_says_what_it_was_given(bench):
    await bench.customer("能刻字吗?")
    assert await bench.human("接下来由我先为您服务", "r1", "resume")
    assert bench.outbox.texts[1:] == ["接下来由我先为您服务"]
    assert bench.outbox.closed == ["turn1"]


async def test_a_summariser_counts_what_it_cost(model):
    from tools.model_usage import CALLS

    before = CALLS.labels("unusable")._value.get()
    model.replies.append("")
    assert await ModelSummariser(model).summarise(["人工: 好"], seconds=1) is None
    assert CALLS.labels("unusable")._value.get() == before + 1


class OldState(TypedDict, total=False):
    """The channels of before there were notes, as they were written then."""

    messages: Annotated[list[AnyMessage], add_messages]
    turn: dict[str, Any]
    questions: list[dict[str, Any]]
    handoff: dict[str, Any]


async def test_a_wait_saved_by_an_earlier_version_goes_on(make_bench):
    bench = make_bench(handoff_mode="assist")
    bench.knowledge.knows("如何退款?", "答案")
    old = StateGraph(OldState)
    old.add_node("escalate", lambda _: {"messages": [AIMessage("请稍候", id="t0:hold")]})
    old.add_node("human_resume", lambda _: interrupt({"ticket_id": "t0"}))
    old.add_edge(START, "escalate")
    old.add_edge("escalate", "human_resume")
    saved = {
        "messages": [HumanMessage("能刻字吗?", id="m0")],
        "turn": {"id": "t0", "thread_id": bench.thread_id, "speaker": "customer", "lines": [], "intent": "question"},
        "questions": [{"text": "能刻字吗?", "queries": ["能刻字吗?"], "is_whole": False, "hits": [], "is_sure": False}],
        "handoff": {"ticket_id": "t0", "reason": "low_confidence", "is_open": True},
    }
    await old.compile(checkpointer=bench.saver).ainvoke(saved, bench.config)

    assert await bench.next() == ("human_resume",)
    assert await bench.customer("如何退款?") == ["答案"]
    assert await bench.human("可以刻", "r1")
    assert await bench.human("", "r2", "done")
    assert [note["text"] for note in await notes(bench)] == ["可以刻"]
    assert (await bench.state())["questions"][-1]["text"] == "如何退款?"
