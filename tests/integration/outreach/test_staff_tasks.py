"""Messages that staff confirm: asked for once, looked for when the answer got lost, never asked for again blindly."""

from __future__ import annotations

import asyncio

import pytest

from api.outreach import campaigns
from api.outreach.errors import OutreachError
from api.outreach.staff_tasks import StaffTasks, resolve
from tools.wecom.outreach import StaffMessages

ADD = "externalcontact/add_msg_template"
LIST = "externalcontact/get_groupmsg_list_v2"
RESULT = "externalcontact/get_groupmsg_send_result"


class CrashError(BaseException):
    """Nothing in the product catches this, as nothing catches kill -9."""


def crash(monkeypatch, owner, name, *, is_before):
    original, crashed = getattr(owner, name), []

    async def crashing(self, *args, **kwargs):
        if crashed:
            return await original(self, *args, **kwargs)
        crashed.append(name)
        if not is_before:
            await original(self, *args, **kwargs)
        raise CrashError(name)

    monkeypatch.setattr(owner, name, crashing)


async def looked(marketing, **span):
    marketing.clock.forward(**span)
    await marketing.outreach.look()


async def test_each_member_is_asked_once_for_all_their_customers(marketing):
    for number in range(5):
        await marketing.befriend(f"wm{number}", "zhangsan" if number < 3 else "lisi")
    await marketing.to_friends()
    for _ in range(3):
        await marketing.run()
    tasks = list(marketing.sim.contacts.messages.tasks.values())
    assert [(task.user, sorted(task.customers)) for task in tasks] == [
        ("lisi", ["wm3", "wm4"]),
        ("zhangsan", ["wm0", "wm1", "wm2"]),
    ]
    assert {task.text for task in tasks} == {"您好，新品到店。"}
    assert marketing.sim.calls[ADD] == 2
    assert set((await marketing.states()).values()) == {"staff_pending"}
    assert (await marketing.actions()).count("outreach.asked_staff") == 2


async def test_what_staff_confirmed_is_taken_in(marketing):
    for number in range(4):
        await marketing.befriend(f"wm{number}")
    await marketing.to_friends()
    await marketing.run()
    await looked(marketing, minutes=2)
    assert set((await marketing.states()).values()) == {"staff_pending"}
    assert marketing.sim.calls[RESULT] == 0
    marketing.clock.forward(minutes=30)
    confirmed_at = marketing.clock.now
    marketing.sim.contacts.messages.confirm("zhangsan", but={"wm1": 2, "wm2": 3})
    await looked(marketing, minutes=10)
    assert await marketing.states() == {
        "wm0": "staff_sent",
        "wm1": "failed:not_a_friend",
        "wm2": "failed:other_message",
        "wm3": "staff_sent",
    }
    assert (await marketing.targets())[0]["sent_at"] == confirmed_at
    assert [task["state"] for task in await marketing.tasks()] == ["finished"]


async def test_who_wrote_lately_gets_it_in_the_channel_and_not_from_staff(marketing):
    await marketing.befriend("wm1")
    await marketing.befriend("wm2")
    await marketing.writes("wm1", hours=1)
    await marketing.to_friends()
    await marketing.run()
    assert await marketing.states() == {"wm1": "sent", "wm2": "staff_pending"}


async def test_what_wecom_refuses_of_some_customers_is_told(marketing):
    await marketing.befriend("wm1")
    await marketing.befriend("wm2")
    del marketing.sim.contacts.friendships["zhangsan", "wm2"]
    await marketing.to_friends()
    await marketing.run()
    assert await marketing.states() == {"wm1": "staff_pending", "wm2": "failed:refused"}


async def test_nobody_to_send_to_is_no_failure(marketing):
    await marketing.befriend("wm1")
    marketing.sim.contacts.friendships.clear()
    await marketing.to_friends()
    await marketing.run()
    assert await marketing.states() == {"wm1": "skipped:nobody_to_send_to"}


