"""What becomes of a friendship, whatever WeCom tells and in whatever order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.friends.states import ADDED, CODE_SECONDS, CONFIRM_DELAYS, HALF_ADDED, Friend, FriendEvent, after

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def told(change: str, at: float = 0, *, arrives: float | None = None, **fields: Any) -> FriendEvent:
    """Make an event `at` seconds after the start."""
    return FriendEvent(
        change_type=change,
        staff_id="zhangsan",
        customer_id="wm1",
        happened_at=START + timedelta(seconds=at),
        received_at=START + timedelta(seconds=at if arrives is None else arrives),
        **fields,
    )


def friend_after(*events: FriendEvent) -> Friend | None:
    friend = None
    for event in events:
        friend = after(friend, event)
    return friend


HALF = told(HALF_ADDED, 0, welcome_code="W1", state="site")
FULL = told(ADDED, 5)
GONE = told("del_follow_user", 60)


@pytest.mark.parametrize(
    ("change", "is_made", "left_by"),
    [
        ("add_external_contact", True, None),
        ("add_half_external_contact", True, None),
        ("del_external_contact", True, "staff"),
        ("del_follow_user", True, "customer"),
        ("edit_external_contact", False, None),
        ("transfer_fail", False, None),
        ("msg_audit_approved", False, None),
        ("what_comes_one_day", False, None),
    ],
)
def test_each_change_type_does_its_own(change: str, is_made: bool, left_by: str | None) -> None:
    stranger = after(None, told(change, welcome_code="W" if change.startswith("add") else ""))
    assert (stranger is not None) == is_made
    assert stranger is None or stranger.left_by == left_by
    known = friend_after(FULL)
    later = after(known, told(change, 30))
    assert (later == known) == (left_by is None)
    assert later is not None
    assert later.left_by == left_by


def test_half_and_full_make_one_friendship_in_any_order() -> None:
    one, other = friend_after(HALF, FULL), friend_after(FULL, HALF)
    for friend in (one, other):
        assert friend is not None
        assert (friend.added_at, friend.confirmed_at) == (HALF.happened_at, FULL.happened_at)
        assert (friend.state, friend.welcome_code) == ("site", "W1")
        assert friend.welcome_outcome is None


def test_a_code_lives_from_when_it_came() -> None:
    friend = friend_after(told(ADDED, 0, arrives=3, welcome_code="W1"))
    assert friend is not None
    assert friend.welcome_until == START + timedelta(seconds=3 + CODE_SECONDS)


def test_tags_of_a_half_friend_wait_for_the_confirmation() -> None:
    half = friend_after(HALF)
    assert half is not None
    assert half.tend_after == HALF.received_at + timedelta(seconds=CONFIRM_DELAYS[0])
    tried = replace(half, tend_attempts=3, tend_after=None)
    confirmed = after(tried, FULL)
    assert confirmed is not None
    assert (confirmed.tend_after, confirmed.tend_attempts) == (FULL.received_at, 0)


@pytest.mark.parametrize("outcome", ["sent", "already"])
def test_who_was_welcomed_is_not_welcomed_again(outcome: Any) -> None:
    friend = friend_after(HALF)
    assert friend is not None
    welcomed = replace(friend, welcome_outcome=outcome, welcome_attempts=1)
    later = after(welcomed, told(ADDED, 5, welcome_code="W2"))
    assert later is not None
    assert (later.welcome_code, later.spare_code, later.welcome_outcome) == ("W1", "", outcome)


@pytest.mark.parametrize("outcome", ["expired", "refused", "unknown"])
def test_a_second_code_is_tried_when_the_first_failed(outcome: Any) -> None:
    friend = friend_after(HALF)
    assert friend is not None
    failed = replace(friend, welcome_outcome=outcome, welcome_attempts=2, in_doubt=True)
    later = after(failed, told(ADDED, 30, welcome_code="W2"))
    assert later is not None
    assert (later.welcome_code, later.welcome_outcome, later.welcome_attempts, later.in_doubt) == ("W2", None, 0, False)


def test_a_second_code_waits_while_the_first_is_tried() -> None:
    friend = friend_after(HALF)
    assert friend is not None
    later = after(replace(friend, welcome_attempts=1, in_doubt=True), told(ADDED, 5, welcome_code="W2"))
    assert later is not None
    assert (later.welcome_code, later.spare_code) == ("W1", "W2")
    assert later.spare_until == START + timedelta(seconds=5 + CODE_SECONDS)


def test_repeated_callbacks_change_nothing() -> None:
    for events in itertools.permutations([HALF, FULL, HALF, FULL]):
        once = friend_after(*dict.fromkeys(events))
        assert friend_after(*events) == once


def test_who_leaves_is_left_alone_until_they_come_back() -> None:
    gone = friend_after(HALF, FULL, GONE)
    assert gone is not None
    assert (gone.left_at, gone.left_by, gone.tend_after) == (GONE.happened_at, "customer", None)
    assert after(gone, HALF) == gone
    assert after(gone, FULL) == gone
    back = after(gone, told(ADDED, 90, welcome_code="W9", state="shop"))
    assert back is not None
    assert (back.left_at, back.left_by, back.welcome_code, back.state) == (None, None, "W9", "shop")
    assert back.added_at == START + timedelta(seconds=90)


def test_an_end_that_comes_before_its_beginning_stays_the_end() -> None:
    gone = friend_after(GONE, HALF, FULL)
    assert gone is not None
    assert gone.left_at == GONE.happened_at
    assert gone.welcome_code == ""


def test_an_end_that_comes_late_does_not_end_what_began_after_it() -> None:
    back = told(ADDED, 90, welcome_code="W9")
    friend = friend_after(FULL, back, GONE)
    assert friend is not None
    assert friend.left_at is None


def test_the_first_to_leave_is_remembered() -> None:
    friend = friend_after(FULL, GONE, told("del_external_contact", 70))
    assert friend is not None
    assert friend.left_by == "customer"


def test_who_was_given_to_a_colleague_left_by_transfer() -> None:
    friend = friend_after(FULL, told("del_external_contact", 70, detail="DELETE_BY_TRANSFER"))
    assert friend is not None
    assert friend.left_by == "transfer"


def test_a_new_code_long_after_is_a_new_friendship_although_the_end_was_lost() -> None:
    friend = friend_after(HALF, FULL)
    assert friend is not None
    welcomed = replace(friend, welcome_outcome="sent")
    again = after(welcomed, told(ADDED, 3600, welcome_code="W2", state="shop"))
    assert again is not None
    assert (again.welcome_code, again.welcome_outcome, again.state) == ("W2", None, "shop")
