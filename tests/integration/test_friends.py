"""Friends on a real database, with WeCom on loopback: what the whole service rarely gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tenacity import wait_none

from api.database import Pool
from api.friends.jobs import Friends, make_friends
from api.friends.states import CONFIRM_DELAYS
from api.friends.tending import DELAYS
from api.job_queue import FAST, WELCOME_PRIORITY, JobQueue
from api.settings import WelcomeSettings
from tools.simulators.wecom import WecomSimulator
from tools.wecom.contacts import WecomContacts

STAFF = "zhangsan"
SENT = "externalcontact/send_welcome_msg"

Make = Callable[..., Awaitable[Friends]]


@pytest.fixture
async def sim() -> AsyncIterator[WecomSimulator]:
    options = {"corp_id": "ww1", "secret": "kf", "token": "t", "encoding_aes_key": "k" * 43}
    async with WecomSimulator(**options, contact_secret="contacts") as running:
        yield running


@pytest.fixture
async def make(pool: Pool, queue: JobQueue, sim: WecomSimulator, clean_environment: Any) -> AsyncIterator[Make]:
    """Build one worker's friends; keyword arguments are settings."""
    clients: list[WecomContacts] = []

    async def build(**settings: Any) -> Friends:
        client = WecomContacts(
            api_base=sim.api_base,
            corp_id="ww1",
            secret=SecretStr("contacts"),
            timeout=httpx.Timeout(1),
            wait=wait_none(),
        )
        clients.append(client)
        return make_friends(pool, client, WelcomeSettings(**settings))

    yield build
    for client in clients:
        await client.aclose()


async def tell(friends: Friends, change: str, customer: str = "wm1", at: int = 1_800_000_000, **fields: str) -> None:
    """Store a callback, as the route does."""
    payload = {
        "Event": "change_external_contact",
        "ChangeType": change,
        "UserID": STAFF,
        "ExternalUserID": customer,
        "CreateTime": str(at),
        **fields,
    }
    signature = f"{change}-{customer}-{at}-{sorted(fields.items())}"
    await friends.store(signature=signature, payload=payload)


async def rows(pool: Pool, statement: str, *values: object) -> list[dict[str, Any]]:
    async with pool.connection() as conn:
        return await (await conn.execute(statement.encode(), values)).fetchall()


async def run(pool: Pool, statement: str) -> None:
    async with pool.connection() as conn:
        await conn.execute(statement.encode())


async def test_a_callback_and_its_job_are_stored_together_and_a_repeated_one_is_not(make: Make, pool: Pool) -> None:
    friends = await make()
    for _ in range(3):
        await tell(friends, "add_external_contact", WelcomeCode="W1")
    await tell(friends, "add_half_external_contact", WelcomeCode="W1")
    assert len(await rows(pool, "select 1 from friend_events")) == 2
    jobs = await rows(pool, "select task_name, priority, queue_name, lock from procrastinate_jobs")
    assert jobs == [{"task_name": "friends", "priority": WELCOME_PRIORITY, "queue_name": FAST, "lock": None}]


@pytest.mark.parametrize("change", ["edit_external_contact", "transfer_fail", "msg_audit_approved", "new_one"])
async def test_other_changes_are_kept_and_cause_nothing(make: Make, pool: Pool, change: str) -> None:
    friends = await make()
    await tell(friends, change, FailReason="customer_refused")
    assert await rows(pool, "select 1 from procrastinate_jobs") == []
    assert await rows(pool, "select detail, handled_at is null as waits from friend_events") == [
        {"detail": "customer_refused", "waits": False}
    ]
    await friends.welcome()
    assert await rows(pool, "select 1 from friends") == []


@pytest.mark.parametrize("missing", ["UserID", "ExternalUserID"])
async def test_a_callback_that_names_nobody_is_only_kept(make: Make, pool: Pool, missing: str) -> None:
    friends = await make()
    await tell(friends, "add_external_contact", **{missing: ""})
    await friends.welcome()
    assert await rows(pool, "select 1 from friends") == []


async def test_a_welcome_that_never_gets_an_answer_ends_as_unknown(make: Make, pool: Pool, sim: WecomSimulator) -> None:
    friends = await make()
    code = await sim.befriends("wm1", STAFF)
    sim.latency[SENT] = 1.5
    await tell(friends, "add_external_contact", WelcomeCode=code)
    await friends.welcome()
    assert await rows(pool, "select welcome_outcome, in_doubt from friends") == [
        {"welcome_outcome": None, "in_doubt": True}
    ]
    await run(pool, "update friends set welcome_until = now()")
    await friends.catch_up()
    assert await rows(pool, "select welcome_outcome, welcome_attempts from friends") == [
        {"welcome_outcome": "unknown", "welcome_attempts": 1}
    ]


