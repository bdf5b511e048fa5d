"""Every kind of message does something sensible: an answer, a word, the desk, or deliberate silence."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graph.follow_up import in_context
from graph.lines import KIND_WORDS, topic_of
from graph.long_text import LONG, QUERY, question_part, shortened

CARDS = {
    "channels_shop_product": "[商品] 不锈钢保温杯 39.90 元",
    "channels_shop_order": "[订单] 不锈钢保温杯 (已发货) 订单号 3705829140017",
    "link": "[链接] 双十一活动",
    "miniprogram": "[小程序] 会员商城",
    "location": "[位置] 总店 人民路1号",
    "merged_msg": "[聊天记录] 群聊\n小李: 杯子漏水",
    "channels": "[视频号] 小店 新品发布",
}
UNREAD = ["image", "voice", "video", "file", "business_card", "msgmenu", "meeting", "calendar", "note", "hologram"]


@pytest.mark.parametrize("kind", UNREAD)
async def test_what_nobody_can_read_is_asked_to_be_typed_once_in_a_row(bench: Any, kind: str) -> None:
    [reply] = await bench.sends((kind, "[什么]", ""))
    assert KIND_WORDS.get(kind, "这类") in reply
    assert "转人工" in reply
    assert await bench.sends((kind, "[什么]", "")) == []
    assert await bench.sends((kind, "[什么]", "")) == []
    assert not bench.outbox.tickets
    assert await bench.next() == ()


async def test_a_checkpoint_from_before_replies_were_written_at_intake_goes_on(bench: Any) -> None:
    turn = {
        "id": "turn1",
        "thread_id": bench.thread_id,
        "speaker": "customer",
        "lines": [{"kind": "image", "text": "[图片]"}],
        "intent": "unsupported",
    }
    await bench.graph.aupdate_state(bench.config, {"turn": turn}, as_node="intake")
    assert await bench.next() == ("small_talk",)
    [reply] = await bench.sends(("image", "[图片]", ""))
    assert "看不懂图片" in reply
    assert await bench.next() == ()


async def test_after_words_in_between_it_is_asked_again(bench: Any) -> None:
    await bench.sends(("image", "[图片]", ""))
    await bench.customer("谢谢")
    assert len(await bench.sends(("image", "[图片]", ""))) == 1


@pytest.mark.parametrize("kind", ["image", "voice", "hologram"])
async def test_the_desk_sees_what_comes_while_a_ticket_is_open(bench: Any, kind: str) -> None:
    await bench.customer("能刻字吗?")
    assert await bench.sends((kind, "[什么]", "")) == []
    assert [said.text for said in bench.outbox.to_desk.values()] == ["[什么]"]


@pytest.mark.parametrize(("kind", "text"), CARDS.items())
async def test_a_card_alone_is_seen_and_asked_about_once(bench: Any, kind: str, text: str) -> None:
    [reply] = await bench.sends((kind, text, ""))
    assert f"收到您发来的{KIND_WORDS[kind]}" in reply
    assert await bench.sends((kind, text, "")) == []
    assert not bench.outbox.tickets


@pytest.mark.parametrize(("kind", "text"), CARDS.items())
async def test_a_card_with_a_question_is_part_of_the_question(bench: Any, kind: str, text: str) -> None:
    bench.knowledge.knows(in_context("这个多少钱", topic_of(text)), "39.9 元")
    assert await bench.sends((kind, text, ""), ("text", "这个多少钱", "")) == ["39.9 元"]


async def test_a_card_just_before_the_question_belongs_to_it(bench: Any) -> None:
    bench.knowledge.knows("不锈钢保温杯能刻字吗", "能刻")
    await bench.sends(("channels_shop_product", CARDS["channels_shop_product"], ""))
    assert await bench.customer("能刻字吗") == ["能刻"]
    state = await bench.state()
    assert state["course"]["shown"] == ""


async def test_the_desk_sees_the_card_with_the_question(bench: Any) -> None:
    await bench.sends(("channels_shop_order", CARDS["channels_shop_order"], ""), ("text", "什么时候能送到我家呢", ""))
    assert bench.ticket.question == f"什么时候能送到我家呢\n{CARDS['channels_shop_order']}"


async def test_a_card_in_a_burst_of_questions_belongs_to_all(bench: Any) -> None:
    await bench.sends(
        ("link", CARDS["link"], ""), ("text", "活动到哪天结束", ""), ("text", "可以叠加会员折扣使用吗", "")
    )
    assert bench.ticket.question.endswith(CARDS["link"])
    assert bench.ticket.question.count(CARDS["link"]) == 1


async def test_a_location_without_a_name_is_nothing_to_read(bench: Any) -> None:
    [reply] = await bench.sends(("location", "[位置]", ""))
    assert "看不懂位置" in reply


async def test_what_was_heard_is_the_question(bench: Any) -> None:
    bench.knowledge.knows("如何退款?", "答案")
    assert await bench.sends(("voice", "[语音]", "如何退款?")) == ["答案"]
    assert (await bench.state())["messages"][0].text == "[语音转文字] 如何退款?"


async def test_the_desk_sees_that_it_was_heard(bench: Any) -> None:
    await bench.sends(("voice", "[语音]", "能刻字吗"))
    assert bench.ticket.question == "能刻字吗"
    assert bench.ticket.history[-1].text == "[语音转文字] 能刻字吗"
    await bench.sends(("voice", "[语音]", "快一点"))
    assert [said.text for said in bench.outbox.to_desk.values()] == ["[语音转文字] 快一点"]


async def test_a_recording_in_which_nobody_speaks_is_asked_to_be_typed(bench: Any) -> None:
    [reply] = await bench.sends(("voice", "[语音]", "  "))
    assert "看不懂语音" in reply


async def test_a_picture_that_was_seen_is_data_beside_the_question(bench: Any) -> None:
    bench.knowledge.knows("这个怎么退货", "答案")
    assert await bench.sends(("image", "[图片]", "一张咖啡机的照片"), ("text", "这个怎么退货", "")) == ["答案"]
    question = (await bench.state())["questions"][0]
    assert question["shown"] == "[图片内容] 一张咖啡机的照片"
    assert question["text"] == "这个怎么退货"


async def test_a_picture_that_was_seen_alone_is_asked_about(bench: Any) -> None:
    [reply] = await bench.sends(("image", "[图片]", "一张咖啡机的照片"))
    assert "收到您发来的图片" in reply


@pytest.mark.parametrize("text", ["😊", "[微笑]", "？？？", "...", "[动画表情]", "【表情】", "👍👍👍", "。"])
async def test_what_has_no_words_gets_a_word_and_then_silence(bench: Any, text: str) -> None:
    [reply] = await bench.customer(text)
    assert reply
    assert await bench.customer(text) == []
    assert await bench.customer(text, text) == []
    assert not bench.outbox.tickets


async def test_what_has_no_words_beside_a_question_is_ignored(bench: Any) -> None:
    bench.knowledge.knows("如何退款?", "答案")
    assert await bench.customer("???", "如何退款?", "😊") == ["答案"]


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
async def test_an_empty_text_is_left_alone(bench: Any, text: str) -> None:
    assert await bench.customer(text) == []
    assert not bench.outbox.tickets


async def test_a_very_long_text_is_searched_by_its_question_and_shown_shortened(bench: Any) -> None:
    bench.knowledge.knows("请问怎么退款?", "答案", 0.5)
    story = "我上周在你们店里买了东西。" * 400
    await bench.customer(f"{story}请问怎么退款?{story}")
    assert bench.knowledge.searched == ["请问怎么退款?"]
    assert len(bench.ticket.question) <= 600
    assert "…" in bench.ticket.question


@pytest.mark.parametrize("unit", ["啊", "谢谢", "投诉不", "?", "a ", "如何", "订单号 ", "我的订单 123", "\n"])
async def test_no_long_text_is_an_error_or_takes_long(bench: Any, unit: str) -> None:
    started = time.process_time()
    await bench.customer(unit * (20_000 // len(unit)))
    assert time.process_time() - started < 5


def test_the_question_of_a_text_is_its_last_sentences_that_ask() -> None:
    assert question_part("我买了杯子。怎么退?天气真好。多久到账?再见。") == "怎么退?\n多久到账?"
    assert question_part("请问" + "很长" * QUERY) == shortened("请问" + "很长" * QUERY, QUERY)
    assert len(question_part("没有什么要说的句号没有" * LONG)) <= QUERY


def test_a_shortened_text_keeps_both_ends() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdefgh", 5) == "ab…gh"
    assert len(shortened("x" * 999)) == 300
