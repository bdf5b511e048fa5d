"""The life of a conversation: runs, waits, relays, resumes, and every repetition of them."""

from __future__ import annotations

import pytest
from langgraph.errors import GraphInterrupt
from langgraph.types import Command

from graph.context import Context
from graph.conversation import STRICT_RESUME, CustomerLine
from kb.errors import IndexUnavailableError
from tools.messages import HumanReply


def reply(text: str, reply_id: str = "r1", action: str = "text") -> HumanReply:
    return HumanReply(reply_id=reply_id, agent="小王", action=action, text=text)


async def test_a_covered_question_is_answered_with_its_source(bench):
    bench.knowledge.knows("如何退款?", "在订单页申请退款。")
    assert await bench.customer("如何退款?") == ["在订单页申请退款。"]
    [said] = bench.outbox.said.values()
    assert said.sources == ("c-在订单页申请退款。",)


@pytest.mark.parametrize(("confidence", "is_answered"), [(0.79, False), (0.80, True), (0.81, True)])
async def test_the_threshold_decides(bench, confidence, is_answered):
    bench.knowledge.knows("如何退款?", "答案", confidence)
    await bench.customer("如何退款?")
    assert ("答案" in bench.outbox.texts) is is_answered
    assert bool(bench.outbox.tickets) is not is_answered


async def test_an_uncovered_question_opens_one_ticket_and_waits(bench):
    bench.knowledge.knows("能刻字吗?", "草稿", 0.4)
    [hold] = await bench.customer("能刻字吗?")
    assert "人工" in hold
    [ticket] = bench.outbox.tickets.values()
    assert (ticket.question, ticket.reason, ticket.confidence, ticket.draft) == (
        "能刻字吗?",
        "low_confidence",
        0.4,
        "草稿",
    )
    assert ticket.history[-1].text == "能刻字吗?"
    assert await bench.next() == ("human_resume",)


async def test_customer_message_is_never_a_resume(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    before = (await bench.graph.aget_state(bench.config)).interrupts[0].id
    assert await bench.customer("如何退款?") == []
    snapshot = await bench.graph.aget_state(bench.config)
    assert snapshot.next == ("human_resume",)
    assert snapshot.interrupts[0].id == before
    assert len(bench.outbox.tickets) == 1
    assert [said.text for said in bench.outbox.to_desk.values()] == ["如何退款?"]
    assert [message.text for message in snapshot.values["messages"]][-1] == "如何退款?"


async def test_a_reply_resumes_and_keeps_waiting_until_done(bench):
    await bench.customer("能刻字吗?")
    assert await bench.conversation.human_reply(bench.thread_id, reply("可以的", "r1"))
    assert await bench.conversation.human_reply(bench.thread_id, reply("三天出货", "r2"))
    assert bench.outbox.texts[1:] == ["可以的", "三天出货"]
    assert await bench.conversation.is_waiting(bench.thread_id)
    assert await bench.conversation.human_reply(bench.thread_id, reply("", "r3", "done"))
    assert not await bench.conversation.is_waiting(bench.thread_id)
    assert bench.outbox.closed == list(bench.outbox.tickets)


async def test_after_done_the_bot_answers_again(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "done"))
    assert await bench.customer("如何退款?") == ["答案"]


async def test_close_ends_the_wait_without_a_word_to_the_customer(bench):
    await bench.customer("能刻字吗?")
    said = len(bench.outbox.said)
    assert await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "close"))
    assert len(bench.outbox.said) == said
    assert await bench.next() == ()


async def test_a_repeated_reply_is_said_once(bench):
    await bench.customer("能刻字吗?")
    for _ in range(2):
        assert await bench.conversation.human_reply(bench.thread_id, reply("可以的", "r1"))
    assert bench.outbox.texts.count("可以的") == 1
    assert [m.text for m in (await bench.state())["messages"]].count("可以的") == 1


async def test_a_reply_resumes_exactly_the_wait_it_answers(bench):
    await bench.customer("能刻字吗?", turn_id="old")
    await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "done"))
    await bench.customer("还能批发吗?", turn_id="new")
    assert not await bench.conversation.human_reply(bench.thread_id, reply("旧答案", "r2"), ticket_id="old")
    assert "旧答案" not in bench.outbox.texts
    assert await bench.conversation.human_reply(bench.thread_id, reply("新答案", "r3"), ticket_id="new")


async def test_a_reply_without_a_wait_resumes_nothing(bench):
    bench.knowledge.knows("如何退款?", "答案")
    assert not await bench.conversation.human_reply("wecom:wk1:unknown", reply("有人吗"))
    await bench.customer("如何退款?")
    said = len(bench.outbox.said)
    assert not await bench.conversation.human_reply(bench.thread_id, reply("迟到的话"))
    assert len(bench.outbox.said) == said


async def test_a_wrong_interrupt_id_is_refused_by_the_library(bench):
    await bench.customer("能刻字吗?")
    strict = {"configurable": {**bench.config["configurable"], STRICT_RESUME: True}}
    with pytest.raises(Exception, match="interrupt"):
        await bench.graph.ainvoke(Command(resume={"0" * 32: {}}), strict)
    assert await bench.next() == ("human_resume",)


