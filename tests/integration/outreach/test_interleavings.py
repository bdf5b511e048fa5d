"""What happens to campaigns while something else happens: another approval, another conversation, another lost call."""

from __future__ import annotations

import pytest

from api.deliveries import Deliveries
from api.outreach import campaigns, running
from api.outreach.campaigns import NewCampaign
from api.outreach.reports import report
from api.outreach.staff_tasks import StaffTasks
from tools.errors import ChannelUnavailableError

ADD = "externalcontact/add_msg_template"


class CrashError(BaseException):
    """Nothing in the product catches this, as nothing catches kill -9."""


async def approve_instead(marketing, text):
    """Replace the campaign's text and approve it anew."""
    known = await campaigns.get(marketing.pool, "c1")
    wanted = NewCampaign(
        name="c1",
        text=text,
        audience=known.audience,
        holdout=0,
        starts_at=known.starts_at,
        ends_at=known.ends_at,
        created_by="cli:me",
    )
    await campaigns.create(marketing.pool, wanted, company="小店", replace=True)
    await campaigns.approve(marketing.pool, "c1", by="李", actor="cli:me", now=marketing.clock.now)


async def test_a_run_that_began_under_an_older_approval_does_not_say_its_text(marketing, monkeypatch):
    await marketing.writes("wm1", hours=1)
    await marketing.make(text="旧文案")
    original, overtaken = campaigns.is_as_approved, []

    async def is_as_approved(conn, campaign):
        told = await original(conn, campaign)
        if not overtaken:
            overtaken.append(campaign.text)
            await approve_instead(marketing, "新文案")
        return told

    monkeypatch.setattr(campaigns, "is_as_approved", is_as_approved)
    await marketing.run()
    await marketing.run()
    assert overtaken == ["旧文案"]
    assert [text.partition("\n")[0] for text in marketing.texts_to("wm1")] == ["新文案"]


async def test_staff_are_not_asked_under_an_older_approval(marketing, monkeypatch):
    await marketing.befriend("wm1")
    older = await marketing.to_friends(text="旧文案")
    await approve_instead(marketing, "新文案")
    original = StaffTasks.open

    async def crashing(self, *_):
        raise CrashError

    monkeypatch.setattr(StaffTasks, "open", crashing)
    with pytest.raises(CrashError):
        await marketing.run()
    monkeypatch.setattr(StaffTasks, "open", original)
    await marketing.other.runner.staff.call_all(older)
    assert marketing.sim.calls[ADD] == 0
    await marketing.run()
    assert [task.text for task in marketing.sim.contacts.messages.tasks.values()] == ["新文案"]


async def test_a_member_has_one_task_however_many_runs_it_takes_to_look_at_everybody(marketing, monkeypatch):
    monkeypatch.setattr(running, "AT_ONCE", 2)
    monkeypatch.setattr(running, "BATCHES", 1)
    for number in range(5):
        await marketing.befriend(f"wm{number}")
    await marketing.to_friends()
    for _ in range(3):
        await marketing.run()
    (task,) = marketing.sim.contacts.messages.tasks.values()
    assert len(task.customers) == 5


async def test_a_message_whose_window_closed_goes_where_the_customer_writes_now(marketing):
    await marketing.writes("wm1", account="wk1", hours=47)
    await marketing.make()
    await marketing.outreach.runner.run()
    marketing.clock.forward(hours=2)
    await marketing.writes("wm1", account="wk2")
    await marketing.deliver()
    assert await marketing.states() == {"wm1": "planned"}
    await marketing.run()
    assert [sent.account_id for sent in marketing.works.channel.sent] == ["wk2"]
    assert await marketing.states() == {"wm1": "sent"}


async def test_a_lost_call_is_not_taken_for_another_one_with_its_text(marketing):
    await marketing.befriend("wm1")
    await marketing.to_friends()
    marketing.sim.fail_next(ADD, -1)
    await marketing.run()
    await marketing.befriend("wm2")
    await marketing.to_friends("c2")
    marketing.sim.reset_after_effect(ADD)
    await marketing.run()
    marketing.clock.forward(minutes=2)
    await marketing.outreach.look()
    assert await marketing.states("c1") == {"wm1": "unknown:no_answer"}
    assert await marketing.states("c2") == {"wm1": "planned:same_day", "wm2": "staff_pending"}


async def test_giving_up_a_message_in_doubt_does_not_make_it_unsent(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.outreach.runner.run()
    marketing.works.channel.send_errors.append(ChannelUnavailableError("no answer"))
    with pytest.raises(ChannelUnavailableError):
        await marketing.deliver()
    await campaigns.cancel(marketing.pool, "c1", actor="cli:me", now=marketing.clock.now)
    await marketing.deliver()
    (row,) = await marketing.works.rows("select id from outbox")
    assert await Deliveries(marketing.pool, marketing.works.queue).drop(row["id"])
    await marketing.outreach.runner.run()
    assert await marketing.states() == {"wm1": "unknown:not sent: cancelled"}


async def test_who_could_not_be_reached_by_staff_counts_in_the_comparison(marketing):
    people = [f"wm{number}" for number in range(20)]
    for customer in people:
        await marketing.befriend(customer)
    made = await marketing.to_friends(holdout=50)
    marketing.sim.fail_next(ADD, 41048)
    await marketing.run()
    treated = [customer for customer in people if not made.holds_out(customer)]
    told = await report(marketing.pool, made, now=marketing.clock.now)
    assert told.counts == {"holdout": 20 - len(treated), "skipped:nobody_to_send_to": len(treated)}
    assert told.lift is not None
    assert (told.lift.treated.customers, told.lift.holdout.customers) == (len(treated), 20 - len(treated))
