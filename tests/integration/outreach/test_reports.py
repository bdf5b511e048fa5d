"""What a campaign did, counted, and a preview of what it would do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.outreach import campaigns
from api.outreach.previews import preview
from api.outreach.reports import Rate, lift_of, rate_of, report


async def told(marketing, name="c1"):
    campaign = await campaigns.get(marketing.pool, name)
    return await report(marketing.pool, campaign, now=marketing.clock.now)


async def answers(marketing, customers):
    marketing.clock.forward(hours=1)
    for customer in customers:
        await marketing.writes(customer, "多少钱?")


async def test_a_campaign_that_works_is_told_from_chance(marketing):
    people = [f"wm{number:03d}" for number in range(80)]
    for customer in people:
        await marketing.writes(customer, hours=1)
    made = await marketing.make(holdout=40)
    await marketing.run()
    treated = [customer for customer in people if not made.holds_out(customer)]
    await answers(marketing, treated[:30])
    result = await told(marketing)
    assert result.counts == {"sent": len(treated), "holdout": 80 - len(treated)}
    assert (result.lift.treated.replied, result.lift.holdout.replied) == (30, 0)
    assert result.lift.is_distinguishable
    assert result.verdict.startswith("Who was written to answered more often than who was left alone so far")


async def test_a_few_answers_prove_nothing(marketing):
    people = [f"wm{number:03d}" for number in range(12)]
    for customer in people:
        await marketing.writes(customer, hours=1)
    made = await marketing.make(holdout=50)
    await marketing.run()
    await answers(marketing, [customer for customer in people if not made.holds_out(customer)][:1])
    assert "not distinguishable from 0" in (await told(marketing)).verdict


async def test_refusing_is_no_answer_and_late_answers_do_not_count(marketing):
    people = [f"wm{number}" for number in range(30)]
    for customer in people:
        await marketing.writes(customer, hours=1)
    made = await marketing.make(holdout=50)
    await marketing.run()
    refuses, late, asks, *_ = [customer for customer in people if not made.holds_out(customer)]
    marketing.clock.forward(hours=1)
    await marketing.writes(refuses, "退订")
    await marketing.writes(asks)
    marketing.clock.forward(days=7)
    await marketing.writes(late)
    result = await told(marketing)
    assert (result.opted_out, result.lift.treated.replied, result.open_windows) == (1, 1, 0)


async def test_without_a_hold_out_there_is_no_comparison(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.make()
    await marketing.run()
    assert (await told(marketing)).verdict.startswith("No comparison")


async def test_a_preview_tells_everything_and_writes_nothing(marketing):
    await marketing.writes("wm1", hours=1)
    await marketing.writes("wm2", days=5)
    await marketing.writes("wm3", hours=1)
    await marketing.works.run(
        "insert into outreach_consents (customer_id, direction, how) values ('wm3', 'out', 'operator')"
    )
    await marketing.befriend("wm2")
    made = await marketing.make(approve=False)
    law = marketing.outreach.runner.law
    shown = await preview(marketing.pool, made, law, company="小店", now=marketing.clock.now)
    assert shown.counts == {"kf": 1, "skipped:opted_out": 1, "staff": 1}
    assert {each.customer_id: each.what for each in shown.customers}["wm2"] == "staff"
    assert shown.kf_text.startswith("小明您好")
    assert shown.staff_text == "您好，新品到店。"
    assert await marketing.targets() == []
    assert marketing.works.channel.sent == []


async def test_a_preview_at_night_says_when_it_would_begin(marketing):
    marketing.clock.forward(hours=10)
    await marketing.writes("wm1", hours=1)
    made = await marketing.make(approve=False)
    law = marketing.outreach.runner.law
    shown = await preview(marketing.pool, made, law, company="", now=marketing.clock.now)
    assert f"{shown.at:%m-%d %H:%M}" == "03-05 09:00"
    assert shown.counts == {"kf": 1}


def test_the_intervals_are_those_of_wilson_and_newcombe():
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80.
    lift = lift_of(rate_of(56, 70), rate_of(48, 80))
    assert lift.difference == pytest.approx(0.2)
    assert (lift.low, lift.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert lift.is_distinguishable


def test_a_lift_whose_interval_holds_zero_is_not_distinguishable():
    rate = Rate(customers=10, replied=5, rate=0.5, low=0.24, high=0.76)
    assert not lift_of(rate, rate).is_distinguishable


async def test_the_hold_out_is_no_more_than_was_asked_for(marketing):
    made = await marketing.make(approve=False, holdout=10, ends_at=marketing.clock.now + timedelta(days=1))
    held = sum(made.holds_out(f"wm{number}") for number in range(5000))
    assert 400 < held < 600
