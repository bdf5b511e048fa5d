"""What becomes of a friendship when WeCom tells something about it: pure functions, in whatever order it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

ADDED = "add_external_contact"
HALF_ADDED = "add_half_external_contact"
LeftBy = Literal["customer", "staff", "transfer"]
"""Who ended a friendship; `transfer`: the customer was given to a colleague."""

ENDED: Mapping[str, LeftBy] = {"del_external_contact": "staff", "del_follow_user": "customer"}
ACTED_ON = frozenset({ADDED, HALF_ADDED, *ENDED})
"""Everything else is only kept: edits of remarks and tags, failed transfers, what later versions of WeCom may tell."""

TRANSFERRED = "DELETE_BY_TRANSFER"

CODE_SECONDS = 20
"""How long a welcome code lives (doc 92137)."""

ANEW_AFTER = timedelta(minutes=1)
"""A code that comes so long after its friendship began belongs to a new one: that the old one ended was lost."""

CONFIRM_DELAYS = (600, 3600, 6 * 3600, 24 * 3600)
"""Seconds until a half friend is looked at again: the callback of the confirmation may be lost."""

Outcome = Literal["sent", "already", "expired", "refused", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendEvent:
    """What WeCom told."""

    change_type: str
    staff_id: str
    customer_id: str
    state: str = ""
    welcome_code: str = ""
    detail: str = ""
    """Why: `Source` of an end, `FailReason` of a transfer."""
    happened_at: datetime
    received_at: datetime

    @property
    def code_until(self) -> datetime:
        """When the code is dead for certain; counted from when it came, because clocks differ."""
        return self.received_at + timedelta(seconds=CODE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Friend:
    """A customer and the member of staff they added."""

    staff_id: str
    customer_id: str
    state: str = ""
    added_at: datetime
    confirmed_at: datetime | None = None
    left_at: datetime | None = None
    left_by: LeftBy | None = None
    welcome_code: str = ""
    welcome_until: datetime | None = None
    spare_code: str = ""
    spare_until: datetime | None = None
    welcome_after: datetime
    welcome_attempts: int = 0
    in_doubt: bool = False
    welcome_outcome: Outcome | None = None
    tend_after: datetime | None = None
    tend_attempts: int = 0
    tended_at: datetime | None = None


def after(friend: Friend | None, event: FriendEvent) -> Friend | None:
    """Return the friendship after an event; None when there is none and the event makes none."""
    if event.change_type in ENDED:
        return _ended(friend, event)
    if event.change_type not in {ADDED, HALF_ADDED}:
        return friend
    if friend is None or _is_anew(friend, event):
        return _begun(event)
    if friend.left_at is not None:
        return friend
    return _with_code(_confirmed(friend, event), event)


def _begun(event: FriendEvent) -> Friend:
    is_half = event.change_type == HALF_ADDED
    return Friend(
        staff_id=event.staff_id,
        customer_id=event.customer_id,
        state=event.state,
        added_at=event.happened_at,
        confirmed_at=None if is_half else event.happened_at,
        welcome_code=event.welcome_code,
        welcome_until=event.code_until if event.welcome_code else None,
        welcome_after=event.received_at,
        # What WeCom refuses of half friends waits for the confirmation, and not for ever.
        tend_after=event.received_at + timedelta(seconds=CONFIRM_DELAYS[0] if is_half else 0),
    )


def _is_anew(friend: Friend, event: FriendEvent) -> bool:
    """Tell whether this begins another friendship of the same two."""
    if friend.left_at is not None:
        return friend.left_at <= event.happened_at and friend.added_at < event.happened_at
    is_repeated = event.change_type == HALF_ADDED or friend.confirmed_at is not None
    has_new_code = bool(event.welcome_code) and event.welcome_code not in {friend.welcome_code, friend.spare_code}
    return is_repeated and has_new_code and event.happened_at >= (friend.confirmed_at or friend.added_at) + ANEW_AFTER


def _confirmed(friend: Friend, event: FriendEvent) -> Friend:
    friend = replace(friend, state=friend.state or event.state, added_at=min(friend.added_at, event.happened_at))
    if event.change_type != ADDED or friend.confirmed_at is not None:
        return friend
    return replace(friend, confirmed_at=event.happened_at, tend_after=event.received_at, tend_attempts=0)


def _with_code(friend: Friend, event: FriendEvent) -> Friend:
    """Keep a code that may still be needed: one friendship, one welcome."""
    code = event.welcome_code
    if not code or code in {friend.welcome_code, friend.spare_code} or friend.welcome_outcome in {"sent", "already"}:
        return friend
    is_being_tried = friend.welcome_attempts > 0 and friend.welcome_outcome is None
    if is_being_tried:
        return replace(friend, spare_code=code, spare_until=event.code_until)
    return replace(
        friend,
        welcome_code=code,
        welcome_until=event.code_until,
        welcome_after=event.received_at,
        welcome_attempts=0,
        in_doubt=False,
        welcome_outcome=None,
    )


def _ended(friend: Friend | None, event: FriendEvent) -> Friend | None:
    if friend is None:
        # It came before its own beginning, which then must not begin anything; or the beginning was never told.
        friend = replace(_begun(event), confirmed_at=None)
    elif event.happened_at < friend.added_at or friend.left_at is not None:
        # It ended what was before this one, or what ended already: a staff member may delete who has left.
        return friend
    who = "transfer" if event.detail == TRANSFERRED else ENDED[event.change_type]
    return replace(friend, left_at=event.happened_at, left_by=who, tend_after=None)
