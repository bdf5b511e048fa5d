"""When something that does not answer is left alone, and when it is tried again."""

from __future__ import annotations

import logging

import pytest

from tools.circuit_breaker import CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("model", failures=3, pause_seconds=30, clock=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allow()
        breaker.failed()


def test_failures_below_the_limit_change_nothing(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.allow()


def test_a_success_between_failures_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allow()


@pytest.mark.parametrize(("passed", "is_asked"), [(0, False), (29.9, False), (30, True), (31, True)])
def test_after_the_limit_nothing_is_asked_until_the_pause_is_over(
    breaker: CircuitBreaker, clock: Clock, passed: float, is_asked: bool
) -> None:
    fail(breaker, 3)
    clock.now += passed
    assert breaker.allow() is is_asked


def test_one_caller_probes_and_the_others_wait_for_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    assert [breaker.allow() for _ in range(4)] == [True, False, False, False]


def test_a_good_probe_opens_the_way_for_everybody(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    breaker.allow()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allow()


def test_a_bad_probe_costs_another_whole_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    assert breaker.allow()
    clock.now += 20
    breaker.failed()
    clock.now += 29
    assert not breaker.allow()
    clock.now += 1
    assert breaker.allow()


def test_a_probe_that_never_reports_is_replaced(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    assert breaker.allow()
    clock.now += 30
    assert breaker.allow()


def test_a_late_failure_of_an_older_call_prolongs_the_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 25
    breaker.failed()
    clock.now += 10
    assert not breaker.allow()


def test_opening_and_closing_are_told_once(
    breaker: CircuitBreaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    breaker.succeeded()
    fail(breaker, 3)
    breaker.failed()
    clock.now += 60
    fail(breaker, 1)
    breaker.succeeded()
    breaker.succeeded()
    told = [(record.levelname, vars(record)["action"], vars(record)["dependency"]) for record in caplog.records]
    assert told == [("WARNING", "circuit_opened", "model"), ("INFO", "circuit_closed", "model")]