async def test_a_late_word_of_a_person_goes_out_as_a_fresh_message(bench):
    await bench.conversation.person_spoke(bench.thread_id, "late", "补充一句", speaker="human")
    assert bench.outbox.texts == ["补充一句"]
    [message] = (await bench.state())["messages"]
    assert (message.name, message.text) == ("human", "补充一句")


async def test_staff_words_become_history_and_are_not_repeated_to_the_customer(bench):
    await bench.conversation.person_spoke(bench.thread_id, "s1", "我在企业微信里回过了", speaker="staff")
    assert bench.outbox.texts == []
    assert [m.text for m in (await bench.state())["messages"]] == ["我在企业微信里回过了"]
    assert await bench.next() == ()


async def test_staff_words_during_a_wait_leave_the_wait_alone(bench):
    await bench.customer("能刻字吗?")
    await bench.conversation.person_spoke(bench.thread_id, "s1", "我来", speaker="staff")
    assert await bench.next() == ("human_resume",)
    assert (await bench.state())["messages"][-1].text == "我来"


async def test_a_repeated_turn_changes_nothing(bench):
    bench.knowledge.knows("如何退款?", "答案")
    for _ in range(2):
        await bench.customer("如何退款?", turn_id="same")
    assert bench.outbox.texts == ["答案"]
    assert len((await bench.state())["messages"]) == 2


async def test_a_repeated_escalating_turn_opens_no_second_ticket_and_relays_nothing(bench):
    for _ in range(2):
        await bench.customer("能刻字吗?", turn_id="same")
    assert len(bench.outbox.tickets) == 1
    assert bench.outbox.to_desk == {}


async def test_a_turn_that_broke_off_goes_on_where_it_stopped(bench):
    bench.knowledge.knows("如何退款?", "答案")
    bench.knowledge.is_down = True
    with pytest.raises(IndexUnavailableError):
        await bench.customer("如何退款?", turn_id="same")
    assert await bench.next() == ("retrieve",)
    bench.knowledge.is_down = False
    assert await bench.customer("如何退款?", turn_id="same") == ["答案"]


async def test_a_turn_given_up_goes_to_a_person_and_the_conversation_goes_on(bench):
    bench.knowledge.knows("如何退款?", "答案")
    bench.knowledge.is_down = True
    with pytest.raises(IndexUnavailableError):
        await bench.customer("如何退款?", turn_id="same")
    line = bench.outbox.said
    assert not line
    lines = [CustomerLine(message_id="same-m0", kind="text", text="如何退款?")]
    await bench.conversation.customer_turn(bench.thread_id, "same", lines, hand_over="failure")
    [ticket] = bench.outbox.tickets.values()
    assert (ticket.reason, ticket.question, ticket.confidence) == ("failure", "如何退款?", None)
    bench.knowledge.is_down = False
    await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "done"))
    assert await bench.customer("如何退款?") == ["答案"]


async def test_a_wait_without_its_interrupt_is_found_again(bench):
    """A crash between an update and the node's next stop leaves `next` set and no interrupt listed."""
    await bench.customer("能刻字吗?")
    await bench.graph.aupdate_state(bench.config, {"messages": []}, as_node="escalate")
    assert (await bench.graph.aget_state(bench.config)).interrupts == ()
    assert await bench.conversation.is_waiting(bench.thread_id)
    assert await bench.conversation.human_reply(bench.thread_id, reply("可以的"))
    assert bench.outbox.texts[-1] == "可以的"


async def test_interrupt_stands_alone(bench):
    """Nothing before the interrupt: the node restarts from its first line on every resume."""
    from langgraph.runtime import Runtime

    from graph.nodes.human_resume import human_resume

    state = {"handoff": {"ticket_id": "t", "reason": "failure", "is_open": True}}
    with pytest.raises((GraphInterrupt, RuntimeError)):
        await human_resume(state, Runtime(context=Context()), outbox=bench.outbox, texts=None)
    assert not bench.outbox.said


async def test_context_is_passed_on_resumes_too(make_bench):
    bench = make_bench(history_lines=1)
    await bench.customer("能刻字吗?")
    [ticket] = bench.outbox.tickets.values()
    assert len(ticket.history) == 1
    await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "done"))
    await bench.customer("批发呢?")
    assert [len(t.history) for t in bench.outbox.tickets.values()] == [1, 1]


async def test_without_a_desk_the_bot_says_so_and_does_not_wait(make_bench):
    bench = make_bench(has_desk=False)
    [text] = await bench.customer("能刻字吗?")
    assert "已为您转接" not in text
    assert await bench.next() == ()
    assert len(bench.outbox.tickets) == 1


