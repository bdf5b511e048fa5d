"""What is sent next, within what the channel allows, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from api.database import Pool
from api.deliveries import Deliveries
from tools.errors import BadRequestError, ChannelUnavailableError, RateLimitedError, ReplyWindowClosedError
from tools.messages import DeskPlace, Line, Menu, MenuOption, SendLimits
from tools.rate_limit import RateLimiter


@pytest.fixture
async def deliveries(works: Any, pool: Pool) -> Deliveries:
    """Five messages in 48 hours, ten characters each; the customer has just written."""
    await works.store(works.message("你好", "m0"))

    def split(_: str, text: str) -> list[str]:
        return [text[start : start + 10] for start in range(0, len(text), 10)]

    limits = SendLimits(units=5, window_seconds=48 * 3600)
    return Deliveries(pool, works.queue, limits=lambda _: limits, split=split)


async def say(works: Any, *texts: str) -> None:
    for number, text in enumerate(texts):
        await works.outbox.say(works.thread(), f"turn{number}-{text}", "human", text)


async def states(works: Any) -> list[str]:
    return [row["state"] for row in await works.rows("select state from outbox order by id")]


async def test_rows_come_in_order_and_each_is_taken_as_sending(works: Any, deliveries: Deliveries) -> None:
    await say(works, "一", "二")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert (first.text, first.in_doubt) == ("一", False)
    assert await states(works) == ["sending", "pending"]
    await deliveries.mark_sent(first)
    second = await deliveries.next(works.thread(), "customer")
    assert second is not None
    assert second.text == "二"
    await deliveries.mark_sent(second)
    assert await deliveries.next(works.thread(), "customer") is None
    assert await deliveries.next(works.thread(), "desk") is None


async def test_a_row_found_in_sending_is_in_doubt_and_keeps_its_key(works: Any, deliveries: Deliveries) -> None:
    await say(works, "一")
    first = await deliveries.next(works.thread(), "customer")
    again = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert again is not None
    assert (again.id, again.key, again.in_doubt) == (first.id, first.key, True)


async def test_every_message_uses_one_unit_and_the_customer_s_next_word_frees_them(
    works: Any, deliveries: Deliveries
) -> None:
    await say(works, "一", "二")
    for _ in range(2):
        delivery = await deliveries.next(works.thread(), "customer")
        assert delivery is not None
        await deliveries.mark_sent(delivery)
    assert (await deliveries.allowance(works.thread())).units_left == 3
    await works.store(works.message("在吗", "m1"))
    assert (await deliveries.allowance(works.thread())).units_left == 5


async def test_texts_beyond_the_budget_are_merged_as_far_as_they_fit(works: Any, deliveries: Deliveries) -> None:
    async with works.pool.connection() as conn:
        await conn.execute("update conversations set units_used = 3")
    await say(works, "一", "二", "三", "四")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert first.text == "一\n\n二\n\n三"
    assert await states(works) == ["sending", "merged", "merged", "pending"]


async def test_texts_that_do_not_fit_together_stay_apart(works: Any, deliveries: Deliveries) -> None:
    async with works.pool.connection() as conn:
        await conn.execute("update conversations set units_used = 4")
    await say(works, "一二三四五", "六七八九十")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert first.text == "一二三四五"


async def offer(works: Any, turn_id: str) -> Menu:
    menu = Menu(head="您", options=(MenuOption(option_id="a1", label="一"),), tail="选")
    await works.outbox.offer(works.thread(), turn_id, "clarify", menu)
    return menu


async def test_a_menu_is_never_merged_and_keeps_its_place(works: Any, deliveries: Deliveries) -> None:
    async with works.pool.connection() as conn:
        await conn.execute("update conversations set units_used = 4")
    await say(works, "一")
    menu = await offer(works, "turn-menu")
    await say(works, "二", "三")
    allowance = await deliveries.allowance(works.thread())
    sent = []
    while (delivery := await deliveries.next(works.thread(), "customer")) is not None:
        sent.append(deliveries.outbound(delivery, allowance))
        await deliveries.mark_sent(delivery)
    assert [(outbound.text, outbound.menu) for outbound in sent] == [
        ("一", None),
        (menu.text, menu),
        ("二\n\n三", None),
    ]


async def test_a_menu_uses_one_unit(works: Any, deliveries: Deliveries) -> None:
    await offer(works, "turn-menu")
    delivery = await deliveries.next(works.thread(), "customer")
    assert delivery is not None
    await deliveries.mark_sent(delivery)
    assert (await deliveries.allowance(works.thread())).units_left == 4


async def test_the_window_closes_48_hours_after_the_customer_s_word(works: Any, deliveries: Deliveries) -> None:
    async with works.pool.connection() as conn:
        await conn.execute("update conversations set last_customer_at = now() - interval '47 hours 59 minutes'")
    assert (await deliveries.allowance(works.thread())).is_window_open
    async with works.pool.connection() as conn:
        await conn.execute("update conversations set last_customer_at = now() - interval '48 hours 1 second'")
    assert not (await deliveries.allowance(works.thread())).is_window_open


async def test_a_dead_row_is_failed_or_unknown_when_an_attempt_may_have_arrived(
    works: Any, deliveries: Deliveries
) -> None:
    await say(works, "一", "二")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    await deliveries.mark_dead(first, "x" * 1000)
    second = await deliveries.next(works.thread(), "customer")
    assert second is not None
    await deliveries.mark_retry(second, "time-out", in_doubt=True)
    again = await deliveries.next(works.thread(), "customer")
    assert again is not None
    assert again.in_doubt
    await deliveries.mark_dead(again, "bad")
    assert await states(works) == ["failed", "unknown"]
    letters = await works.rows("select state, length(last_error) as n from outbox order by id")
    assert [(row["state"], row["n"]) for row in letters] == [("failed", 500), ("unknown", 3)]


async def test_a_failed_letter_is_revived_under_a_new_key_and_a_doubtful_one_under_its_own(
    works: Any, deliveries: Deliveries
) -> None:
    await say(works, "一")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    await deliveries.mark_dead(first, "no")
    assert await deliveries.revive(first.id)
    second = await deliveries.next(works.thread(), "customer")
    assert second is not None
    assert (second.id, second.in_doubt, second.key == first.key) == (first.id, False, False)
    await deliveries.mark_retry(second, "time-out", in_doubt=True)
    third = await deliveries.next(works.thread(), "customer")
    assert third is not None
    await deliveries.mark_dead(third, "no")
    assert await deliveries.revive(first.id)
    fourth = await deliveries.next(works.thread(), "customer")
    assert fourth is not None
    assert (fourth.key, fourth.in_doubt) == (third.key, True)


async def test_a_dropped_letter_is_no_letter_any_more(works: Any, deliveries: Deliveries) -> None:
    await say(works, "一")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert not await deliveries.drop(first.id)
    await deliveries.mark_dead(first, "no")
    assert await deliveries.drop(first.id)
    assert not await deliveries.revive(first.id)
    assert await states(works) == ["dropped"]


async def test_a_report_of_failure_stands_against_a_late_mark(works: Any, deliveries: Deliveries) -> None:
    await say(works, "一")
    first = await deliveries.next(works.thread(), "customer")
    assert first is not None
    assert await deliveries.mark_undelivered(first.key, "客户拒收消息") == "一"
    await deliveries.mark_sent(first)
    assert await states(works) == ["failed"]
    assert await deliveries.mark_undelivered("unknown-key", "x") is None


async def test_a_stored_card_is_shown_whole(works: Any, deliveries: Deliveries) -> None:
    history = (Line(speaker="customer", text="在吗"), Line(speaker="bot", text="在的"))
    await works.outbox.hand_over(works.handoff(history=history))
    delivery = await deliveries.next(works.thread(), "desk")
    assert delivery is not None
    post, place = await deliveries.desk_post(delivery, "小满")
    assert place is None
    assert (post.kind, post.customer_name, post.text) == ("card", "小满", "")
    assert post.handoff == works.handoff(history=history, customer_name="小满")


async def test_a_line_is_shown_where_the_conversation_was_last_recorded(works: Any, deliveries: Deliveries) -> None:
    for topic in (3, 4):
        await deliveries.record_place(works.thread(), DeskPlace(chat_id=-100, topic_id=topic))
    await works.outbox.relay(works.thread(), "turn1", "relay", "还在吗?")
    delivery = await deliveries.next(works.thread(), "desk")
    assert delivery is not None
    post, place = await deliveries.desk_post(delivery, "")
    assert (post.kind, post.text, post.handoff, place) == (
        "customer",
        "还在吗?",
        None,
        DeskPlace(chat_id=-100, topic_id=4),
    )
    for _ in range(2):
        await deliveries.mark_sent(delivery, (-100, 77))
    messages = await works.rows("select chat_id, message_id, thread_id from desk_messages")
    assert messages == [{"chat_id": -100, "message_id": 77, "thread_id": works.thread()}]


class TestDeliverJob:
    """The job over the real rows: what each answer of the channel means."""

    async def outcome(self, works: Any, *errors: Exception) -> tuple[list[str], list[str]]:
        """Say one text while the channel answers like this; return the states and what the desk reads."""
        await works.store(works.message("你好", "m0"))
        works.channel.send_errors[:] = list(errors)
        await say(works, "一")
        for error in [*errors, None]:
            if error is not None and getattr(error, "transient", False):
                with pytest.raises(type(error)):
                    await works.jobs.deliver(works.thread(), "customer")
            else:
                await works.jobs.deliver(works.thread(), "customer")
        await works.jobs.deliver(works.thread(), "desk")
        return (await states(works))[:1], [text for _, text in works.desk.lines]

    async def test_a_time_out_then_success_is_sent_under_one_key(self, works: Any) -> None:
        found, desk = await self.outcome(works, ChannelUnavailableError("time-out"))
        assert (found, desk) == (["sent"], [])
        assert len(works.channel.attempted_keys) == 2
        assert len(set(works.channel.attempted_keys)) == 1

    async def test_a_time_out_then_a_refusal_is_unknown_and_the_desk_is_told(self, works: Any) -> None:
        found, desk = await self.outcome(works, ChannelUnavailableError("time-out"), BadRequestError("40058"))
        assert found == ["unknown"]
        assert "无法确认" in desk[0]

    async def test_a_time_out_then_a_closed_window_is_unknown_and_the_desk_is_told(self, works: Any) -> None:
        found, desk = await self.outcome(works, ChannelUnavailableError("time-out"), ReplyWindowClosedError("95001"))
        assert found == ["unknown"]
        assert "无法确认" in desk[0]

    async def test_a_rate_limit_then_a_refusal_is_failed(self, works: Any) -> None:
        found, desk = await self.outcome(works, RateLimitedError("45009"), BadRequestError("40058"))
        assert found == ["failed"]
        assert "无法确认" not in desk[0]

    async def test_a_closed_window_asks_who_has_the_session(self, works: Any) -> None:
        works.channel.current_session = "staff"
        found, desk = await self.outcome(works, ReplyWindowClosedError("95018", code=95018))
        assert found == ["failed"]
        assert desk
        assert (await works.rows("select session_state from conversations"))[0]["session_state"] == "staff"

    async def test_over_budget_nothing_is_sent_and_the_desk_is_told_why(self, works: Any) -> None:
        works.set_limits(units=0)
        found, desk = await self.outcome(works)
        assert found == ["failed"]
        assert "5 条" in desk[0]
        assert works.channel.sent == []

    async def test_while_staff_have_the_session_nothing_is_sent(self, works: Any) -> None:
        await works.store(works.staff_message("我来"))
        works.channel.current_session = "staff"
        await works.store(works.message("你好", "m0"))
        await say(works, "一")
        await works.jobs.deliver(works.thread(), "customer")
        assert await states(works) == ["failed", "pending"]
        works.channel.current_session = "bot"
        await say(works, "二")
        await works.jobs.deliver(works.thread(), "customer")
        assert [sent.text for sent in works.channel.sent] == ["二"]

    async def test_after_48_hours_nothing_is_sent(self, works: Any) -> None:
        await works.store(works.message("你好", "m0", age=49 * 3600))
        async with works.pool.connection() as conn:
            await conn.execute("update conversations set last_customer_at = now() - interval '49 hours'")
        works.set_limits(units=5, window_seconds=48 * 3600)
        await say(works, "一")
        await works.jobs.deliver(works.thread(), "customer")
        assert (await states(works))[0] == "failed"
        assert works.channel.sent == []

    async def test_a_delivery_report_flips_the_row_and_tells_the_desk(self, works: Any) -> None:
        await works.store(works.message("你好", "m0"))
        await say(works, "一")
        await works.jobs.deliver(works.thread(), "customer")
        [sent] = works.channel.sent
        await works.store(works.not_delivered(sent.key, "超过 5 条限制"))
        await works.jobs.turn(works.thread())
        await works.jobs.deliver(works.thread(), "desk")
        assert (await states(works))[0] == "failed"
        assert any("超过 5 条限制" in text for _, text in works.desk.lines)


async def test_a_flood_goes_to_the_desk_after_one_notice(works: Any) -> None:
    works.knowledge.entries["如何退款?"] = "在订单页申请。"
    works._renew(limiter=RateLimiter(None, per_minute=2))
    await works.customer("如何退款?", "如何退款?", "如何退款?")
    [text] = works.channel.texts
    assert "人工" in text
    assert [kind for kind, _ in works.desk.lines] == ["card"]
    await works.customer("还在吗")
    assert works.channel.texts == [text]
    assert works.desk.lines[-1] == ("customer", "还在吗")


class TestBursts:
    """Customers type in many short lines."""

    async def test_a_turn_waits_until_the_customer_pauses(self, works: Any) -> None:
        works.set_burst(30)
        await works.store(works.message("如何", "m1"))
        await works.jobs.turn(works.thread())
        jobs = await works.rows("select scheduled_at > now() + interval '20 seconds' as later from procrastinate_jobs")
        assert all(row["later"] for row in jobs)
        assert works.channel.sent == []
        async with works.pool.connection() as conn:
            await conn.execute("update inbox set received_at = received_at - interval '31 seconds'")
        batch = await works.inbox.next_batch(works.thread())
        assert len(batch.rows) == 1

    async def test_a_customer_who_keeps_typing_is_not_waited_for_for_ever(self, works: Any) -> None:
        works.set_burst(30)
        await works.store(works.message("如何", "m1"))
        async with works.pool.connection() as conn:
            await conn.execute("update inbox set received_at = received_at - interval '151 seconds'")
        await works.store(works.message("退款", "m2"))
        batch = await works.inbox.next_batch(works.thread())
        assert [row.message_id for row in batch.rows] == ["m1", "m2"]

    async def test_while_staff_have_the_session_the_bot_only_listens(self, works: Any) -> None:
        await works.store(works.staff_message("我来"))
        await works.store(works.message("如何退款?", "c1"))
        await works.jobs.turn(works.thread())
        assert await works.rows("select id from outbox") == []
        rows = await works.rows("select origin, outcome from inbox order by id")
        assert [(row["origin"], row["outcome"]) for row in rows] == [("staff", "handled"), ("customer", "handled")]
