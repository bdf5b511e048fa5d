"""What a turn means: questions, bursts, follow-ups, small talk, requests for a person, pictures."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from graph.follow_up import in_context, is_follow_up


@pytest.mark.parametrize("text", ["你好", "谢谢", "在吗", "你是机器人吗?", "😊"])
async def test_small_talk_gets_a_friendly_reply_and_no_ticket(bench, text):
    [reply] = await bench.customer(text)
    assert reply
    assert not bench.outbox.tickets
    assert bench.knowledge.searched == []
    assert await bench.next() == ()


async def test_an_empty_message_is_left_alone(bench):
    assert await bench.customer("  ") == []
    assert not bench.outbox.tickets
    assert await bench.next() == ()


async def test_a_request_for_a_person_always_hands_over(bench):
    bench.knowledge.knows("转人工", "不该用到")
    await bench.customer("转人工")
    [ticket] = bench.outbox.tickets.values()
    assert ticket.reason == "asked_for_human"
    assert bench.knowledge.searched == []


async def test_a_greeting_around_a_question_is_dropped(bench):
    bench.knowledge.knows("如何退款?", "答案")
    assert await bench.customer("你好,请问如何退款?") == ["答案"]


async def test_two_sure_lines_are_two_questions_answered_in_order(bench):
    bench.knowledge.knows("如何退款?", "答案一")
    bench.knowledge.knows("运费多少?", "答案二")
    assert await bench.customer("你好", "如何退款?", "运费多少?") == ["答案一\n\n答案二"]


async def test_the_same_answer_is_said_once(bench):
    bench.knowledge.knows("如何退款?", "答案")
    bench.knowledge.knows("退款怎么弄?", "答案")
    assert await bench.customer("如何退款?", "退款怎么弄?") == ["答案"]


async def test_pieces_of_one_question_are_read_together(bench):
    bench.knowledge.knows("我上周买的\n那个锅坏了怎么保修", "答案")
    assert await bench.customer("我上周买的", "那个锅坏了怎么保修") == ["答案"]


async def test_what_stays_open_is_handed_over_after_the_answer(bench):
    bench.knowledge.knows("如何退款?", "答案")
    said = await bench.customer("如何退款?", "可以在杯子上刻我的名字吗?")
    assert said[0] == "答案"
    [ticket] = bench.outbox.tickets.values()
    assert ticket.question == "可以在杯子上刻我的名字吗?"
    assert await bench.next() == ("human_resume",)


async def test_a_long_burst_is_one_question(bench):
    await bench.customer(*[f"第{number}行说明文字内容" for number in range(21)])
    assert len(bench.knowledge.searched) == 1
    [ticket] = bench.outbox.tickets.values()
    assert ticket.question.count("\n") == 20


async def test_a_follow_up_is_searched_with_the_previous_topic(bench):
    bench.knowledge.knows("如何退款?", "流程")
    bench.knowledge.knows("退款要多久?", "3 天")
    await bench.customer("如何退款?")
    assert await bench.customer("那要多久?") == ["3 天"]


async def test_a_follow_up_survives_small_talk_in_between(bench):
    bench.knowledge.knows("如何退款?", "流程")
    bench.knowledge.knows("退款要多久?", "3 天")
    await bench.customer("如何退款?")
    await bench.customer("谢谢")
    assert await bench.customer("那要多久?") == ["3 天"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("那要多久?", True), ("还有别的办法吗", True), ("多久到账", True), ("七天无理由退货怎么申请流程", False)],
)
def test_follow_ups_are_recognised(text, expected):
    assert is_follow_up(text) is expected


def test_the_topic_is_what_is_left_of_the_previous_question():
    assert in_context("那要多久?", "请问如何退款?") == "退款要多久?"


async def test_a_picture_alone_is_asked_to_be_typed(bench):
    [reply] = await bench.customer("[图片]", kind="image")
    assert "图片" in reply
    assert not bench.outbox.tickets


async def test_an_unknown_kind_is_asked_to_be_typed(bench):
    [reply] = await bench.customer("", kind="hologram")
    assert reply
    assert not bench.outbox.tickets


async def test_messages_alone_are_enough(bench):
    """LangGraph Studio sends messages and nothing else, turn after turn."""
    bench.knowledge.knows("如何退款?", "答案")
    for number in range(2):
        message = HumanMessage(id=f"h{number}", content="如何退款?")
        state = await bench.graph.ainvoke({"messages": [message]}, bench.config)
        assert state["messages"][-1].text == "答案"
    assert len(state["messages"]) == 4


async def test_studio_without_any_message_is_asked_to_write(bench):
    state = await bench.graph.ainvoke({"messages": []}, bench.config)
    assert state["turn"]["intent"] == "unsupported"
