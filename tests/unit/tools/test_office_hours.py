"""Opening times: what is understood, who is there when, and when people are back."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tools.office_hours import EXAMPLE, OfficeHours, Reception, words

SHANGHAI = "Asia/Shanghai"


def hours(text: str = EXAMPLE, zone: str = SHANGHAI) -> OfficeHours:
    return OfficeHours.parse(text, zone)


def at(text: str, zone: str = SHANGHAI) -> datetime:
    """A moment of local time; 2026-03-02 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-02 08:59", False),
        ("2026-03-02 09:00", True),
        ("2026-03-06 17:59", True),
        ("2026-03-06 18:00", False),
        ("2026-03-07 09:30", False),
        ("2026-03-07 10:00", True),
        ("2026-03-07 16:00", False),
        ("2026-03-08 12:00", False),
    ],
)
def test_people_are_there_at_their_times_only(moment: str, is_open: bool) -> None:
    assert hours().is_open(at(moment)) is is_open


def test_the_zone_counts_and_not_the_zone_of_the_question() -> None:
    assert hours().is_open(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))
    assert not hours().is_open(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "  ", " ; "])
def test_without_rules_it_is_always_open(text: str) -> None:
    now = at("2026-03-08 03:00")
    assert hours(text).is_open(now)
    assert hours(text).opens_at(now) == now


@pytest.mark.parametrize(
    "text",
    [
        "mon-fri 9:00-18:00;sat 10:00-16:00",
        "  MON - FRI   09:00 - 18:00 ; Sat 10:00-16:00 ;",
        "Mon-Fri 09：00-18：00； Sat 10：00-16：00",
        "Mon,Tue,Wed-Fri 09:00-18:00; Sat 10:00-16:00",
        "Sat 10:00-16:00; Mon-Fri 09:00-18:00; Mon 09:00-18:00",
    ],
)
def test_ways_to_write_the_same(text: str) -> None:
    assert hours(text) == hours()


def test_a_break_at_noon() -> None:
    parsed = hours("Mon-Fri 09:00-12:00,13:00-18:00")
    noon = at("2026-03-02 12:30")
    assert not parsed.is_open(noon)
    assert parsed.opens_at(noon) == at("2026-03-02 13:00")


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-06 21:59", False),
        ("2026-03-06 23:00", True),
        ("2026-03-07 01:59", True),
        ("2026-03-07 02:00", False),
        ("2026-03-09 01:00", True),
        ("2026-03-09 02:00", False),
    ],
)
def test_a_night_shift_belongs_to_the_day_it_begins(moment: str, is_open: bool) -> None:
    assert hours("Fri,Sun 22:00-02:00").is_open(at(moment)) is is_open


def test_days_over_the_weeks_end() -> None:
    parsed = hours("Sat-Mon 10:00-12:00")
    assert [parsed.is_open(at(f"2026-03-0{day} 11:00")) for day in range(2, 9)] == [
        True, False, False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["Mon-Sun 00:00-24:00", "Mon-Sun 00:00-00:00"])
def test_around_the_clock(text: str) -> None:
    assert all(hours(text).is_open(at(f"2026-03-0{day} 0{day}:{day}0")) for day in range(1, 6))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2026-03-02 07:00", "今天 09:00"),
        ("2026-03-02 19:00", "明天 09:00"),
        ("2026-03-06 19:00", "明天 10:00"),
        ("2026-03-07 17:00", "周一 09:00"),
        ("2026-03-08 23:59", "明天 09:00"),
        ("2026-03-03 10:00", ""),
    ],
)
def test_customers_are_told_when_people_are_back(now: str, said: str) -> None:
    assert Reception(hours(), clock=lambda: at(now)).back_at() == said


def test_a_week_from_now_is_said_as_next_week() -> None:
    assert Reception(hours("Mon 09:00-10:00"), clock=lambda: at("2026-03-02 11:00")).back_at() == "下周一 09:00"


def test_today_is_the_day_where_people_work() -> None:
    # Sunday evening in London is Monday morning in Shanghai.
    now = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
    assert words(hours().opens_at(now), now) == "今天 09:00"


def test_the_clock_on_the_wall_counts_when_it_was_changed_at_night() -> None:
    berlin = "Europe/Berlin"
    parsed = hours("Sun 09:00-10:00", berlin)
    # In the night to 2026-03-29 two o'clock became three.
    opening = parsed.opens_at(at("2026-03-28 20:00", berlin))
    assert opening == at("2026-03-29 09:00", berlin)
    assert opening.astimezone(UTC).hour == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "'nonsense' is not understood; example: Mon-Fri"),
        ("Mon-Fri", "not understood"),
        ("09:00-18:00", "not understood"),
        ("Mon-Fry 09:00-18:00", "'fry' is not a day"),
        ("Mon-Wed-Fri 09:00-18:00", "not a range of days"),
        ("Mon 9-18", "'9-18' is not a time span"),
        ("Mon 09:00-18:00,x", "'x' is not a time span"),
        ("Mon 09:60-18:00", "not a time span of the day"),
        ("Mon 24:00-25:00", "not a time span of the day"),
        ("Mon 09:00-24:01", "not a time span of the day"),
        ("Mon 09:00-18:00, Tue 10:00-12:00", "'tue 10:00-12:00' is not a time span"),
    ],
)
def test_what_is_not_understood_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        hours(text)


@pytest.mark.parametrize("zone", ["Shanghai", "", "../etc/passwd", "America"])
def test_a_zone_that_does_not_exist_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone; example: Asia/Shanghai"):
        hours(zone=zone)
