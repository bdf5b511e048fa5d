"""What may be done about one customer: every rule at its edges, and all of them over random facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.outreach.law import Facts, Kf, Law, Skip, Staff, Wait
from api.outreach.quiet import QuietHours
from tools.messages import SendLimits

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=SHANGHAI)
LAW = Law(
    quiet=QuietHours.parse("21:00-09:00", "Asia/Shanghai"),
    per_month=4,
    limits=SendLimits(units=5, window_seconds=48 * 3600),
)


def facts(**known: object) -> Facts:
    given = {"customer_id": "wm1", "thread_id": "wecom:wk1:wm1", "last_customer_at": NOON - timedelta(hours=1)}
    return Facts(**given | known)


def test_who_wrote_lately_gets_it_in_the_channel():
    assert LAW.decide(facts(staff_id="zhang"), NOON) == Kf(thread_id="wecom:wk1:wm1")


@pytest.mark.parametrize(
    ("age", "is_open"), [(timedelta(hours=47, minutes=57), True), (timedelta(hours=47, minutes=58), False)]
)
def test_the_window_is_left_before_it_closes(age, is_open):
    decision = LAW.decide(facts(last_customer_at=NOON - age), NOON)
    assert isinstance(decision, Kf) == is_open
    assert is_open or decision == Skip(reason="window_closed")


@pytest.mark.parametrize(("used", "is_open"), [(3, True), (4, False), (5, False)])
def test_an_answer_must_still_fit(used, is_open):
    decision = LAW.decide(facts(units_used=used), NOON)
    assert isinstance(decision, Kf) == is_open
    assert is_open or decision == Skip(reason="budget_used")


def test_a_closed_session_is_no_way():
    assert LAW.decide(facts(session="closed"), NOON) == Skip(reason="session_closed")


@pytest.mark.parametrize("problem", [{"units_used": 4}, {"last_customer_at": None}, {"thread_id": None}])
def test_a_friend_is_asked_through_the_staff_where_the_channel_is_shut(problem):
    assert LAW.decide(facts(staff_id="zhang", **problem), NOON) == Staff(staff_id="zhang")


def test_who_is_nobodys_friend_and_never_wrote_is_out_of_reach():
    assert LAW.decide(facts(thread_id=None), NOON) == Skip(reason="no_channel")


@pytest.mark.parametrize(
    ("known", "reason"), [("is_opted_out", "opted_out"), ("has_left", "left"), ("has_person", "person_open")]
)
def test_who_must_be_left_alone_is(known, reason):
    assert LAW.decide(facts(staff_id="zhang", **{known: True}), NOON) == Skip(reason=reason)


def test_quiet_hours_are_waited_out():
    night = NOON.replace(hour=23)
    assert LAW.decide(facts(last_customer_at=night), night) == Wait(
        until=datetime(2026, 3, 5, 9, 0, tzinfo=SHANGHAI), reason="quiet_hours"
    )


def test_nobody_gets_two_on_one_day():
    decision = LAW.decide(facts(sends=(NOON.replace(hour=9),)), NOON)
    assert decision == Wait(until=datetime(2026, 3, 5, 9, 0, tzinfo=SHANGHAI), reason="same_day")
    yesterday = NOON.replace(hour=20) - timedelta(days=1)
    assert isinstance(LAW.decide(facts(sends=(yesterday,)), NOON), Kf)


def test_a_message_on_its_way_is_waited_for():
    assert LAW.decide(facts(has_pending=True), NOON) == Wait(until=NOON + timedelta(hours=1), reason="pending")


def test_the_cap_of_the_month_counts_the_month_on_the_wall():
    in_march = tuple(NOON - timedelta(days=day) for day in (1, 2, 3))
    # By the clock of the shop this was March already.
    border = datetime(2026, 2, 28, 17, 0, tzinfo=UTC)
    assert LAW.decide(facts(sends=(*in_march, border)), NOON) == Skip(reason="month_cap")
    assert isinstance(LAW.decide(facts(sends=(*in_march, border - timedelta(hours=2))), NOON), Kf)


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.timedeltas(timedelta(0), timedelta(days=365)).map(lambda span: NEW_YEAR + span)
ages = st.timedeltas(timedelta(minutes=-5), timedelta(days=70))
anything = st.builds(
    lambda **known: known,
    is_opted_out=st.booleans(),
    has_left=st.booleans(),
    has_person=st.booleans(),
    has_pending=st.booleans(),
    thread_id=st.none() | st.just("wecom:wk1:wm1"),
    last_age=st.none() | ages,
    units_used=st.integers(0, 6),
    session=st.sampled_from([None, "bot", "queued", "staff", "closed"]),
    staff_id=st.none() | st.just("zhang"),
    send_ages=st.lists(ages, max_size=6),
)


@given(now=moments, known=anything)
def test_whatever_is_known_nothing_forbidden_is_decided(now, known):
    last, sends = known.pop("last_age"), known.pop("send_ages")
    about = facts(
        **known,
        last_customer_at=None if last is None else now - last,
        sends=tuple(now - age for age in sends),
    )
    decision = LAW.decide(about, now)
    if isinstance(decision, Wait):
        assert decision.until > now
        return
    if isinstance(decision, Skip):
        return
    local = now.astimezone(SHANGHAI)
    days = [moment.astimezone(SHANGHAI).date() for moment in about.sends]
    assert 9 <= local.hour < 21
    assert local.date() not in days
    assert len([day for day in days if (day.year, day.month) == (local.year, local.month)]) < 4
    assert not any((about.is_opted_out, about.has_left, about.has_person, about.has_pending))
    if isinstance(decision, Kf):
        assert now - about.last_customer_at < timedelta(hours=48)
        assert about.units_used + 1 < 5
        assert about.session in {None, "bot"}
    else:
        assert about.staff_id == decision.staff_id
