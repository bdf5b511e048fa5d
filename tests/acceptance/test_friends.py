"""New friends of the staff, over the wire: welcomed once while the code lives, tagged when WeCom allows it."""

from __future__ import annotations

import asyncio
import time

import pytest

STAFF = "zhangsan"
WELCOME = "externalcontact/send_welcome_msg"


async def friend(service, customer, *columns, is_settled):
    """Wait until a friend's row is as it should be; return the columns."""
    async with asyncio.timeout(20):
        while True:
            rows = service.rows(
                f"select {', '.join(columns)}, to_jsonb(f) from friends f where external_userid = '{customer}'"
            )
            if rows and is_settled(rows[0][-1]):
                return rows[0][:-1]
            # The row is the event, and nothing announces it.
            await asyncio.sleep(0.05)


def is_welcomed(row):
    return row["welcome_outcome"] is not None


def is_tended(row):
    return row["welcome_outcome"] is not None and row["tended_at"] is not None


@pytest.mark.parametrize("told", ["half, full", "full, half", "full"])
async def test_a_new_friend_is_welcomed_once_and_tagged_in_whatever_order_it_is_told(make_service, told):
    service = await make_service(KEFU_COMPANY="小店", KEFU_FRIEND_REMARK="{source}-{customer_name}")
    await service.serve()
    wecom = service.wecom
    wecom.add_customer("wmNew", nickname="小禾")
    wecom.callbacks.duplicate(2)
    wecom.callbacks.renew_nonce = True
    await wecom.befriends("wmNew", STAFF, state="官网", told=told)
    if told == "full, half":
        await wecom.staff_confirms("wmNew", STAFF)
    outcome, left = await friend(service, "wmNew", "welcome_outcome", "left_at", is_settled=is_tended)
    assert (outcome, left) == ("sent", None)
    (welcome,) = wecom.contacts.welcomes
    assert (welcome.customer, welcome.user) == ("wmNew", STAFF)
    assert "我是小店客服" in welcome.text
    assert wecom.contacts.tags_of("wmNew", STAFF) == {"新客户", "官网"}
    assert wecom.contacts.friendships[STAFF, "wmNew"].remark == "官网-小禾"
    assert wecom.calls[WELCOME] == 1


async def test_a_half_friend_is_welcomed_at_once_and_tagged_when_confirmed(service):
    wecom = service.wecom
    await wecom.befriends("wmHalf", STAFF, state="官网", told="half")
    outcome, tended, after = await friend(
        service, "wmHalf", "welcome_outcome", "tended_at", "tend_after > now()", is_settled=is_welcomed
    )
    assert (outcome, tended, after) == ("sent", None, True)
    assert wecom.calls["externalcontact/mark_tag"] == 0
    await wecom.staff_confirms("wmHalf", STAFF)
    await friend(service, "wmHalf", "1", is_settled=is_tended)
    assert wecom.contacts.tags_of("wmHalf", STAFF) == {"新客户", "官网"}
    assert len(wecom.contacts.welcomes) == 1


async def test_a_confirmation_that_wecom_forgets_at_first_is_waited_for(service):
    wecom = service.wecom
    wecom.fail_next("externalcontact/mark_tag", 84061)
    await wecom.befriends("wmSlow", STAFF)
    await friend(service, "wmSlow", "1", is_settled=is_tended)
    assert wecom.contacts.tags_of("wmSlow", STAFF) == {"新客户"}


async def test_a_kill_between_the_callback_and_the_welcome_costs_seconds(service):
    wecom = service.wecom
    wecom.latency[WELCOME] = 2
    await wecom.befriends("wmKilled", STAFF)
    await wecom.wait_until(lambda: wecom.calls["gettoken"] > 1, timeout=20)
    await service.kill(service.processes[0])
    wecom.latency.clear()
    await service.serve()
    (outcome,) = await friend(service, "wmKilled", "welcome_outcome", is_settled=is_welcomed)
    assert outcome in {"sent", "already"}
    assert len(wecom.contacts.welcomes) == 1


async def test_a_welcome_of_unknown_outcome_is_asked_about_and_not_doubled(service):
    wecom = service.wecom
    wecom.reset_after_effect(WELCOME)
    await wecom.befriends("wmReset", STAFF)
    (outcome,) = await friend(service, "wmReset", "welcome_outcome", is_settled=is_welcomed)
    assert outcome == "sent"
    assert len(wecom.contacts.welcomes) == 1
    assert wecom.calls[WELCOME] == 2


async def test_another_app_that_is_sending_is_given_time_and_a_dead_code_is_not_tried_again(service):
    wecom = service.wecom
    wecom.fail_next(WELCOME, 41096, times=2)
    await wecom.befriends("wmBusy", STAFF)
    assert await friend(service, "wmBusy", "welcome_outcome", "welcome_attempts", is_settled=is_welcomed) == ("sent", 3)
    wecom.fail_next(WELCOME, 41050)
    await wecom.befriends("wmDead", STAFF)
    assert await friend(service, "wmDead", "welcome_outcome", "welcome_attempts", is_settled=is_welcomed) == (
        "expired",
        1,
    )
    wecom.fail_next(WELCOME, 41051)
    await wecom.befriends("wmChats", STAFF)
    assert await friend(service, "wmChats", "welcome_outcome", "welcome_attempts", is_settled=is_welcomed) == (
        "already",
        1,
    )


async def test_a_hundred_friends_at_once_are_all_welcomed_while_their_codes_live(service):
    wecom = service.wecom
    began = {f"wm{number:03d}": 0.0 for number in range(100)}
    slots = asyncio.Semaphore(16)

    async def add(customer):
        async with slots:
            began[customer] = time.time()
            await wecom.befriends(customer, STAFF, told="half")

    await asyncio.gather(*map(add, began), wecom.wait_until(lambda: len(wecom.contacts.welcomes) == 100, timeout=20))
    took = sorted(welcome.at - began[welcome.customer] for welcome in wecom.contacts.welcomes)
    assert {welcome.customer for welcome in wecom.contacts.welcomes} == set(began)
    assert took[-1] < 20
    assert wecom.calls[WELCOME] == 100
    assert wecom.most_at_once[WELCOME] <= 5


async def test_two_workers_make_a_tag_once(make_service):
    service = await make_service()
    await service.serve("--workers-inline", "0")
    wecom = service.wecom
    wecom.latency["externalcontact/get_corp_tag_list"] = 0.3
    for number in range(6):
        await wecom.befriends(f"wm{number}", STAFF, state=f"渠道{number % 2}")
    for _ in range(2):
        await service.start("worker", "--concurrency", "4")
    for number in range(6):
        await friend(service, f"wm{number}", "1", is_settled=lambda row: row["tended_at"] is not None)
    assert set(wecom.contacts.tags.groups["来源"]) == {"新客户", "渠道0", "渠道1"}
    assert wecom.contacts.tags_of("wm5", STAFF) == {"新客户", "渠道1"}
