"""Forgetting one person: nothing names them afterwards, everybody else is untouched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.store.postgres import AsyncPostgresStore

from api import audit
from api.checkpoints import make_saver
from api.database import thread_lock
from api.erasure import Erasure, erase_customer, look_for
from api.errors import ErasureError
from graph.profile import Profiles
from graph.told import Told

ERASED, OTHER = "wmEraseMe0001", "wmKeepMe00002"


def nobody_watches(_done: int, _total: int) -> None: ...


async def erase(works: Any, customer: str = ERASED) -> Erasure:
    return await erase_customer(works.pool, make_saver(works.pool), customer, actor="cli", progress=nobody_watches)


async def say(works: Any, customer: str, *texts: str) -> None:
    await works.store(*(works.message(text, customer_id=customer) for text in texts))
    await work(works, customer)


async def work(works: Any, customer: str) -> None:
    await works.jobs.turn(works.thread(customer))
    for destination in ("customer", "desk"):
        await works.jobs.deliver(works.thread(customer), destination)


async def live(works: Any, customer: str) -> None:
    """Leave something in as many places as one customer can."""
    thread = works.thread(customer)
    works.knowledge.entries = {"如何退款?": "答案"}
    works.channel.names[customer] = f"名字{customer}"
    await say(works, customer, "如何退款?")
    await say(works, customer, f"我是{customer},能刻字吗?")
    told = [("m1", Told(kind="order", value="88231745902"))]
    await Profiles(AsyncPostgresStore(works.pool)).learn(thread, told)
    async with works.pool.connection() as conn:
        for statement in (
            "insert into friends (staff_id, external_userid, added_at) values ('li', %s, now())",
            "insert into outreach_consents (customer_id, direction, how) values (%s, 'out', 'message')",
            "insert into callbacks (signature, payload) values (%s || 's', jsonb_build_object('ExternalUserID', 'x'))",
            "update callbacks set payload = jsonb_build_object('ExternalUserID', %s::text)",
        ):
            await conn.execute(statement, (customer,))


async def test_nothing_names_them_afterwards(works):
    await live(works, ERASED)
    before = await look_for(works.pool, ERASED, progress=nobody_watches)
    assert {"inbox", "outbox", "conversations", "checkpoints", "store", "tickets", "unknown_questions"} <= set(before)
    done = await erase(works)
    assert done.left == {}
    assert done.rows["conversations"] == 1
    assert done.places == (f"telegram {works.chat_id}, topic 41",)
    assert await works.rows("select 1 from checkpoints union all select 1 from checkpoint_writes") == []
    [logged] = await works.rows("select actor, thread_id, detail from audit_log where action = 'customer.erased'")
    assert logged == {"actor": "cli", "thread_id": None, "detail": {"conversations": 1}}


async def test_everybody_else_is_untouched(works):
    await live(works, OTHER)
    before = await look_for(works.pool, OTHER, progress=nobody_watches)
    await say(works, ERASED, "能刻字吗?")
    await erase(works)
    assert await look_for(works.pool, OTHER, progress=nobody_watches) == before
    assert await works.conversation.is_waiting(works.thread(OTHER))


async def test_who_writes_again_begins_anew(works):
    await live(works, ERASED)
    await erase(works)
    works.channel.sent.clear()
    await say(works, ERASED, "如何退款?")
    assert works.channel.texts == ["答案"]
    assert not await works.conversation.is_waiting(works.thread(ERASED))


async def test_it_can_be_run_again_and_for_somebody_unknown(works):
    await live(works, ERASED)
    await erase(works)
    again = await erase(works)
    assert again.left == {}
    assert not any(again.rows.values())


async def test_jobs_that_wait_for_them_go_too(works):
    await works.store(works.message("在吗", customer_id=ERASED))
    assert (await look_for(works.pool, ERASED, progress=nobody_watches))["procrastinate_jobs"] > 0
    assert (await erase(works)).left == {}
    await work(works, ERASED)
    assert works.channel.texts == []


async def test_a_turn_that_does_not_end_is_waited_for_and_then_said(works, monkeypatch):
    await live(works, ERASED)
    monkeypatch.setattr("api.erasure.LOCK_WAIT", "100ms")
    async with thread_lock(works.pool, works.thread(ERASED)):
        with pytest.raises(ErasureError, match="run it again"):
            await erase(works)
    assert await works.conversation.is_waiting(works.thread(ERASED))
    async with asyncio.timeout(10):
        assert (await erase(works)).left == {}


async def test_whose_id_begins_like_theirs_is_untouched(works):
    await live(works, f"{ERASED}2")
    await works.store(works.message("在吗", customer_id=f"{ERASED}2"))
    before = await look_for(works.pool, f"{ERASED}2", progress=nobody_watches)
    await say(works, ERASED, "能刻字吗?")
    assert (await erase(works)).left == {}
    assert await look_for(works.pool, f"{ERASED}2", progress=nobody_watches) == before


@pytest.mark.parametrize("text", ["我是{id}。", "{id}", "退款\n{id}\n谢谢", "id={id}, ok", "See {id}."])
async def test_wherever_an_id_stands_it_is_found(works, text):
    await works.store(works.message(text.format(id=ERASED), customer_id=OTHER))
    assert set(await look_for(works.pool, ERASED, progress=nobody_watches)) == {"inbox"}


@pytest.mark.parametrize("other", [f"{ERASED}-b", f"a.{ERASED}", f"{ERASED}.b", f"{ERASED}@shop", f"x{ERASED}"])
async def test_a_longer_id_is_somebody_else(works, other):
    await works.store(works.message("在吗", customer_id=other))
    assert await look_for(works.pool, ERASED, progress=nobody_watches) == {}


async def test_what_was_noted_of_others_stays(works):
    """Also where the id is a part of theirs."""
    await live(works, ERASED)
    mine, theirs = {"who": ERASED}, {"who": f"{ERASED}2"}
    async with works.pool.connection() as conn:
        for detail in (mine, theirs):
            await audit.record(conn, actor="cli", action="friend.changed", subject=detail["who"], detail=detail)
    await erase(works)
    noted = await works.rows("select subject, detail from audit_log where action = 'friend.changed' order by id")
    assert noted == [{"subject": None, "detail": {}}, {"subject": theirs["who"], "detail": theirs}]


async def test_what_a_delivery_wrote_after_they_were_forgotten_goes_with_the_next_run(works):
    await live(works, ERASED)
    await erase(works)
    thread = works.thread(ERASED)
    await works.run("insert into desk_places (thread_id, chat_id, topic_id, label) values (%s, 7, 9, '小满')", thread)
    await works.run("insert into desk_messages (chat_id, message_id, thread_id) values (7, 10, %s)", thread)
    done = await erase(works)
    assert (done.left, done.places) == ({}, ("telegram 7, topic 9",))


async def test_who_never_wrote_is_forgotten_on_the_record_too(works):
    await works.run("insert into friends (staff_id, external_userid, added_at) values ('li', %s, now())", ERASED)
    await erase(works)
    assert len(await works.rows("select 1 from audit_log where action = 'customer.erased'")) == 1
