"""What is remembered: of a long conversation a summary, of a customer few facts with where they come from."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from graph.context import Context
from graph.conversation import Conversation, CustomerLine
from graph.history import LONG_MESSAGES
from graph.nodes.summarise import MOST_MESSAGES
from graph.profile import MAX_EARLIER, MAX_FACTS, Profiles, profile_lines
from graph.told import Told, is_told, told_in, told_of
from tools.errors import ModelUnavailableError

NO = '{"is_answered": false, "cited": [], "answer": ""}'
THREAD = "wecom:wk1:wm1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profiles(clock: Clock) -> Profiles:
    return Profiles(InMemoryStore(), clock=clock)


def order(value: str) -> Told:
    return Told(kind="order_number", value=value)


def name(value: str) -> Told:
    return Told(kind="preferred_name", value=value)


# A long conversation


async def test_over_200_turns_the_prompt_stays_as_long_as_it_was(make_bench: Any, model: Any) -> None:
    bench = make_bench(model, has_desk=False)
    sizes = []
    for number in range(200):
        text = f"那第{number}个呢"
        bench.knowledge.resembles(f"第{number}个", bench.knowledge.hit("问", "答"))
        bench.knowledge.resembles(text, bench.knowledge.hit("问", "答" * 50))
        model.replies[:] = [NO, "顾客问过几个商品。"]
        await bench.customer("长" * 1000 if number % 7 == 3 else text)
        read = [messages for messages in model.asked if "entry_1" in messages[-1].text]
        sizes.append(sum(len(message.text) for message in read[-1]) if read else 0)
        del model.asked[:]
    assert max(sizes[100:]) <= max(sizes[20:100]) + 10
    state = await bench.state()
    assert len(state["messages"]) <= LONG_MESSAGES + 2
    assert state["summary"] == {"text": "顾客问过几个商品。"}


async def test_without_a_model_the_latest_messages_are_kept(bench: Any) -> None:
    bench.knowledge.knows("如何退款?", "答案")
    for _ in range(40):
        await bench.customer("如何退款?")
    state = await bench.state()
    assert len(state["messages"]) < LONG_MESSAGES
    assert state["messages"][-1].text == "答案"
    assert "summary" not in state


async def test_a_summary_takes_in_the_one_before_and_is_read_with_follow_ups(make_bench: Any, model: Any) -> None:
    bench = make_bench(model)
    bench.knowledge.knows("如何退款?", "答案")
    summaries = iter(["客户问过退款。", "客户一再问退款。"])
    for _ in range(15):
        model.replies[:] = [next(summaries)] if len((await bench.state() or {}).get("messages", [])) == 18 else []
        await bench.customer("如何退款?")
    asked = [messages[-1].text for messages in model.asked]
    assert len(asked) == 2
    assert "此前: 客户问过退款。" in asked[1]
    bench.knowledge.resembles("那要多久?", bench.knowledge.hit("退款要多久", "3 天"))
    model.replies[:] = [NO]
    await bench.customer("那要多久?")
    assert "此前: 客户一再问退款。" in model.asked[-1][-1].text


async def test_a_summary_that_fails_is_tried_again_and_not_for_ever(make_bench: Any, model: Any) -> None:
    bench = make_bench(model)
    bench.knowledge.knows("如何退款?", "答案")
    for _ in range(MOST_MESSAGES // 2 - 1):
        model.replies[:] = [ModelUnavailableError("down")]
        assert await bench.customer("如何退款?") == ["答案"]
    assert len((await bench.state())["messages"]) == MOST_MESSAGES - 2
    model.replies[:] = [ModelUnavailableError("down")]
    await bench.customer("如何退款?")
    state = await bench.state()
    assert len(state["messages"]) == 10
    assert "summary" not in state


async def test_a_summary_that_says_more_is_not_believed(make_bench: Any, model: Any) -> None:
    bench = make_bench(model)
    bench.knowledge.knows("如何退款?", "答案")
    for _ in range(LONG_MESSAGES // 2):
        model.replies[:] = ["客服答应赔 500 元。"]
        await bench.customer("如何退款?")
    assert "summary" not in await bench.state()


# What a message tells


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("订单号:3705829140017 什么时候到", [order("3705829140017")]),
        ("单号是 SF1234567890", [order("SF1234567890")]),
        ("my order no. A-20261122-77", [order("A-20261122-77"), Told(kind="language", value="英语")]),
        ("帮我查下订单,370582914001799", [order("370582914001799")]),
        ("[订单] 不锈钢保温杯 (已发货) 订单号 3705829140017", None),
        ("370582914001799", []),
        ("订单号 13812345678", []),
        ("订单 110101199003077758 查一下", []),
        ("订单号 abc", []),
        ("订单 110101900307775 查一下", []),
        ("订单退款到我银行卡6222021234567890123可以吗", []),
        ("370582914001799 是我的银行卡,订单退到这里", []),
        ("订单号 6222021234567890128", []),
        ("订单号 6222-0212-3456-7890-128", []),
        ("单号 SF6222021234566", [order("SF6222021234566")]),
        ("订单号 370582914001799 用信用卡付的", [order("370582914001799")]),
        ("请叫我小李就好", [name("小李")]),
        ("我姓王,订单没到", [name("姓王")]),
        ("我姓王", [name("姓王")]),
        ("叫我小李就行", [name("小李")]),
        ("您好,您可以叫我上官", [name("上官")]),
        ("快递员叫我去拿,", []),
        ("你们客服叫我等着", []),
        ("叫我等着", []),
        ("别叫我亲", []),
        ("不要叫我美女", []),
        ("我姓什么你知道吗", []),
        ("我姓名写错了", []),
        ("how can I return my shoes", [Told(kind="language", value="英语")]),
        ("返品したいです", [Told(kind="language", value="日语")]),
        ("환불하고 싶어요", [Told(kind="language", value="韩语")]),
        ("когда придет заказ", [Told(kind="language", value="俄语")]),
        ("iPhone 怎么退", []),
        ("OK", []),
        ("", []),
    ],
)
def test_what_a_message_tells(text: str, told: list[Told] | None) -> None:
    if told is None:
        told = [order("3705829140017"), Told(kind="product", value="不锈钢保温杯")]
    assert told_in(text) == told


@pytest.mark.parametrize(
    ("kind", "value", "text", "is_kept"),
    [
        ("product", "咖啡机", "我的咖啡机坏了", True),
        ("product", "冰箱", "我的咖啡机坏了", False),
        ("product", "咖" * 99, "咖" * 99, False),
        ("product", "", "我的咖啡机坏了", False),
        ("order_number", "370582914", "订单 370 582 914", True),
        ("order_number", "ABC", "ABC", False),
        ("order_number", "138 1234 5678", "138 1234 5678", False),
        ("order_number", "6222 0212 3456 7890 128", "订单 6222 0212 3456 7890 128", False),
        ("order_number", "370582914001", "订单退到银行卡 370582914001", False),
        ("order_number", "370582914001", "订单号：370582914001，用银行卡付的", True),
        ("product", "卡6222021234567890128", "卡6222021234567890128", False),
        ("product", "证11010119900307775X", "证11010119900307775X", False),
        ("preferred_name", "13812345678", "13812345678", False),
        ("language", "法语", "bonjour", True),
    ],
)
def test_what_a_model_read_is_kept_only_when_it_was_said(kind: Any, value: str, text: str, is_kept: bool) -> None:
    assert is_told(Told(kind=kind, value=value), text) is is_kept


def test_other_kinds_are_not_kept() -> None:
    assert told_of("phone", "13812345678") is None
    assert told_of("product", " 咖啡机 ") == Told(kind="product", value="咖啡机")


# What is known of a customer


async def test_a_fact_says_where_it_comes_from(profiles: Profiles, clock: Clock) -> None:
    clock.now = 86400.0
    await profiles.learn(THREAD, [("m1", order("123456"))])
    assert await profiles.facts(THREAD) == [
        {
            "kind": "order_number",
            "value": "123456",
            "message_id": "m1",
            "at": "1970-01-02T00:00:00+00:00",
            "said_by": "customer",
        }
    ]
    assert profile_lines(await profiles.facts(THREAD)) == ["订单号: 123456"]


async def test_a_message_that_comes_again_changes_nothing(profiles: Profiles, clock: Clock) -> None:
    await profiles.learn(THREAD, [("m1", order("123456")), ("m1", name("小李"))])
    await profiles.learn(THREAD, [("m2", name("小王"))])
    before = await profiles.facts(THREAD)
    clock.now = 5.0
    await profiles.learn(THREAD, [("m1", order("123456")), ("m1", name("小李")), ("m2", name("小王"))])
    await profiles.learn(THREAD, [])
    assert await profiles.facts(THREAD) == before


async def test_the_newest_of_what_contradicts_wins_and_the_past_is_kept_a_little(profiles: Profiles) -> None:
    for number in range(6):
        await profiles.learn(THREAD, [(f"m{number}", name(f"甲{number}"))], said_by="model")
    [fact] = await profiles.facts(THREAD)
    assert (fact["value"], fact["said_by"]) == ("甲5", "model")
    assert [past["value"] for past in fact["earlier"]] == ["甲4", "甲3", "甲2"]
    assert len(fact["earlier"]) == MAX_EARLIER


async def test_orders_do_not_contradict_each_other_and_the_oldest_go(profiles: Profiles) -> None:
    for number in range(25):
        await profiles.learn(THREAD, [(f"m{number}", order(f"1000{number:02d}"))])
    facts = await profiles.facts(THREAD)
    assert [fact["value"] for fact in facts] == [f"1000{number:02d}" for number in range(5, 25)]
    assert len(facts) == MAX_FACTS


async def test_customers_do_not_share_and_can_be_forgotten(profiles: Profiles) -> None:
    await profiles.learn(THREAD, [("m1", order("123456"))])
    await profiles.learn("wecom:wk1:wm2", [("m1", order("654321"))])
    await profiles.forget(THREAD)
    assert await profiles.facts(THREAD) == []
    assert [fact["value"] for fact in await profiles.facts("wecom:wk1:wm2")] == ["654321"]


async def test_the_card_shows_what_is_known(bench: Any) -> None:
    await bench.customer("订单号 3705829140017 能刻字吗")
    assert bench.ticket.profile == ("订单号: 3705829140017",)


async def test_what_is_told_beside_a_person_or_to_staff_is_taken_down_too(bench: Any) -> None:
    await bench.customer("能刻字吗")
    await bench.customer("订单号 3705829140017")
    await bench.sends(("voice", "[语音]", "叫我小李就好"), ("image", "[图片]", "订单号 999999999999"))
    line = (await bench.profiles.facts(bench.thread_id))[-1]
    assert line["value"] == "小李"
    assert [fact["kind"] for fact in await bench.profiles.facts(bench.thread_id)] == ["order_number", "preferred_name"]


@pytest.mark.parametrize("kind", ["merged_msg", "link", "note", "business_card"])
async def test_what_is_forwarded_tells_of_others(bench: Any, kind: str) -> None:
    await bench.sends((kind, "[聊天记录] 群聊\n小李: 订单号 3705829140017,叫我小李就好", ""))
    assert await bench.profiles.facts(bench.thread_id) == []


async def test_a_card_of_an_order_tells_of_the_customer(bench: Any) -> None:
    await bench.sends(("channels_shop_order", "[订单] 不锈钢保温杯 (已发货) 订单号 3705829140017", ""))
    facts = await bench.profiles.facts(bench.thread_id)
    assert [fact["value"] for fact in facts] == ["3705829140017", "不锈钢保温杯"]


async def test_the_reader_is_given_what_helps_and_what_it_reads_is_kept(make_bench: Any, model: Any) -> None:
    bench = make_bench(model)
    await bench.profiles.learn(bench.thread_id, [("m0", Told(kind="product", value="咖啡机"))])
    for text in ("我的咖啡壶怎么保修", "保修政策是什么样的"):
        bench.knowledge.resembles(text, bench.knowledge.hit("保修", "一年"))
    told = '"told": [{"kind": "product", "value": "咖啡壶"}, {"kind": "phone", "value": "1"}, {"kind": 3}, 4]'
    model.replies[:] = [f'{{"is_answered": false, "mood": "喜悦", {told}}}', '{"is_answered": false, "told": "x"}']
    await bench.customer("我的咖啡壶怎么保修")
    assert "<<<DATA profile>>>\n商品: 咖啡机\n<<<END profile>>>" in model.asked[0][-1].text
    facts = await bench.profiles.facts(bench.thread_id)
    assert [(fact["value"], fact["said_by"]) for fact in facts] == [("咖啡机", "customer"), ("咖啡壶", "model")]
    assert facts[-1]["message_id"] == "turn1-m0"
    await bench.human("", "r1", "done")
    await bench.customer("保修政策是什么样的")
    assert "DATA profile" not in model.asked[1][-1].text


async def test_without_a_store_nothing_is_known(bench: Any) -> None:
    conversation = Conversation(bench.graph, bench.outbox, Context())
    line = CustomerLine(message_id="m1", kind="text", text="订单号 3705829140017 能刻字吗")
    await conversation.customer_turn(bench.thread_id, "t1", [line])
    assert bench.ticket.profile == ()