async def test_what_arrived_although_nobody_answered_counts_as_sent(
    make: Make, pool: Pool, sim: WecomSimulator
) -> None:
    friends = await make()
    code = await sim.befriends("wm1", STAFF)
    sim.reset_after_effect(SENT)
    await tell(friends, "add_external_contact", WelcomeCode=code)
    await friends.welcome()
    await run(pool, "update friends set welcome_after = now()")
    await friends.catch_up()
    assert await rows(pool, "select welcome_outcome, welcome_attempts from friends") == [
        {"welcome_outcome": "sent", "welcome_attempts": 2}
    ]
    assert len(sim.contacts.welcomes) == 1


async def test_a_worker_that_died_in_mid_call_leaves_a_claim_that_ends(
    make: Make, pool: Pool, sim: WecomSimulator
) -> None:
    friends = await make()
    code = await sim.befriends("wm1", STAFF)
    await tell(friends, "add_external_contact", WelcomeCode=code)
    sim.latency[SENT] = 30
    task = asyncio.create_task(friends.welcome())
    await sim.wait_until(lambda: sim.calls[SENT] == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    sim.latency.clear()
    other = await make()
    await other.catch_up()
    assert sim.contacts.welcomes == []
    await run(pool, "update friends set welcome_after = now()")
    await other.catch_up()
    assert [welcome.customer for welcome in sim.contacts.welcomes] == ["wm1"]


async def test_a_second_code_is_used_when_the_first_dies(make: Make, pool: Pool, sim: WecomSimulator) -> None:
    friends = await make()
    await tell(friends, "add_half_external_contact", WelcomeCode="dead")
    sim.fail_next(SENT, 41096)
    await friends.welcome()
    code = await sim.befriends("wm1", STAFF)
    await tell(friends, "add_external_contact", WelcomeCode=code)
    await friends.welcome()
    assert await rows(pool, "select spare_code from friends") == [{"spare_code": code}]
    await run(pool, "update friends set welcome_until = now()")
    await friends.catch_up()
    await friends.catch_up()
    assert await rows(pool, "select welcome_outcome, spare_code from friends") == [
        {"welcome_outcome": "sent", "spare_code": ""}
    ]


async def test_a_refusal_for_good_is_not_repeated(make: Make, pool: Pool, sim: WecomSimulator) -> None:
    friends = await make()
    sim.fail_next(SENT, 40096)
    await tell(friends, "add_external_contact", WelcomeCode="W1")
    await friends.welcome()
    await run(pool, "update friends set welcome_after = now()")
    await friends.catch_up()
    (row,) = await rows(pool, "select welcome_outcome, welcome_error from friends")
    assert row["welcome_outcome"] == "refused"
    assert "40096" in row["welcome_error"]
    assert sim.calls[SENT] == 1


async def test_who_left_before_the_welcome_is_not_welcomed(make: Make, sim: WecomSimulator) -> None:
    friends = await make()
    code = await sim.befriends("wm1", STAFF)
    await tell(friends, "add_external_contact", at=1_800_000_000, WelcomeCode=code)
    await tell(friends, "del_follow_user", at=1_800_000_005)
    await friends.welcome()
    await friends.tend()
    assert sim.calls[SENT] == 0
    assert sim.calls["externalcontact/mark_tag"] == 0


async def test_who_leaves_is_recorded_and_who_comes_back_is_welcomed_anew(
    make: Make, pool: Pool, sim: WecomSimulator
) -> None:
    friends = await make()
    await tell(friends, "add_external_contact", at=1_800_000_000, WelcomeCode=await sim.befriends("wm1", STAFF))
    await friends.welcome()
    await friends.tend()
    await sim.customer_deletes_staff("wm1", STAFF)
    await tell(friends, "del_follow_user", at=1_800_000_100)
    await friends.welcome()
    assert await rows(pool, "select left_by, left_at = to_timestamp(1800000100) as is_dated from friends") == [
        {"left_by": "customer", "is_dated": True}
    ]
    await tell(friends, "add_external_contact", at=1_800_000_200, WelcomeCode=await sim.befriends("wm1", STAFF))
    await friends.welcome()
    assert await rows(pool, "select left_at, welcome_outcome, tags, tended_at from friends") == [
        {"left_at": None, "welcome_outcome": "sent", "tags": [], "tended_at": None}
    ]
    await friends.tend()
    assert sim.contacts.tags_of("wm1", STAFF) == {"新客户"}
    assert len(sim.contacts.welcomes) == 2


async def test_a_half_friend_nobody_confirms_is_given_up_after_some_tries(
    make: Make, pool: Pool, sim: WecomSimulator
) -> None:
    friends = await make()
    await sim.befriends("wm1", STAFF, told="half")
    await tell(friends, "add_half_external_contact")
    await friends.welcome()
    for _ in CONFIRM_DELAYS:
        await run(pool, "update friends set tend_after = now() where tend_after is not null")
        await friends.tend()
    (row,) = await rows(pool, "select tend_after, tend_error, tended_at from friends")
    assert row["tend_after"] is None
    assert row["tended_at"] is None
    assert "84061" in row["tend_error"]
    assert sim.calls["externalcontact/mark_tag"] == len(CONFIRM_DELAYS)
    await sim.staff_confirms("wm1", STAFF)
    await tell(friends, "add_external_contact", at=1_800_000_100)
    await friends.welcome()
    await friends.tend()
    assert sim.contacts.tags_of("wm1", STAFF) == {"新客户"}


async def test_what_only_an_operator_can_mend_waits_and_is_not_given_up(
    make: Make, pool: Pool, sim: WecomSimulator
) -> None:
    friends = await make()
    await sim.befriends("wm1", STAFF)
    await tell(friends, "add_external_contact")
    await friends.welcome()
    sim.fail_next("externalcontact/mark_tag", 48002, times=len(DELAYS) + 2)
    for _ in range(len(DELAYS) + 2):
        await run(pool, "update friends set tend_after = now()")
        await friends.tend()
    (row,) = await rows(pool, "select tend_attempts, tend_error from friends")
    assert row["tend_attempts"] == 0
    assert "客户联系" in row["tend_error"]
    await run(pool, "update friends set tend_after = now()")
    await friends.tend()
    assert sim.contacts.tags_of("wm1", STAFF) == {"新客户"}


async def test_a_tag_deleted_in_the_console_is_made_again(make: Make, sim: WecomSimulator) -> None:
    friends = await make()
    for customer in ("wm1", "wm2"):
        await sim.befriends(customer, STAFF)
        await tell(friends, "add_external_contact", customer)
        await friends.welcome()
        await friends.tend()
        assert sim.contacts.tags_of(customer, STAFF) == {"新客户"}
        sim.contacts.tags.delete("来源", "新客户")


async def test_a_state_for_every_visitor_does_not_become_a_tag_each(make: Make, sim: WecomSimulator) -> None:
    friends = await make()
    names = [f"visitor-{number}" for number in range(110)]
    assert len(await friends.tending.book.ids(names)) == 100
    assert len(sim.contacts.tags.groups["来源"]) == 100


async def test_in_a_full_group_a_new_state_costs_one_look_and_a_known_one_none(
    make: Make, sim: WecomSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    friends = await make()
    await friends.tending.book.ids([f"visitor-{number}" for number in range(100)])
    listed = sim.calls["externalcontact/get_corp_tag_list"]
    for number in range(3):
        assert set(await friends.tending.book.ids(["visitor-7", f"late-{number}"])) == {"visitor-7"}
    await friends.tending.book.ids(["visitor-7", "visitor-8"])
    assert sim.calls["externalcontact/get_corp_tag_list"] == listed + 3
    full = [record for record in caplog.records if getattr(record, "action", "") == "tags_full"]
    assert [record.__dict__["left_out"] for record in full] == [1, 1, 1]


async def test_a_name_that_is_refused_costs_the_others_nothing(make: Make, sim: WecomSimulator) -> None:
    friends = await make()
    # All at once is refused, and then the first of them alone.
    sim.fail_next("externalcontact/add_corp_tag", 40058, times=2)
    assert set(await friends.tending.book.ids(["坏", " 官网 "])) == {"官网"}
    assert set(sim.contacts.tags.groups["来源"]) == {"官网"}


async def test_two_workers_at_once_make_a_tag_once(make: Make, sim: WecomSimulator) -> None:
    one, other = await make(), await make()
    sim.latency["externalcontact/get_corp_tag_list"] = 0.1
    sim.latency["externalcontact/add_corp_tag"] = 0.1
    first, second = await asyncio.gather(one.tending.book.ids(["a", "b"]), other.tending.book.ids(["b", "a"]))
    assert first == second
    assert sim.calls["externalcontact/add_corp_tag"] == 1


async def test_the_operator_s_own_tags_and_group(make: Make, sim: WecomSimulator) -> None:
    friends = await make(kefu_friend_tags="线上，新", kefu_tag_group="渠道")
    await sim.befriends("wm1", STAFF)
    await tell(friends, "add_external_contact", State="门店")
    await friends.welcome()
    await friends.tend()
    assert sim.contacts.tags_of("wm1", STAFF) == {"线上", "新", "门店"}
    assert set(sim.contacts.tags.groups) == {"渠道"}


async def test_a_way_tells_source_and_tags(make: Make, pool: Pool, sim: WecomSimulator) -> None:
    friends = await make(kefu_friend_tags="-")
    await run(
        pool,
        "insert into contact_ways (state, source, staff_ids, tags) values ('k1', '官网', '{zhangsan}', '{大客户}')",
    )
    await sim.befriends("wm1", STAFF, state="k1")
    await tell(friends, "add_external_contact", State="k1")
    await friends.welcome()
    await friends.tend()
    assert await rows(pool, "select source, state, tags from friends") == [
        {"source": "官网", "state": "k1", "tags": ["官网", "大客户"]}
    ]