@pytest.mark.parametrize("code", [45009, 48002])
async def test_a_refusal_for_now_is_tried_again_later(marketing, code):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.fail_next(ADD, code)
    await marketing.run()
    await marketing.run()
    assert (await marketing.states())["wm1"].startswith("planned:")
    assert marketing.sim.calls[ADD] == 1
    marketing.clock.forward(minutes=11)
    await marketing.run()
    assert await marketing.states() == {"wm1": "staff_pending"}


async def test_a_refusal_for_good_is_a_failure(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.fail_next(ADD, 40096)
    await marketing.run()
    marketing.clock.forward(hours=1)
    await marketing.run()
    assert (await marketing.states())["wm1"].startswith("failed:WeCom externalcontact/add_msg_template: 40096")
    assert marketing.sim.calls[ADD] == 1


async def test_without_a_token_nothing_is_in_doubt(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.fail_next("gettoken", -1, times=3)
    await marketing.run()
    assert await marketing.tasks() == []
    await marketing.run()
    assert await marketing.states() == {"wm1": "staff_pending"}


async def test_a_call_whose_answer_got_lost_is_found_and_not_made_again(marketing):
    await marketing.befriend("wm1")
    marketing.sim.contacts.messages.make_by_hand("zhangsan", "您好，新品到店。", "wm1")
    await marketing.to_friends()
    marketing.sim.reset_after_effect(ADD)
    await marketing.run()
    assert await marketing.states() == {"wm1": "unknown:no_answer"}
    await marketing.run()
    await looked(marketing, minutes=2)
    (task,) = await marketing.tasks()
    assert task["state"] == "created"
    assert marketing.sim.contacts.messages.tasks[task["msgid"]].creator == ""
    assert await marketing.states() == {"wm1": "staff_pending"}
    assert marketing.sim.calls[ADD] == 1


async def test_two_lost_calls_with_one_text_are_told_apart_by_their_member(marketing):
    await marketing.befriend("wm1", "zhangsan")
    await marketing.befriend("wm2", "lisi")
    await marketing.to_friends()
    marketing.sim.reset_after_effect(ADD, times=2)
    await marketing.run()
    await looked(marketing, minutes=2)
    for task in await marketing.tasks():
        assert marketing.sim.contacts.messages.tasks[task["msgid"]].user == task["staff_id"]


async def test_a_call_that_never_arrived_is_left_to_a_person(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.fail_next(ADD, -1)
    await marketing.run()
    for _ in range(60):
        await looked(marketing, hours=1)
    (task,) = await marketing.tasks()
    assert (task["state"], task["look_at"]) == ("unknown", None)
    assert marketing.sim.calls[ADD] == 1
    with pytest.raises(OutreachError, match="--by NAME"):
        await resolve(marketing.pool, task["id"], msgid="", by="", actor="cli:me", now=marketing.clock.now)
    await resolve(marketing.pool, task["id"], msgid="", by="王", actor="cli:me", now=marketing.clock.now)
    marketing.clock.forward(hours=12)
    await marketing.run()
    assert await marketing.states() == {"wm1": "staff_pending"}
    assert len(marketing.sim.contacts.messages.tasks) == 1
    assert "outreach.not_asked" in await marketing.actions()


async def test_a_person_may_say_which_task_it_is(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.reset_after_effect(ADD)
    await marketing.run()
    (msgid,) = marketing.sim.contacts.messages.tasks
    await resolve(marketing.pool, 1, msgid=msgid, by="王", actor="cli:me", now=marketing.clock.now)
    assert await marketing.states() == {"wm1": "staff_pending"}
    with pytest.raises(OutreachError, match="it is created"):
        await resolve(marketing.pool, 1, msgid="", by="王", actor="cli:me", now=marketing.clock.now)
    with pytest.raises(OutreachError, match="none of this number"):
        await resolve(marketing.pool, 2, msgid="", by="王", actor="cli:me", now=marketing.clock.now)


async def test_a_task_still_being_handed_out_is_asked_about_later(marketing):
    marketing.sim.contacts.messages.dispatch_seconds = 600
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.reset_after_effect(ADD)
    await marketing.run()
    await looked(marketing, minutes=2)
    assert [task["state"] for task in await marketing.tasks()] == ["unknown"]
    await looked(marketing, minutes=10)
    assert [task["state"] for task in await marketing.tasks()] == ["created"]


async def test_a_task_nobody_confirms_ends(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    await marketing.run()
    await looked(marketing, days=31)
    assert await marketing.states() == {"wm1": "failed:not_confirmed"}


@pytest.mark.parametrize(
    ("point", "calls"),
    [
        # Nothing was asked: the reserved customers are found by the next run.
        ((StaffTasks, "open", True), 1),
        # The row says that a call began; WeCom has none, so a person decides.
        ((StaffTasks, "open", False), 0),
        ((StaffMessages, "create", True), 0),
        # WeCom has it, though nobody wrote that down: it is found there.
        ((StaffMessages, "create", False), 1),
        ((StaffTasks, "call", False), 1),
    ],
)
async def test_a_worker_that_dies_asks_nobody_twice(marketing, monkeypatch, point, calls):
    owner, name, is_before = point
    await marketing.befriend("wm1")
    await marketing.to_friends()
    crash(monkeypatch, owner, name, is_before=is_before)
    with pytest.raises(CrashError):
        await marketing.run()
    await marketing.run()
    await looked(marketing, minutes=4)
    await marketing.run()
    await looked(marketing, minutes=10)
    assert marketing.sim.calls[ADD] == calls
    assert len(marketing.sim.contacts.messages.tasks) == calls
    (task,) = await marketing.tasks()
    assert task["state"] == ("created" if calls else "unknown")
    assert await marketing.states() == {"wm1": "staff_pending" if calls else "unknown:no_answer"}


async def test_two_workers_at_once_ask_once(marketing):
    for number in range(6):
        await marketing.befriend(f"wm{number}", f"staff{number % 2}")
    await marketing.to_friends()
    await asyncio.gather(*(each.runner.run() for each in (marketing.outreach, marketing.other) * 2))
    await marketing.run()
    asked = [customer for task in marketing.sim.contacts.messages.tasks.values() for customer in task.customers]
    assert sorted(asked) == [f"wm{number}" for number in range(6)]


async def test_another_campaign_waits_while_staff_have_not_confirmed(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    await marketing.run()
    await marketing.to_friends("c2")
    marketing.clock.forward(days=1)
    await marketing.writes("wm1")
    await marketing.run()
    assert await marketing.states("c2") == {"wm1": "planned:pending"}
    marketing.sim.contacts.messages.confirm("zhangsan")
    await looked(marketing, minutes=1)
    marketing.clock.forward(hours=2)
    await marketing.run()
    assert await marketing.states("c2") == {"wm1": "planned:same_day"}


async def test_who_opts_out_between_the_plan_and_the_call_is_not_in_it(marketing, monkeypatch):
    for number in range(3):
        await marketing.befriend(f"wm{number}")
    await marketing.to_friends()
    crash(monkeypatch, StaffTasks, "open", is_before=True)
    with pytest.raises(CrashError):
        await marketing.run()
    await marketing.works.run(
        "insert into outreach_consents (customer_id, direction, how) values ('wm1', 'out', 'operator')"
    )
    await marketing.writes("wm2", hours=0.1)
    await marketing.run()
    await marketing.run()
    (task,) = marketing.sim.contacts.messages.tasks.values()
    assert list(task.customers) == ["wm0"]
    assert await marketing.states() == {"wm0": "staff_pending", "wm1": "skipped:opted_out", "wm2": "sent"}


async def test_a_cancelled_campaign_asks_nobody_more(marketing, monkeypatch):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    crash(monkeypatch, StaffTasks, "open", is_before=True)
    with pytest.raises(CrashError):
        await marketing.run()
    await campaigns.cancel(marketing.pool, "c1", actor="cli:me", now=marketing.clock.now)
    await marketing.run()
    assert await marketing.states() == {"wm1": "skipped:cancelled"}
    assert marketing.sim.calls[ADD] == 0
