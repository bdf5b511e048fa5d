"""The hours in which nobody is written to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.outreach.quiet import QuietHours


@pytest.mark.parametrize(
    ("text", "hour", "is_quiet"),
    [
        ("21:00-09:00", 20, False),
        ("21:00-09:00", 21, True),
        ("21:00-09:00", 3, True),
        ("21:00-09:00", 9, False),
        ("12:00-14:00,21:00-09:00", 13, True),
        ("12:00-14:00,21:00-09:00", 14, False),
    ],
)
def test_the_spans_are_quiet_every_day(text, hour, is_quiet):
    for day in range(1, 8):
        moment = datetime(2026, 3, day, hour, 0, tzinfo=UTC)
        assert QuietHours.parse(text, "UTC").is_quiet(moment) == is_quiet


@pytest.mark.parametrize("text", ["", "9-21", "21:00", "Mon 21:00-09:00", "25:00-09:00"])
def test_what_is_no_span_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="21:00-09:00"):
        QuietHours.parse(text, "UTC")


@pytest.mark.parametrize("text", ["00:00-00:00", "09:00-09:00", "00:00-12:00,12:00-24:00"])
def test_a_day_without_an_hour_to_send_in_is_refused(text):
    with pytest.raises(ValueError, match="leaves no hour"):
        QuietHours.parse(text, "UTC")


def test_an_unknown_zone_is_named():
    with pytest.raises(ValueError, match="time zone"):
        QuietHours.parse("21:00-09:00", "Mars/Olympus")


@given(
    span=st.timedeltas(timedelta(0), timedelta(days=365)),
    zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York"]),
)
def test_the_end_is_the_first_moment_that_is_not_quiet(span, zone):
    moment = datetime(2026, 1, 1, tzinfo=UTC) + span
    quiet = QuietHours.parse("12:00-14:00,21:00-09:00", zone)
    end = quiet.ends_at(moment)
    assert not quiet.is_quiet(end)
    assert moment <= end
    assert end == moment or quiet.is_quiet(end - timedelta(minutes=1))