async def test_two_customers_do_not_see_each_other(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    bench.thread_id = "wecom:wk1:wm2"
    assert await bench.customer("如何退款?") == ["答案"]
    assert len((await bench.state())["messages"]) == 2


async def test_a_reply_that_failed_does_not_swallow_the_next_one(bench, monkeypatch):
    """A node that fails after its interrupt keeps the resume value; the next resume must still arrive."""
    await bench.customer("能刻字吗?")

    async def fail(*_args, **_kwargs):
        raise RuntimeError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(bench.outbox), "say", fail)
        with pytest.raises(RuntimeError):
            await bench.conversation.human_reply(bench.thread_id, reply("第一句", "r1"))
    assert await bench.conversation.human_reply(bench.thread_id, reply("第二句", "r2"))
    assert bench.outbox.texts[1:] == ["第一句", "第二句"]
    assert await bench.conversation.is_waiting(bench.thread_id)


async def test_a_late_word_of_a_person_during_another_wait_still_reaches_the_customer(bench):
    await bench.customer("能刻字吗?")
    await bench.conversation.person_spoke(bench.thread_id, "late", "补充一句", speaker="human")
    assert bench.outbox.texts[-1] == "补充一句"
    assert await bench.conversation.is_waiting(bench.thread_id)


async def test_a_repeated_done_is_the_same_done(bench):
    await bench.customer("能刻字吗?")
    for _ in range(2):
        assert await bench.conversation.human_reply(bench.thread_id, reply("", "r1", "done"))


async def test_a_wait_nobody_can_end_is_left_when_the_desk_is_gone(bench):
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    bench.conversation._context = Context(has_desk=False)
    assert await bench.customer("如何退款?") == ["答案"]


async def test_what_a_customer_writes_to_staff_is_heard_and_not_answered(bench):
    bench.knowledge.knows("如何退款?", "答案")
    line = CustomerLine(message_id="m1", kind="text", text="如何退款?")
    for _ in range(2):
        await bench.conversation.listen(bench.thread_id, "t1", [line])
    assert bench.outbox.texts == []
    assert [m.text for m in (await bench.state())["messages"]] == ["如何退款?"]
    assert await bench.customer("如何退款?") == ["答案"]


async def test_what_a_customer_writes_to_staff_during_a_wait_reaches_the_desk_too(bench):
    await bench.customer("能刻字吗?")
    await bench.conversation.listen(bench.thread_id, "t9", [CustomerLine(message_id="m9", kind="text", text="在吗")])
    assert [said.text for said in bench.outbox.to_desk.values()] == ["在吗"]
    assert await bench.conversation.is_waiting(bench.thread_id)


async def test_a_customer_who_writes_too_much_gets_one_polite_notice_and_a_person(bench):
    bench.knowledge.knows("如何退款?", "答案")
    line = CustomerLine(message_id="m1", kind="text", text="如何退款?")
    await bench.conversation.customer_turn(bench.thread_id, "t1", [line], hand_over="rate_limited")
    [text] = bench.outbox.texts
    assert "人工" in text
    assert not text.startswith("⏳")
    [ticket] = bench.outbox.tickets.values()
    assert ticket.reason == "rate_limited"
    assert bench.knowledge.searched == []


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 4])
async def test_a_kill_after_any_checkpoint_loses_no_answer(bench, kill_after, checkpoints):
    """Between a node's writes and the next checkpoint `next` is empty: it looks finished and is not."""
    bench.knowledge.knows("如何退款?", "答案")
    with kill_after(bench, checkpoints):
        await bench.customer("如何退款?", turn_id="same")
    assert await bench.customer("如何退款?", turn_id="same") in (["答案"], [])
    assert bench.outbox.texts == ["答案"]
    assert [message.text for message in (await bench.state())["messages"]] == ["如何退款?", "答案"]
    assert await bench.next() == ()


async def test_a_kill_after_a_reply_was_taken_keeps_the_wait(bench, kill_after):
    await bench.customer("能刻字吗?")
    with kill_after(bench, 0):
        await bench.conversation.human_reply(bench.thread_id, reply("可以的", "r1"))
    assert await bench.conversation.human_reply(bench.thread_id, reply("可以的", "r1"))
    assert bench.outbox.texts[1:] == ["可以的"]
    assert await bench.conversation.is_waiting(bench.thread_id)
    assert await bench.conversation.human_reply(bench.thread_id, reply("三天出货", "r2"))
    assert bench.outbox.texts[1:] == ["可以的", "三天出货"]


async def test_a_reply_that_is_never_taken_ends_after_a_few_tries_and_is_said_once(bench, monkeypatch):
    await bench.customer("能刻字吗?")
    monkeypatch.setattr("graph.conversation._is_taken", lambda *_: False)
    assert not await bench.conversation.human_reply(bench.thread_id, reply("可以的"))
    assert bench.outbox.texts[1:] == ["可以的"]


async def test_steps_that_cannot_be_forgotten_cost_no_answer(bench, monkeypatch, caplog):
    bench.knowledge.knows("如何退款?", "答案")

    async def fail(*_args, **_kwargs):
        raise RuntimeError("the database is away")

    monkeypatch.setattr(type(bench.saver), "aprune", fail)
    assert await bench.customer("如何退款?") == ["答案"]
    assert [record.action for record in caplog.records if hasattr(record, "action")] == ["prune_failed"]
