"""When people are there: opening times of a week, as a person writes them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EXAMPLE = "Mon-Fri 09:00-18:00; Sat 10:00-16:00"

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_WORDS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")

_DAY = 24 * 60
_WEEK = 7 * _DAY
_RULE = re.compile(r"(?P<days>[a-z]{3}(?:\s*[-,]\s*[a-z]{3})*)\s+(?P<times>\d.*)")
_TIMES = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """An opening: minutes since Monday 0:00, local time; the end may lie in the next day."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeHours:
    """The openings of a week; none means always open."""

    spans: tuple[Span, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: str) -> OfficeHours:
        """Read rules such as `Mon-Fri 09:00-12:00,13:00-18:00; Sat 10:00-16:00`.

        An end that is not after its start lies in the next day: `22:00-02:00`, and `00:00-00:00` is the whole day.

        Raises:
            ValueError: a rule or the zone is not understood; the text says which and shows an example.
        """
        rules = [rule.strip() for rule in unicodedata.normalize("NFKC", text).lower().split(";")]
        spans = {span for rule in rules if rule for span in _spans(rule)}
        return cls(spans=tuple(sorted(spans, key=lambda span: span.start)), zone=zone_named(zone))

    def is_open(self, at: datetime) -> bool:
        """Tell whether people are there."""
        if not self.spans:
            return True
        local = at.astimezone(self.zone)
        minute = local.weekday() * _DAY + local.hour * 60 + local.minute
        # What began on Sunday may go on into Monday.
        return any(span.start <= moment < span.end for span in self.spans for moment in (minute, minute + _WEEK))

    def opens_at(self, at: datetime) -> datetime:
        """Return when people are back, in local time; `at` itself while they are there."""
        local = at.astimezone(self.zone)
        if self.is_open(at):
            return local
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.zone)
        # Wall-clock arithmetic: an opening is at nine by the clock on the wall, whatever happened to it at night.
        week = midnight - timedelta(days=midnight.weekday())
        openings = (week + timedelta(minutes=span.start + later) for later in (0, _WEEK) for span in self.spans)
        return next(opening for opening in openings if opening > at)


class Reception:
    """Tells customers when people are there, by a clock."""

    def __init__(self, hours: OfficeHours, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._hours = hours
        self._clock = clock

    def back_at(self) -> str:
        """Say when people are back, `明天 09:00`; empty while they are there."""
        now = self._clock()
        return "" if self._hours.is_open(now) else words(self._hours.opens_at(now), now)


def words(then: datetime, now: datetime) -> str:
    """Say a moment of the next days as one does, seen from `now`."""
    days = (then.date() - now.astimezone(then.tzinfo).date()).days
    near = {0: "今天", 1: "明天", 7: f"下{DAY_WORDS[then.weekday()]}"}
    return f"{near.get(days, DAY_WORDS[then.weekday()])} {then:%H:%M}"


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; example: Asia/Shanghai") from None


def _spans(rule: str) -> Iterator[Span]:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ValueError(f"{rule!r} is not understood; example: {EXAMPLE}")
    times = [_minutes(part.strip()) for part in match["times"].split(",")]
    for day in _days(match["days"]):
        for start, end in times:
            yield Span(start=day * _DAY + start, end=day * _DAY + end)


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in re.sub(r"\s", "", text).split(","):
        first, *others = [_day(word) for word in part.split("-")]
        if len(others) > 1:
            raise ValueError(f"{part!r} is not a range of days; example: Mon-Fri")
        last = others[0] if others else first
        # Over the week's end: Sat-Mon.
        found += [day % 7 for day in range(first, last + 1 if last >= first else last + 8)]
    return found


def _day(word: str) -> int:
    if word not in DAYS:
        raise ValueError(f"{word!r} is not a day; they are Mon Tue Wed Thu Fri Sat Sun")
    return DAYS.index(word)


def _minutes(text: str) -> tuple[int, int]:
    match = _TIMES.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time span; example: 09:00-18:00")
    hours = [int(match[1]), int(match[3])]
    minutes = [int(match[2]), int(match[4])]
    start, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or start >= _DAY or end > _DAY:
        raise ValueError(f"{text!r} is not a time span of the day; example: 09:00-18:00")
    return start, end if end > start else end + _DAY
