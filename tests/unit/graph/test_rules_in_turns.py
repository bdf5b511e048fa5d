"""What rules do to turns: who gets them, what is said, and what counts towards the next."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import pytest

from graph.course import mood_of, repeats, tidy, with_questions
from graph.facts import facts_of
from graph.judge import Judge, largest_amount
from graph.told import told_in

COMPLAINT = "rules: [{name: 投诉, when: {keywords: 投诉}, then: {priority: high, channel: wecom, words: hold_rule}}]"
ANGRY = "rules: [{name: 不满, when: {mood: 负面, mood_turns: 2}, then: {priority: high}}]"
AGAIN = "rules: [{name: 三遍, when: {repeats: 3}, then: {}}]"
UNSURE = "rules: [{name: 没把握, when: {low_confidence_turns: 2}, then: {priority: high}}]"


class Closed:
    def back_at(self) -> str:
        return "明天 09:00"


async def test_a_rule_calls_a_person_although_the_bot_could_answer(bench: Any, make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT)
    bench.knowledge.knows("快递太慢要投诉吧", "答案")
    [hold] = await bench.customer("快递太慢要投诉吧")
    assert "加急" in hold
    ticket = bench.ticket
    assert (ticket.reason, ticket.rule, ticket.priority, ticket.channel) == ("rule", "投诉", "high", "wecom")
    assert (ticket.draft, ticket.mood) == ("答案", "negative")
    assert await bench.next() == ("human_resume",)


async def test_outside_office_hours_its_words_say_when(make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT, hours=Closed())
    [hold] = await bench.customer("快递太慢要投诉吧")
    assert "加急登记" in hold
    assert "明天 09:00" in hold


async def test_words_without_a_closed_form_give_way_to_the_usual_ones(make_bench: Any) -> None:
    rules = "rules: [{name: r, when: {keywords: 刻字}, then: {words: handed_back}}]"
    bench = make_bench(rules=rules, hours=Closed())
    [hold] = await bench.customer("能刻字吗")
    assert "明天 09:00" in hold


async def test_without_a_desk_a_rule_is_honest_too(make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT, has_desk=False)
    [text] = await bench.customer("快递太慢要投诉吧")
    assert "人工" in text
    assert await bench.next() == ()


async def test_small_talk_may_call_a_person_too(make_bench: Any) -> None:
    bench = make_bench(rules="rules: [{name: 大客户, when: {tags: [VIP]}, then: {}}]")
    customer = {"source": "", "tags": ["VIP"]}
    await bench.sends(("text", "你好", ""), customer=customer)
    assert (bench.ticket.reason, bench.ticket.question, bench.ticket.priority) == ("rule", "你好", "normal")


async def test_a_picture_may_but_what_has_no_words_never(make_bench: Any) -> None:
    bench = make_bench(rules="rules: [{name: 抖音, when: {sources: 抖音}, then: {}}]")
    customer = {"source": "抖音", "tags": []}
    await bench.sends(("text", "😡", ""), customer=customer)
    await bench.sends(("text", "", ""), customer=customer)
    assert not bench.outbox.tickets
    await bench.sends(("image", "[图片]", ""), customer=customer)
    assert bench.ticket.question == "[图片]"


async def test_asking_for_a_person_stays_the_reason_and_the_rule_adds_haste(make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT)
    [hold] = await bench.customer("我要投诉你们")
    assert "加急" in hold
    assert (bench.ticket.reason, bench.ticket.rule, bench.ticket.priority) == ("asked_for_human", "投诉", "high")


async def test_an_exception_leaves_the_bot_alone(make_bench: Any) -> None:
    rules = (
        "rules: [{name: 问, when: {patterns: 怎么*投诉}, then: {escalate: false}},"
        " {name: 投诉, when: {keywords: 投诉}, then: {}}]"
    )
    bench = make_bench(rules=rules)
    bench.knowledge.knows("怎么投诉快递?", "打客服电话。")
    assert await bench.customer("怎么投诉快递?") == ["打客服电话。"]
    await bench.customer("快递太慢要投诉吧")
    assert bench.ticket.rule == "投诉"


async def test_two_bad_turns_in_a_row_call_a_person_and_start_anew_afterwards(make_bench: Any) -> None:
    bench = make_bench(rules=ANGRY)
    bench.knowledge.knows("物流太慢了吧", "答案")
    bench.knowledge.knows("怎么还不到,太失望了", "答案")
    assert await bench.customer("物流太慢了吧") == ["答案"]
    await bench.customer("谢谢")
    assert await bench.customer("怎么还不到,太失望了") == ["答案"]
    await bench.customer("物流太慢了吧")
    assert (bench.ticket.reason, bench.ticket.rule) == ("rule", "不满")
    await bench.human("", "r1", "done")
    assert await bench.customer("物流太慢了吧") == ["答案"]
    assert (await bench.state())["course"]["moods"] == ["negative"]


async def test_a_question_asked_three_times_calls_a_person(make_bench: Any) -> None:
    bench = make_bench(rules=AGAIN)
    for text in ("订单什么时候发货", "请问订单什么时候发货?", "订单什么时候发货呢"):
        bench.knowledge.knows(text, "今天")
    bench.knowledge.knows("订单什么时候发货?", "今天")
    assert await bench.customer("订单什么时候发货") == ["今天"]
    assert await bench.customer("请问订单什么时候发货?") == ["今天"]
    bench.knowledge.knows("如何退款?", "答案")
    assert await bench.customer("如何退款?") == ["答案"]
    await bench.customer("订单什么时候发货呢")
    assert bench.ticket.rule == "三遍"


def asks(text: str, card: str = "") -> Any:
    return [{"text": text, "is_whole": False, **({"shown": card} if card else {})}]


def times_asked(*asked: Any, course: Any = None) -> list[int]:
    """Go through turns; return how often the question of each was asked by then."""
    course, counts = course or {}, []
    for questions in asked:
        course = with_questions(course, questions)
        counts.append(repeats(course, questions))
    return counts


async def test_the_price_of_three_products_is_three_questions(make_bench: Any) -> None:
    bench = make_bench(rules=AGAIN)
    for name in ("保温杯", "雨伞", "台灯"):
        bench.knowledge.knows(f"{name} 这个多少钱", f"{name} 39 元")
        bench.knowledge.knows("这个多少钱", "39 元")
        card = ("channels_shop_product", f"[商品] {name} 39.90 元", "")
        assert len(await bench.sends(card, ("text", "这个多少钱", ""))) == 1
        assert not bench.outbox.tickets
    # About the last one twice more, once without showing it again.
    await bench.customer("这个多少钱")
    assert not bench.outbox.tickets
    await bench.sends(("channels_shop_product", "[商品] 台灯 39.90 元", ""), ("text", "这个多少钱呀", ""))
    assert bench.ticket.rule == "三遍"
    await bench.human("", "r1", "done")
    assert (await bench.state())["course"]["asked_about"] == []


def test_what_a_question_is_about_belongs_to_it() -> None:
    assert times_asked(*(asks("多少钱", card) for card in ("[商品] 甲", "[商品] 乙", "[商品] 甲"))) == [1, 1, 2]
    assert times_asked(asks("多少钱", "[商品] 甲"), asks("多少钱"), asks("多少钱", "[商品] 乙"), asks("多少钱")) == [
        1,
        2,
        1,
        2,
    ]


def test_the_same_product_at_another_price_is_another_one() -> None:
    assert times_asked(asks("有货吗", "[商品] 杯 39 元"), asks("有货吗", "[商品] 杯 59 元")) == [1, 1]


def test_an_order_stays_the_same_whatever_its_state() -> None:
    orders = [
        f"[订单] 保温杯 ({state}) 39 元 订单号 {number}"
        for state, number in (("待发货", 1), ("已发货", 1), ("已发货", 2))
    ]
    assert times_asked(*(asks("到哪了", order) for order in orders)) == [1, 2, 1]


def test_a_question_asked_before_anything_was_shown_counts_with_the_card_too() -> None:
    assert times_asked(asks("什么时候发货"), asks("什么时候发货"), asks("什么时候发货", "[订单] 杯 订单号 7")) == [
        1,
        2,
        3,
    ]


def test_a_card_that_is_sent_twice_before_its_question_is_one() -> None:
    assert times_asked(asks("多少钱", "[商品] 甲"), asks("多少钱", "[商品] 甲\n[商品] 甲")) == [1, 2]


def test_questions_remembered_by_an_earlier_version_still_count() -> None:
    assert times_asked(asks("多少钱", "[商品] 甲"), course={"asked": ["运费多少", "多少钱"]}) == [2]


def test_only_the_latest_questions_are_remembered_with_their_cards() -> None:
    course: Any = {}
    for number in range(20):
        course = with_questions(course, asks(f"问题{number}号", f"[商品] {number}"))
    assert len(course["asked"]) == len(course["asked_about"]) == 12
    assert course["asked_about"][-1] == "[商品] 19"


async def test_turns_in_which_the_bot_is_not_sure_are_counted(make_bench: Any) -> None:
    bench = make_bench(rules=UNSURE)
    hits = [bench.knowledge.hit("能刻字吗", "能"), bench.knowledge.hit("能印图吗", "能印")]
    bench.knowledge.resembles("可以定制图案或文字吗", *hits)
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("可以定制图案或文字吗")
    assert (await bench.state())["course"]["unsure_turns"] == 1
    await bench.customer("如何退款?")
    assert (await bench.state())["course"]["unsure_turns"] == 0
    await bench.customer("可以定制图案或文字吗")
    await bench.customer("都不好说,我再想想别的办法")
    assert (bench.ticket.rule, bench.ticket.priority) == ("没把握", "high")


async def test_a_reader_hears_the_mood_better_than_words_do(make_bench: Any, model: Any) -> None:
    bench = make_bench(model, rules="rules: [{name: 不满, when: {mood: 负面}, then: {}}]")
    bench.knowledge.resembles("包裹在路上散步吗", bench.knowledge.hit("物流", "3 天"))
    model.replies.append('{"is_answered": false, "cited": [], "answer": "", "mood": "负面"}')
    await bench.customer("包裹在路上散步吗")
    assert (bench.ticket.rule, bench.ticket.mood) == ("不满", "negative")
    assert len(model.asked) == 1


async def test_beside_a_person_nothing_is_answered_that_a_rule_gives_to_them(make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT, handoff_mode="assist")
    bench.knowledge.knows("快递太慢要投诉吧", "答案")
    bench.knowledge.knows("如何退款?", "答案")
    await bench.customer("能刻字吗?")
    assert await bench.customer("快递太慢要投诉吧") == []
    assert await bench.customer("如何退款?") == ["答案"]


async def test_a_turn_that_fails_is_not_judged(make_bench: Any) -> None:
    bench = make_bench(rules=COMPLAINT)
    await bench.sends(("text", "快递太慢要投诉吧", ""), hand_over="failure")
    assert (bench.ticket.reason, bench.ticket.rule, bench.ticket.mood) == ("failure", "", "neutral")


def test_what_the_rules_look_at_is_collected() -> None:
    turn: Any = {
        "id": "t",
        "thread_id": "wecom:wk7:wm1",
        "lines": [{"kind": "text", "text": "6000元的冰箱"}, {"kind": "image", "text": "[图片]"}],
        "customer": {"source": "抖音", "tags": ["VIP"]},
    }
    facts = Judge(hours=Closed()).facts(turn, [])
    assert (facts.text, facts.account, facts.source, set(facts.tags)) == ("6000元的冰箱", "wk7", "抖音", {"VIP"})
    assert (facts.amount, facts.is_open, facts.repeats) == (6000, False, 1)
    assert Judge().facts({**turn, "thread_id": "x"}, []).account == ""


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5999元", 5999),
        ("1.2万块钱", 12000),
        ("¥6,000", 6000),
        ("赔我8000块,或者500元", 8000),
        ("6000", 0),
        ("5天", 0),
        ("", 0),
        ("9" * 500 + "元", float("inf")),
    ],
)
def test_the_largest_amount_is_found(text: str, amount: float) -> None:
    assert largest_amount(text) == amount


def test_two_ways_of_typing_a_question_are_one() -> None:
    assert tidy("请问,如何 退款呢？") == tidy("如何退款")
    course: Any = {"asked": [tidy("订单什么时候发货"), tidy("运费多少"), tidy("订单什么时候能发货")]}
    assert repeats(course, [{"text": "订单什么时候能发货呀?", "is_whole": False}]) == 1
    assert repeats({}, []) == 1
    assert repeats({"asked": [""]}, [{"text": "??", "is_whole": False}]) == 0
    assert mood_of({}) == "neutral"


@pytest.mark.parametrize(
    "texts",
    [
        ("红色的有货吗", "蓝色的有货吗", "黑色的有货吗"),
        ("A款多少钱", "B款多少钱", "C款多少钱"),
        ("iPhone15多少钱", "iPhone16多少钱", "iPhone15+多少钱"),
        ("370582914001到哪了", "370582914002到哪了", "370582914003到哪了"),
        ("12mm的多少钱一米", "14mm的多少钱一米", "1.2mm的多少钱一米"),
    ],
)
def test_questions_that_differ_in_a_word_are_others(texts: tuple[str, ...]) -> None:
    course: Any = {}
    for text in texts:
        questions: Any = [{"text": text, "is_whole": False}]
        course = with_questions(course, questions)
        assert repeats(course, questions) == 1


async def test_a_question_typed_three_times_in_a_burst_is_asked_once(make_bench: Any) -> None:
    bench = make_bench(rules=AGAIN)
    for text in ("多少钱", "多少钱?", "多少钱\n多少钱\n多少钱?"):
        bench.knowledge.knows(text, "39 元")
    assert await bench.customer("多少钱", "多少钱", "多少钱?") == ["39 元"]
    assert await bench.customer("多少钱") == ["39 元"]
    await bench.customer("多少钱")
    assert bench.ticket.rule == "三遍"


@pytest.mark.parametrize(
    "unit", ["万", "十", "二", "二万", "一万", "百分之", " ", "1 ", "a", "a.", "至 ", "i ", "叫我"]
)
@pytest.mark.parametrize("read", [facts_of, told_in])
def test_a_page_of_anything_is_gone_through_once(read: Callable[[str], object], unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        # Of this process alone: what else the machine does is no part of it.
        return min(timeit.repeat(lambda: read(text), timer=time.process_time, number=1, repeat=9))

    # Eight times for what is gone through once, 64 times for what is from each of its characters.
    assert seconds(4000) < 32 * seconds(500) + 0.001


def test_a_number_far_from_its_unit_is_none_of_it() -> None:
    assert largest_amount("赔我 8000" + " " * 1900 + "元") == 0
    assert largest_amount("赔我五千" + " " * 1900 + "元") == 0
    assert largest_amount("赔我五千 元") == 5000
