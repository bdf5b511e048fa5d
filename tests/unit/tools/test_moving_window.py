"""So many calls in any stretch of time, and no key kept longer than that."""

from __future__ import annotations

import pytest

from tools.moving_window import MovingWindow


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_no_stretch_of_that_length_has_more_calls(clock: Clock) -> None:
    window = MovingWindow(3, seconds=60, clock=clock)
    allowed = []
    for second in range(0, 300, 7):
        clock.now = float(second)
        if window.hit("a"):
            allowed.append(second)
    assert all(later - earlier >= 60 for earlier, later in zip(allowed, allowed[3:], strict=False))
    # As many as can be: each refusal was necessary.
    assert allowed == [0, 7, 14, 63, 70, 77, 126, 133, 140, 189, 196, 203, 252, 259, 266]


def test_it_tells_how_long_to_wait(clock: Clock) -> None:
    window = MovingWindow(2, seconds=60, clock=clock)
    assert window.seconds_left("a") == 0
    window.hit("a")
    clock.now += 10
    window.hit("a")
    clock.now += 5
    assert window.seconds_left("a") == 45
    assert not window.hit("a")
    clock.now += 45
    assert (window.seconds_left("a"), window.hit("a"), window.hit("a")) == (0, True, False)


def test_keys_do_not_count_for_each_other(clock: Clock) -> None:
    window = MovingWindow(1, clock=clock)
    assert [window.hit(key) for key in ("a", "b", "a", "b")] == [True, True, False, False]


def test_who_was_not_seen_for_so_long_is_forgotten_and_nobody_else(clock: Clock) -> None:
    window = MovingWindow(2, seconds=60, clock=clock)
    for number in range(1000):
        window.hit(f"key {number}")
    clock.now += 30
    window.hit("key 0")
    assert len(window) == 1000
    clock.now += 30
    assert len(window) == 1
    assert not window.seconds_left("key 1")
    assert (window.hit("key 0"), window.hit("key 0")) == (True, False)
