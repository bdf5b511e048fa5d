"""Every message of every page is handled, once, in order: odd pages, empty pages, redelivered items."""

from __future__ import annotations

import asyncio
import time

QUESTIONS = {
    "如何退款?": "在小程序里自助申请退款",
    "退款多久到账?": "储蓄卡 1–3 个工作日",
    "运费谁承担?": "来回运费由我们承担",
    "怎么申请退货?": "「申请退款」→「退货退款」",
}
UNFINISHED = (
    "select 1 from inbox where handled_at is null"
    " union all select 1 from outbox where state in ('pending', 'sending') limit 1"
)
CUSTOMERS = [f"wmMany{number:03d}" for number in range(40)]


def answers_in(texts: list[str]) -> list[str]:
    """The questions answered, in the order of the answers."""
    whole = "\n".join(texts)
    found = [(whole.find(part), question) for question, part in QUESTIONS.items() if part in whole]
    return [question for _, question in sorted(found)]


async def test_every_message_of_every_page_is_handled_once(service):
    """250 messages of 40 customers, pages of 7, empty pages, items served twice."""
    wecom = service.wecom
    knobs = wecom.log.knobs
    knobs.page_size, knobs.empty_page_every, knobs.redeliver = 7, 3, True
    asked: dict[str, list[str]] = {customer: [] for customer in CUSTOMERS}
    items = []
    questions = list(QUESTIONS)
    for number in range(250):
        customer = CUSTOMERS[number % len(CUSTOMERS)]
        # Four questions in an order of the customer's own, then thanks.
        done = len(asked[customer])
        text = questions[(number + done) % 4] if done < 4 else "谢谢"
        asked[customer].append(text)
        items.append({"external_userid": customer, "origin": 3, "msgtype": "text", "text": {"content": text}})
    wecom.append(*items)
    await wecom.notify()

    def all_answered() -> bool:
        return all(
            set(answers_in(wecom.texts_to(customer))) == {text for text in asked[customer] if text in QUESTIONS}
            for customer in CUSTOMERS
        )

    await wecom.wait_until(all_answered, timeout=90)
    async with asyncio.timeout(60):
        while service.rows(UNFINISHED):
            await wecom.notify()

    for customer in CUSTOMERS:
        expected = list(dict.fromkeys(text for text in asked[customer] if text in QUESTIONS))
        assert answers_in(wecom.texts_to(customer)) == expected, customer
        whole = "\n".join(wecom.texts_to(customer))
        assert all(whole.count(QUESTIONS[question]) == 1 for question in expected), customer
    assert service.rows("select count(*), count(distinct message_id) from inbox") == [(250, 250)]
    assert service.rows("select count(*) from inbox where outcome <> 'handled'") == [(0,)]
    assert service.rows("select count(*) from outbox where state <> 'sent'") == [(0,)]
    assert len({sent.msgid for sent in wecom.sent}) == len(wecom.sent)


async def test_first_start_replays_nothing_old(make_service):
    service = await make_service()
    old = {"external_userid": "wmOld", "origin": 3, "msgtype": "text", "text": {"content": "如何退款?"}}
    now = int(time.time())
    service.wecom.append({**old, "send_time": now - 7200}, {**old, "send_time": now - 3600})
    await service.serve()
    await service.wecom.customer_says("wmNew", "运费谁承担?")
    await service.wecom.wait_for_text("wmNew", 1, timeout=20)
    assert service.wecom.texts_to("wmOld") == []
    async with asyncio.timeout(10):
        while service.rows(UNFINISHED):
            await service.wecom.notify()
    assert service.rows("select outcome, count(*) from inbox group by 1 order by 1") == [("handled", 1), ("history", 2)]


async def test_unknown_types_and_odd_items_never_break_the_pull(service):
    wecom = service.wecom
    wecom.append(
        {"external_userid": "wmOdd", "origin": 3, "msgtype": "hologram", "hologram": {"x": 1}},
        {"external_userid": "wmOdd", "origin": 3, "msgtype": "text"},
        {"external_userid": "wmOdd", "origin": 9, "msgtype": "text", "text": {"content": "谁在说话"}},
        {"msgtype": "event", "origin": 4, "event": {"event_type": "brand_new_event"}},
        {
            "external_userid": "wmStaffed",
            "origin": 5,
            "servicer_userid": "li",
            "msgtype": "text",
            "text": {"content": "我是员工"},
        },
    )
    await wecom.customer_says("wmFine", "运费谁承担?")
    await wecom.wait_for_text("wmFine", 1, timeout=20)
    assert wecom.texts_to("wmStaffed") == []
    assert service.rows("select count(*) from inbox") == [(6,)]


async def test_a_lost_callback_is_made_good_by_the_next_one(service):
    wecom = service.wecom
    wecom.callbacks.drop(1)
    await wecom.customer_says("wmLost", "运费谁承担?")
    await wecom.customer_says("wmOther", "你好")
    await wecom.wait_for_text("wmLost", 1, timeout=20)


async def test_a_repeated_callback_and_a_send_of_unknown_outcome_double_nothing(service):
    wecom = service.wecom
    wecom.callbacks.duplicate(1)
    wecom.faults.reset_after_effect("kf/send_msg")
    await wecom.customer_says("wmTwice", "运费谁承担?")
    await wecom.wait_for_text("wmTwice", 1, timeout=20)
    await wecom.customer_says("wmTwice", "谢谢")
    await wecom.wait_for_text("wmTwice", 2, timeout=20)
    assert len(wecom.texts_to("wmTwice")) == 2
    async with asyncio.timeout(10):
        while service.rows(UNFINISHED):
            await wecom.notify()
    assert service.rows("select count(*) from outbox where state <> 'sent'") == [(0,)]
