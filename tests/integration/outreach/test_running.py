"""Campaigns in 微信客服: who gets it, who does not, and that nobody gets it twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from api.deliveries import Deliveries
from api.outreach import campaigns
from api.outreach.errors import OutreachError
from api.outreach.gate import Gate
from tools.errors import ChannelUnavailableError, DuplicateMessageError
from tools.wecom.channel import WecomChannel


async def test_who_wrote_lately_gets_it_once_with_their_name_and_a_way_out(marketing):
    await marketing.writes("wm1", hours=1)
    marketing.works.channel.names["wm1"] = "小明"
    await marketing.make()
    for _ in range(3):
        await marketing.run()
    assert marketing.texts_to("wm1") == ["小明您好，新品到店。\n（回复「退订」不再接收此类消息）"]
    (row,) = await marketing.targets()
    assert (row["state"], row["channel"], row["sent_at"]) == ("sent", "kf", marketing.clock.now)
    units = await marketing.works.rows("select units_used from conversations")
    assert units == [{"units_used": 1}]
    assert (await campaigns.get(marketing.pool, "c1")).state == "done"
    assert await marketing.actions() == [
        "outreach.created",
        "outreach.approved",
        "outreach.sending",
        "outreach.done",
    ]


async def test_nothing_is_sent_that_is_not_approved(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make(approve=False)
    assert await marketing.run() == []
    assert marketing.works.channel.sent == []


@pytest.mark.parametrize(
    "change",
    [
        "update outreach_campaigns set text = 'hello'",
        "update outreach_campaigns set ends_at = ends_at + interval '1 day'",
        "update outreach_campaigns set audience = jsonb_set(audience, '{active_days}', '30')",
        "insert into outreach_targets (campaign_id, customer_id, is_holdout) values (1, 'wm3', false)",
        "update outreach_targets set customer_id = 'wm3' where customer_id = 'wm2'",
    ],
)
async def test_what_was_changed_after_the_approval_is_not_sent(marketing, change):
    await marketing.writes("wm1", hours=1)
    await marketing.writes("wm2", hours=1)
    await marketing.make()
    await marketing.works.run(change)
    (ran,) = await marketing.run()
    assert "approve it again" in ran.note
    assert marketing.works.channel.sent == []


async def test_somebody_who_is_forgotten_does_not_stop_the_others(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.writes("wm2", hours=1)
    await marketing.make()
    await marketing.works.run("delete from outreach_targets where customer_id = 'wm2'")
    await marketing.run()
    assert await marketing.states() == {"wm1": "sent"}


async def test_a_change_needs_another_approval_and_what_was_begun_cannot_be_changed(marketing):
    await marketing.writes("wm1", hours=1)
    made = await marketing.make()
    with pytest.raises(OutreachError, match="--replace"):
        await marketing.make(approve=False)
    wanted = {name: getattr(made, name) for name in ("name", "audience", "holdout", "starts_at", "ends_at")}
    again = campaigns.NewCampaign(**wanted, text="换一段话。", created_by="cli:me")
    changed = await campaigns.create(marketing.pool, again, company="", replace=True)
    assert (changed.state, changed.approved_by, changed.approved_hash) == ("draft", None, None)
    assert await marketing.run() == []
    await campaigns.approve(marketing.pool, "c1", by="王", actor="cli:me", now=marketing.clock.now)
    await marketing.run()
    with pytest.raises(OutreachError, match="cannot be changed"):
        await campaigns.create(marketing.pool, again, company="", replace=True)


async def test_an_approval_needs_a_name_and_somebody_to_write_to(marketing):
    await marketing.make(approve=False)
    now = marketing.clock.now
    with pytest.raises(OutreachError, match="--by NAME"):
        await campaigns.approve(marketing.pool, "c1", by=" ", actor="cli:me", now=now)
    with pytest.raises(OutreachError, match="for nobody: wrote within 365 days"):
        await campaigns.approve(marketing.pool, "c1", by="王", actor="cli:me", now=now)
    with pytest.raises(OutreachError, match="no campaign 'c2'"):
        await campaigns.approve(marketing.pool, "c2", by="王", actor="cli:me", now=now)


async def test_who_must_be_left_alone_is_skipped_with_the_reason(marketing):
    for customer in ("wm1", "wm2", "wm3", "wm4", "wm5", "wm6"):
        await marketing.writes(customer, hours=1)
    await marketing.writes("wm7", days=3)
    run, works = marketing.works.run, marketing.works
    await run("insert into outreach_consents (customer_id, direction, how) values ('wm1', 'out', 'operator')")
    await marketing.befriend("wm2")
    await run("update friends set left_at = now(), left_by = 'customer' where external_userid = 'wm2'")
    await run("insert into tickets (ticket_id, thread_id, reason) values ('t1', %s, 'failure')", works.thread("wm3"))
    await run("update conversations set muted_at = now() where customer_id = 'wm4'")
    await run("update conversations set session_state = 'staff' where customer_id = 'wm5'")
    await run("update conversations set units_used = 4 where customer_id = 'wm6'")
    await marketing.make()
    await marketing.run()
    assert await marketing.states() == {
        "wm1": "skipped:opted_out",
        "wm2": "skipped:left",
        "wm3": "skipped:person_open",
        "wm4": "skipped:person_open",
        "wm5": "skipped:person_open",
        "wm6": "skipped:budget_used",
        "wm7": "skipped:window_closed",
    }
    assert works.channel.sent == []


async def test_an_answer_on_its_way_counts_in_the_budget(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.works.run("update conversations set units_used = 3")
    await marketing.works.outbox.say(marketing.works.thread(), "t1", "answer", "答案")
    await marketing.make()
    await marketing.outreach.runner.run()
    assert await marketing.states() == {"wm1": "skipped:budget_used"}


async def test_quiet_hours_are_waited_out(marketing):
    marketing.clock.forward(hours=10)
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    (ran,) = await marketing.run()
    assert ran.note == "quiet hours until 2026-03-05 09:00"
    assert marketing.works.channel.sent == []
    marketing.clock.forward(hours=11)
    await marketing.run()
    assert await marketing.states() == {"wm1": "sent"}


async def test_nothing_goes_before_its_time_and_nothing_after(marketing):
    await marketing.writes("wm1")
    start = marketing.clock.now + timedelta(hours=2)
    await marketing.make(starts_at=start, ends_at=start + timedelta(hours=1))
    (ran,) = await marketing.run()
    assert ran.note == "it begins at 2026-03-04 14:00"
    marketing.clock.forward(hours=4)
    (ran,) = await marketing.run()
    assert ran.note == "its time is over"
    assert await marketing.states() == {"wm1": "skipped:window_over"}
    assert (await campaigns.get(marketing.pool, "c1")).state == "done"


async def test_a_row_that_waited_into_the_night_is_taken_back_and_goes_in_the_morning(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.outreach.runner.run()
    marketing.clock.forward(hours=10)
    await marketing.deliver()
    assert marketing.works.channel.sent == []
    assert await marketing.states() == {"wm1": "planned:quiet_hours"}
    assert await marketing.works.rows("select 1 from outbox") == []
    marketing.clock.forward(hours=12)
    await marketing.run()
    assert await marketing.states() == {"wm1": "sent"}
    assert len(marketing.texts_to("wm1")) == 1


@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        (
            "insert into outreach_consents (customer_id, direction, how) values ('wm1', 'out', 'operator')",
            "skipped:opted_out",
        ),
        ("update conversations set muted_at = now()", "skipped:person_open"),
        ("update conversations set units_used = 5", "skipped:budget_used"),
        ("update outreach_campaigns set state = 'cancelled'", "skipped:cancelled"),
    ],
)
async def test_what_changes_before_the_message_goes_still_counts(marketing, meanwhile, state):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.outreach.runner.run()
    await marketing.works.run(meanwhile)
    await marketing.deliver()
    assert marketing.works.channel.sent == []
    assert await marketing.states() == {"wm1": state}


async def test_a_cancelled_campaign_spares_the_rest(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    assert await campaigns.cancel(marketing.pool, "c1", actor="cli:me", now=marketing.clock.now) == 1
    await marketing.run()
    assert await marketing.states() == {"wm1": "skipped:cancelled"}
    with pytest.raises(OutreachError, match="cancelled already"):
        await campaigns.cancel(marketing.pool, "c1", actor="cli:me", now=marketing.clock.now)


async def test_a_second_campaign_waits_for_another_day_and_the_fifth_of_a_month_is_not_sent(marketing):
    for number in range(5):
        await marketing.make_for_one(number)
    for _ in range(6):
        await marketing.run()
        marketing.clock.forward(days=1)
        await marketing.writes("wm1")
    sent = [row async for row in _states(marketing)]
    assert sent == ["sent", "sent", "sent", "sent", "skipped:month_cap"]
    days = await marketing.works.rows(
        "select count(distinct (sent_at at time zone 'Asia/Shanghai')::date) as days from outreach_targets"
    )
    assert days == [{"days": 4}]


async def _states(marketing):
    for number in range(5):
        yield (await marketing.states(f"c{number}"))["wm1"]


async def test_two_workers_at_once_send_it_once(marketing):
    for number in range(30):
        await marketing.writes(f"wm{number:02d}", hours=1)
    await marketing.make()
    await marketing.make("c2")
    await asyncio.gather(*(each.runner.run() for each in (marketing.outreach, marketing.other) * 2))
    await marketing.deliver()
    keys = marketing.works.channel.attempted_keys
    assert len(keys) == len(set(keys)) == 30
    states = await marketing.states("c1"), await marketing.states("c2")
    for customer in states[0]:
        assert sorted(each[customer].partition(":")[0] for each in states) == ["planned", "sent"]


async def test_who_is_held_out_is_always_the_same_and_counts_in_no_cap(marketing):
    for number in range(40):
        await marketing.writes(f"wm{number:02d}", hours=1)
    made = await marketing.make(holdout=50)
    await marketing.run()
    states = await marketing.states()
    assert set(states.values()) == {"sent", "holdout"}
    assert {customer for customer, state in states.items() if state == "holdout"} == {
        customer for customer in states if made.holds_out(customer)
    }
    await marketing.make("c2")
    await marketing.run()
    assert {customer for customer, state in (await marketing.states("c2")).items() if state == "sent"} == {
        customer for customer, state in states.items() if state == "holdout"
    }


async def test_a_failed_message_is_told_in_the_report_and_to_nobody_else(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.run()
    key = marketing.works.channel.attempted_keys[0]
    await marketing.works.store(marketing.works.not_delivered(key, "客户拒收"))
    await marketing.works.work()
    await marketing.outreach.runner.run()
    assert await marketing.states() == {"wm1": "failed:客户拒收"}
    assert marketing.works.desk.posts == []


class CrashError(BaseException):
    """Nothing in the product catches this, as nothing catches kill -9."""


@pytest.mark.parametrize(
    ("owner", "name", "is_before"),
    [
        (Gate, "admits", True),
        (Gate, "admits", False),
        (Deliveries, "next", False),
        (Deliveries, "mark_sent", True),
        (Deliveries, "mark_sent", False),
    ],
)
async def test_a_worker_that_dies_at_any_point_sends_it_once(marketing, monkeypatch, owner, name, is_before):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.outreach.runner.run()
    original, crashed = getattr(owner, name), []

    async def crashing(self, *args, **kwargs):
        if crashed:
            return await original(self, *args, **kwargs)
        crashed.append(name)
        if not is_before:
            await original(self, *args, **kwargs)
        raise CrashError(name)

    monkeypatch.setattr(owner, name, crashing)
    with pytest.raises(CrashError):
        await marketing.deliver()
    if marketing.works.channel.sent:
        # The vendor remembers the key.
        marketing.works.channel.send_errors.append(DuplicateMessageError("used"))
    await marketing.deliver()
    assert crashed == [name]
    assert await marketing.states() == {"wm1": "sent"}
    assert len(marketing.texts_to("wm1")) == 1
    assert len(set(marketing.works.channel.attempted_keys)) == 1


async def test_a_message_in_doubt_is_not_repeated_at_night(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.outreach.runner.run()
    marketing.works.channel.send_errors.append(ChannelUnavailableError("no answer"))
    with pytest.raises(ChannelUnavailableError):
        await marketing.deliver()
    marketing.clock.forward(hours=10)
    await marketing.deliver()
    assert await marketing.states() == {"wm1": "unknown:not sent: quiet_hours"}
    assert len(marketing.works.channel.attempted_keys) == 1


async def test_answers_come_before_a_campaign_and_are_never_merged_into_it(marketing):
    await marketing.writes("wm1", hours=1)
    marketing.works.set_limits(units=5)
    await marketing.works.run("update conversations set units_used = 3")
    await marketing.make()
    await marketing.outreach.runner.run()
    for number in range(3):
        await marketing.works.outbox.say(marketing.works.thread(), f"t{number}", "answer", f"答案{number}")
    await marketing.deliver()
    assert marketing.texts_to("wm1") == ["答案0\n\n答案1", "答案2"]
    assert await marketing.states() == {"wm1": "skipped:budget_used"}


def test_the_law_allows_what_the_channel_allows(marketing):
    assert marketing.outreach.runner.law.limits == WecomChannel.limits
