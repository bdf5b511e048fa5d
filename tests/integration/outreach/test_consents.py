"""Who refuses campaigns is heard at once, told so once, and the rest of what they say is answered as ever."""

from __future__ import annotations

import psycopg
import pytest

from api.outreach.consents import record_by_hand
from api.outreach.errors import OutreachError
from prompts.loader import load

OUT, IN = load("opted_out").text, load("opted_in").text


async def ledger(works):
    return [
        (row["customer_id"], row["direction"], row["how"], row["words"])
        for row in await works.rows("select * from outreach_consents order by id")
    ]


@pytest.mark.parametrize("said", ["退订", " 退订。", "TD", "td", "不要再发了！", "【退订】"])
async def test_who_refuses_is_recorded_told_once_and_not_answered_by_the_bot(works, said):
    works.knowledge.entries = {said: "这是另一件事"}
    await works.customer(said)
    assert works.channel.texts == [OUT]
    ((customer, direction, how, _),) = await ledger(works)
    assert (customer, direction, how) == ("wm1", "out", "message")
    assert works.desk.posts == []


@pytest.mark.parametrize("said", ["怎么退订会员?", "退订单", "T", "不要再发错货了", "订阅"])
async def test_what_only_sounds_like_it_is_a_question(works, said):
    works.knowledge.entries = {said: "答案"}
    await works.customer(said)
    assert works.channel.texts == ["答案"]
    assert await ledger(works) == []


async def test_refusing_twice_is_one_refusal_and_then_a_question(works):
    works.knowledge.entries = {"退订": "会员在设置里退订"}
    await works.customer("退订")
    await works.customer("退订")
    assert works.channel.texts == [OUT, "会员在设置里退订"]
    assert len(await ledger(works)) == 1


async def test_who_refused_may_want_them_again(works):
    await works.customer("退订")
    await works.customer("订阅")
    assert works.channel.texts == [OUT, IN]
    assert [direction for _, direction, *_ in await ledger(works)] == ["out", "in"]


async def test_wanting_them_again_counts_only_after_the_refusal(works):
    await works.store(works.message("退订", age=60))
    await works.store(works.message("订阅", age=3600, account_id="wk2"))
    assert [direction for _, direction, *_ in await ledger(works)] == ["out"]
    await works.store(works.message("订阅", age=30))
    assert [direction for _, direction, *_ in await ledger(works)] == ["out", "in"]


async def test_members_in_the_app_get_no_campaigns_and_refuse_none(works):
    await works.store(works.message("退订", channel="wecom-app", account_id="1000002", customer_id="lisi"))
    assert await ledger(works) == []
    (row,) = await works.rows("select payload from inbox")
    assert "consent" not in row["payload"]


async def test_the_rest_of_a_turn_is_answered(works):
    works.knowledge.entries = {"几点发货?": "下午四点"}
    await works.customer("退订", "几点发货?")
    assert works.channel.texts == [OUT, "下午四点"]


async def test_a_message_that_is_delivered_twice_is_recorded_once(works):
    message = works.message("退订", "m1")
    await works.store(message)
    await works.store(message)
    assert len(await ledger(works)) == 1


async def test_it_is_heard_while_a_person_has_the_conversation(works):
    await works.customer("能刻字吗?")
    works.channel.sent.clear()
    await works.customer("退订")
    assert works.channel.texts == [OUT]


async def test_it_is_heard_while_staff_have_the_session_and_nobody_is_interrupted(works):
    await works.store(works.staff_message("我来"))
    await works.customer("退订")
    assert works.channel.texts == []
    assert len(await ledger(works)) == 1


async def test_an_old_message_counts_and_is_not_answered(works):
    await works.store(works.message("退订", age=3600))
    await works.work()
    assert works.channel.texts == []
    assert [direction for _, direction, *_ in await ledger(works)] == ["out"]


async def test_an_operator_records_what_was_said_elsewhere(works):
    await record_by_hand(works.pool, "wm9", "out", words="电话里说的", actor="cli:me")
    assert await ledger(works) == [("wm9", "out", "operator", "电话里说的")]
    with pytest.raises(OutreachError, match="opted out already"):
        await record_by_hand(works.pool, "wm9", "out", words="又说", actor="cli:me")
    with pytest.raises(OutreachError, match="--words"):
        await record_by_hand(works.pool, "wm8", "out", words=" ", actor="cli:me")
    await record_by_hand(works.pool, "wm9", "in", words="邮件", actor="cli:me")
    rows = await works.rows("select actor, action, subject from audit_log where action like 'outreach.%%' order by id")
    assert [row["action"] for row in rows] == ["outreach.opted_out", "outreach.opted_in"]
    assert "wm9" not in str(rows)


@pytest.mark.parametrize("change", ["update outreach_consents set direction = 'in'", "truncate outreach_consents"])
async def test_the_ledger_is_only_ever_added_to(works, change):
    await works.customer("退订")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await works.run(change)
