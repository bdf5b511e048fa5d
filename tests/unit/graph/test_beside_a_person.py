"""While a person has the conversation: the bot that answers beside them, and what is said when nobody is there."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from graph.conversation import CustomerLine


@pytest.fixture
def bench(make_bench):
    """A bot that goes on answering, in a conversation that a person has."""
    return make_bench(handoff_mode="assist")


async def wait_of(bench):
    snapshot = await bench.graph.aget_state(bench.config)
    return snapshot.next, [interrupt.id for interrupt in snapshot.interrupts]


def shown(bench):
    return [(said.part, said.text) for said in bench.outbox.to_desk.values()]


async def test_a_sure_answer_neither_ends_nor_doubles_the_wait(bench):
    bench.knowledge.knows("如何退款?", "在订单页申请退款。")
    await bench.customer("能刻字吗?")
    before = await wait_of(bench)
    assert await bench.customer("如何退款?", turn_id="t2") == ["在订单页申请退款。"]
    assert await wait_of(bench) == before
    assert before[0] == ("human_resume",)
    assert len(bench.outbox.tickets) == 1
    assert bench.outbox.closed == []
    assert bench.outbox.said["t2", "answer"].sources == ("c-在订单页申请退款。",)


async def test_the_desk_sees_the_question_and_what_the_bot_answered(bench):
    bench.knowledge.knows("如何退款?", "在订单页申请退款。")
    await bench.customer("能刻字吗?")
    await bench.customer("如何退款?")
    assert shown(bench) == [("relay", "如何退款?"), ("assisted", "🤖 机器人已自动回答客户：在订单页申请退款。")]


@pytest.mark.parametrize("text", ["能打折吗?", "谢谢", "转人工", "你好"])
async def test_what_the_bot_is_not_sure_of_is_left_to_the_person(bench, text):
    bench.knowledge.knows("能打折吗?", "不打折", 0.79)
    await bench.customer("能刻字吗?")
    assert await bench.customer(text) == []
    assert shown(bench) == [("relay", text)]
    assert (await bench.state())["messages"][-1].text == text


async def test_what_is_unclear_is_not_asked_back_beside_a_person(bench):
    bench.knowledge.resembles("退", bench.knowledge.hit("如何退款?", "甲"), bench.knowledge.hit("如何退货?", "乙"))
    await bench.customer("能刻字吗?")
    assert await bench.customer("退") == []
    assert bench.menus == []


async def test_of_several_questions_the_sure_ones_are_answered_and_all_are_shown(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    assert await bench.customer("如何退款?", "可以在杯子上画我的猫吗?") == ["答案"]
    assert shown(bench)[0] == ("relay", "如何退款?\n可以在杯子上画我的猫吗?")


async def test_a_follow_up_to_what_the_bot_answered_beside_a_person(bench):
    bench.knowledge.knows("如何退款?", "流程")
    bench.knowledge.knows("退款要多久?", "3 天")
    await bench.customer("能刻字吗?")
    await bench.customer("如何退款?")
    assert await bench.customer("那要多久?") == ["3 天"]


async def test_the_person_goes_on_as_if_nothing_had_been(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    await bench.customer("如何退款?")
    assert await bench.human("可以刻", "r1")
    assert bench.outbox.texts[1:] == ["答案", "可以刻"]
    assert await bench.human("", "r2", "done")
    assert await bench.next() == ()
    said = [(type(message), message.text) for message in (await bench.state())["messages"]]
    assert said[2] == (HumanMessage, "如何退款?")
    assert said[3][1] == "答案"
    assert len(said) == len(set(said))


async def test_a_repeated_turn_beside_a_person_says_and_shows_what_it_did_before(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    await bench.customer("如何退款?", turn_id="same")
    bench.knowledge.knows("如何退款?", "另一个答案")
    assert await bench.customer("如何退款?", turn_id="same") == []
    assert [text for _, text in shown(bench)] == ["如何退款?", "🤖 机器人已自动回答客户：答案"]
    assert [message.text for message in (await bench.state())["messages"]].count("答案") == 1
    assert "另一个答案" not in str(await bench.state())


@pytest.mark.parametrize("writes", range(4))
async def test_a_kill_at_any_write_of_an_answer_beside_a_person(bench, kill_after, writes):
    """Every update is a run of its own that writes, and stops at the same wait."""
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    with kill_after(bench, writes, "aput_writes"):
        await bench.customer("如何退款?", turn_id="same")
    await bench.customer("如何退款?", turn_id="same")
    assert bench.outbox.texts[1:] == ["答案"]
    assert [text for _, text in shown(bench)] == ["如何退款?", "🤖 机器人已自动回答客户：答案"]
    texts = [message.text for message in (await bench.state())["messages"]]
    assert texts[0] == "能刻字吗?"
    assert texts[2:] == ["如何退款?", "答案"]
    assert await bench.human("可以刻", "r1")
    assert bench.outbox.texts[2:] == ["可以刻"]
    assert await bench.conversation.is_waiting(bench.thread_id)


async def test_without_the_knowledge_base_everything_reaches_the_person(bench, caplog):
    await bench.customer("能刻字吗?")
    bench.knowledge.is_down = True
    assert await bench.customer("如何退款?") == []
    assert shown(bench) == [("relay", "如何退款?")]
    assert [record.action for record in caplog.records if hasattr(record, "action")] == ["assist_failed"]


@pytest.mark.parametrize("hand_over", ["failure", "rate_limited"])
async def test_a_turn_that_is_handed_over_is_not_answered_beside_a_person(bench, hand_over):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    line = CustomerLine(message_id="m9", kind="text", text="如何退款?")
    await bench.conversation.customer_turn(bench.thread_id, "t9", [line], hand_over=hand_over)
    assert shown(bench) == [("relay", "如何退款?")]


@pytest.mark.parametrize("mode", ["silent", "resume"])
async def test_in_the_other_modes_the_bot_is_silent(make_bench, mode):
    bench = make_bench(handoff_mode=mode)
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    assert await bench.customer("如何退款?") == []


async def test_a_reader_helps_beside_a_person(make_bench, model):
    bench = make_bench(model, handoff_mode="assist")
    bench.knowledge.knows("能退货吗?", "签收后7天内可以申请退货。", 0.5)
    await bench.customer("转人工")
    model.replies.append('{"is_answered": true, "cited": [1], "answer": "签收后7天内可以申请退货。"}')
    assert await bench.customer("能退货吗?") == ["签收后7天内可以申请退货。"]


class Closed:
    def back_at(self):
        return "明天 09:00"


async def test_outside_office_hours_the_hold_message_says_when_people_are_back(make_bench):
    bench = make_bench(hours=Closed())
    [hold] = await bench.customer("能刻字吗?")
    assert hold.startswith("⏳")
    assert "明天 09:00" in hold
    assert await bench.next() == ("human_resume",)


async def test_outside_office_hours_a_busy_writer_hears_it_too(make_bench):
    bench = make_bench(hours=Closed())
    line = CustomerLine(message_id="m1", kind="text", text="如何退款?")
    await bench.conversation.customer_turn(bench.thread_id, "t1", [line], hand_over="rate_limited")
    [text] = bench.outbox.texts
    assert "明天 09:00" in text
    assert "有点多" in text


async def test_without_a_desk_nobody_is_promised_for_tomorrow(make_bench):
    bench = make_bench(hours=Closed(), has_desk=False)
    [text] = await bench.customer("能刻字吗?")
    assert "09:00" not in text
