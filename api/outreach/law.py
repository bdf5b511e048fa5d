"""What may be done about one customer now: a pure function of what is known, so that it can be tested to the end.

WeCom lets nobody push a message to a customer but in two ways: in 微信客服, within 48 hours of what the customer wrote
and five messages long (doc 94677); or through a member of staff who confirms it in their client (doc 92135).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from api.outreach.quiet import QuietHours
from tools.messages import SendLimits, Session

PER_MONTH_AT_MOST = 28
"""One a day is what WeCom's strictest setting lets a customer get (doc 92135), and February has 28 days."""

UNITS_NEEDED = 2
"""Messages that must be left in the channel's budget: this one, and the answer to what the customer says to it."""

WINDOW_MARGIN = timedelta(minutes=2)
"""A window that closes this soon is closed: the message has yet to travel."""

PENDING_RETRY = timedelta(hours=1)

SkipReason = Literal[
    "opted_out", "left", "person_open", "month_cap", "no_channel", "window_closed", "budget_used", "session_closed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a customer."""

    customer_id: str
    is_opted_out: bool = False
    has_left: bool = False
    """They were a friend of somebody's, and are nobody's any more."""
    has_person: bool = False
    """Somebody at the desk or in WeCom's own client has one of their conversations."""
    thread_id: str | None = None
    """The conversation they wrote in last."""
    last_customer_at: datetime | None = None
    units_used: int = 0
    """Messages sent since, those still on their way included."""
    session: Session | None = None
    staff_id: str | None = None
    """Whose friend they are."""
    sends: tuple[datetime, ...] = ()
    """When other campaigns reached them, or tried to."""
    has_pending: bool = False
    """Another campaign's message to them is on its way, nobody knows until when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kf:
    """Send it in 微信客服."""

    thread_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Ask the member of staff to send it."""

    staff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Do not send it."""

    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not now."""

    until: datetime
    reason: Literal["quiet_hours", "pending", "same_day"]


Decision = Kf | Staff | Skip | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The rules, as far as the operator sets them."""

    quiet: QuietHours
    per_month: int
    limits: SendLimits
    """What 微信客服 allows."""

    def decide(self, facts: Facts, now: datetime) -> Decision:
        """Say what may be done about a customer now."""
        if facts.is_opted_out:
            return Skip(reason="opted_out")
        if facts.has_left:
            return Skip(reason="left")
        if facts.has_person:
            return Skip(reason="person_open")
        return self._capped(facts, now) or self._way(facts, now)

    def _capped(self, facts: Facts, now: datetime) -> Skip | Wait | None:
        local = now.astimezone(self.quiet.zone)
        days = [moment.astimezone(self.quiet.zone).date() for moment in facts.sends]
        if sum((day.year, day.month) == (local.year, local.month) for day in days) >= self.per_month:
            return Skip(reason="month_cap")
        if self.quiet.is_quiet(now):
            return Wait(until=self.quiet.ends_at(now), reason="quiet_hours")
        if local.date() in days:
            midnight = datetime(local.year, local.month, local.day, tzinfo=self.quiet.zone) + timedelta(days=1)
            return Wait(until=self.quiet.ends_at(midnight), reason="same_day")
        if facts.has_pending:
            return Wait(until=now + PENDING_RETRY, reason="pending")
        return None

    def _way(self, facts: Facts, now: datetime) -> Decision:
        problem = self._kf_problem(facts, now)
        if problem is None and facts.thread_id is not None:
            return Kf(thread_id=facts.thread_id)
        if facts.staff_id is not None:
            return Staff(staff_id=facts.staff_id)
        return Skip(reason=problem or "no_channel")

    def _kf_problem(self, facts: Facts, now: datetime) -> SkipReason | None:
        if facts.thread_id is None:
            return "no_channel"
        window = timedelta(seconds=min(self.limits.window_seconds, timedelta(days=3650).total_seconds()))
        if facts.last_customer_at is None or now - facts.last_customer_at >= window - WINDOW_MARGIN:
            return "window_closed"
        if facts.session not in {None, "bot"}:
            return "session_closed"
        if self.limits.units - facts.units_used < UNITS_NEEDED:
            return "budget_used"
        return None
