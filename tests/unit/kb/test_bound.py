"""Bounds of a rate, and the cut-off that keeps one."""

import math
import random
from itertools import pairwise

import pytest

from kb.bound import audits_missing, certify, clean_audits_for, interval, upper_bound


def at_most(count: int, total: int, rate: float) -> float:
    """The binomial probability, from its definition."""
    return sum(math.comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(count + 1))


@pytest.mark.parametrize(("wrong", "answered"), [(0, 1), (0, 59), (0, 149), (1, 10), (3, 200), (7, 50), (9, 10)])
def test_at_the_bound_so_few_wrong_ones_have_a_chance_of_one_in_twenty(wrong: int, answered: int) -> None:
    assert at_most(wrong, answered, upper_bound(wrong, answered)) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("wrong", "answered", "bound"), [(0, 59, 0.0495), (0, 149, 0.0199), (0, 299, 0.0100), (1, 10, 0.3942)]
)
def test_known_bounds(wrong: int, answered: int, bound: float) -> None:
    assert upper_bound(wrong, answered) == pytest.approx(bound, abs=5e-5)


@pytest.mark.parametrize(("wrong", "answered"), [(0, 0), (1, 1), (5, 5)])
def test_without_a_right_answer_nothing_is_promised(wrong: int, answered: int) -> None:
    assert upper_bound(wrong, answered) == 1


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(1, 10, 0.0025, 0.4450), (10, 100, 0.0490, 0.1762), (0, 10, 0, 0.3085), (10, 10, 0.6915, 1), (0, 0, 0, 1)],
)
def test_known_limits_of_a_share(count: int, total: int, low: float, high: float) -> None:
    assert interval(count, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("rate", "audits"), [(0.05, 59), (0.02, 149), (0.01, 299)])
def test_clean_audits_for_a_rate(rate: float, audits: int) -> None:
    assert clean_audits_for(rate) == audits
    assert upper_bound(0, audits) <= rate < upper_bound(0, audits - 1)


@pytest.mark.parametrize(
    ("wrong", "answered", "rate", "missing"),
    [(0, 0, 0.02, 149), (0, 149, 0.02, 0), (0, 148, 0.02, 1), (0, 60, 0.05, 0)],
)
def test_audits_that_are_still_missing(wrong: int, answered: int, rate: float, missing: int) -> None:
    assert audits_missing(wrong, answered, rate) == missing


def test_a_wrong_answer_makes_more_audits_necessary() -> None:
    missing = audits_missing(1, 149, 0.02)
    assert upper_bound(1, 149 + missing) <= 0.02 < upper_bound(1, 148 + missing)


def test_one_audit_less_certifies_nothing() -> None:
    assert certify([0.9] * 148, [True] * 148, max_wrong=0.02) is None
    certificate = certify([0.9] * 149, [True] * 149, max_wrong=0.02)
    assert certificate is not None
    assert (certificate.threshold, certificate.answered, certificate.wrong) == (0.9, 149, 0)
    assert certificate.bound <= 0.02


def test_the_lowest_cut_off_that_passes_is_chosen() -> None:
    confidences = [1 - n / 1000 for n in range(400)]
    certificate = certify(confidences, [n < 300 for n in range(400)], max_wrong=0.05)
    assert certificate is not None
    # As far as the wrong ones at the end may reach.
    kept = certificate.answered
    assert upper_bound(kept - 300, kept) <= 0.05 < upper_bound(kept + 1 - 300, kept + 1)


def test_the_first_failure_ends_the_test_even_if_it_would_pass_again() -> None:
    right = [True] * 58 + [False] + [True] * 2000
    assert certify([1 - n / 10_000 for n in range(len(right))], right, max_wrong=0.05) is None


def test_equal_confidences_stand_or_fall_together() -> None:
    right = [True] * 59 + [False] * 20
    confidences = [0.9] * 59 + [0.8] * 20
    certificate = certify(confidences, right, max_wrong=0.05)
    assert certificate is not None
    assert certificate.threshold == 0.9
    assert certify([0.9] * 79, right, max_wrong=0.05) is None


def test_the_order_of_the_sample_does_not_matter() -> None:
    pairs = [(n / 500, n > 100) for n in range(500)]
    shuffled = random.Random(1).sample(pairs, len(pairs))
    assert certify(*zip(*pairs, strict=True), max_wrong=0.05) == certify(*zip(*shuffled, strict=True), max_wrong=0.05)


def test_an_empty_sample_certifies_nothing() -> None:
    assert certify([], [], max_wrong=0.05) is None


def test_what_is_certified_keeps_the_rate_in_all_but_one_of_twenty_samples() -> None:
    rate, broken, certified = 0.1, 0, 0
    # An answer of confidence c is wrong with the probability (1 - c) / 2: above t, (1 - t) / 4 of them.
    draw = random.Random(20)
    for _ in range(300):
        confidences = [draw.random() for _ in range(400)]
        right = [draw.random() >= (1 - confidence) / 2 for confidence in confidences]
        certificate = certify(confidences, right, max_wrong=rate)
        certified += certificate is not None
        broken += certificate is not None and (1 - certificate.threshold) / 4 > rate
    assert certified > 150
    assert broken <= 0.05 * 300


def test_more_wrong_ones_raise_the_bound_and_more_answers_lower_it() -> None:
    assert all(low < high for low, high in pairwise(upper_bound(wrong, 100) for wrong in range(100)))
    assert all(high > low for high, low in pairwise(upper_bound(2, answered) for answered in range(3, 100)))
