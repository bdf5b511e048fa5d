"""The hours in which nobody is written to of our own accord."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tools.office_hours import OfficeHours

EXAMPLE = "21:00-09:00"
_MINUTE = timedelta(minutes=1)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Spans of every day, by the clock on the wall."""

    spans: OfficeHours

    @classmethod
    def parse(cls, text: str, zone: str) -> QuietHours:
        """Read spans such as `21:00-09:00` or `12:00-14:00,21:00-09:00`.

        Raises:
            ValueError: the spans or the zone are not understood, or no hour is left.
        """
        if not text.strip():
            raise ValueError(f"is empty; example: {EXAMPLE}")
        try:
            spans = OfficeHours.parse(f"Mon-Sun {text.strip()}", zone)
        except ValueError as error:
            if "time zone" in str(error):
                raise
            raise ValueError(f"{text!r} is not understood; example: {EXAMPLE}") from None
        made = cls(spans=spans)
        if all(made._covers(minute) for minute in range(_DAY_MINUTES)):
            raise ValueError(f"{text!r} leaves no hour to send in; example: {EXAMPLE}")
        return made

    @property
    def zone(self) -> ZoneInfo:
        """Where the clock hangs."""
        return self.spans.zone

    def is_quiet(self, at: datetime) -> bool:
        """Tell whether nobody is written to then."""
        return self.spans.is_open(at)

    def ends_at(self, at: datetime) -> datetime:
        """Return the first moment from `at` on that is not quiet."""
        if not self.is_quiet(at):
            return at
        local = at.astimezone(self.zone)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.zone)
        ends = sorted({span.end % _DAY_MINUTES for span in self.spans.spans})
        # Wall-clock arithmetic: nine is nine by the clock on the wall, whatever happened to it at night.
        moments = (midnight + timedelta(days=day) + end * _MINUTE for day in range(3) for end in ends)
        return next(moment for moment in moments if moment > at and not self.is_quiet(moment))

    def _covers(self, minute: int) -> bool:
        moments = (minute, minute + _DAY_MINUTES)
        return any(span.start <= moment < span.end for span in self.spans.spans for moment in moments)
