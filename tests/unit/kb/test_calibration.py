"""Fitting the confidence: to nothing, to the base's own questions, to judged messages."""

import random
from collections.abc import Iterable

import pytest

from kb.bound import clean_audits_for
from kb.calibration import LEAST_OWN, expected_threshold, fit, settle
from kb.confidence import PASSAGE, QUESTION, Weights, default_calibration
from kb.evidence import Evidence
from kb.measuring import OWN_WEIGHT, Example

START = default_calibration(0.02, floor=0.9)


def example(close: float, *, is_right: bool, is_passage: bool = False, weight: float = 1.0) -> Example:
    found = Evidence(closeness=close, lead=0.5, wording=0.5, is_passage=is_passage)
    return Example(found=found, is_right=is_right, weight=weight)


def drawn(count: int, weights: Weights, *, seed: int = 1, weight: float = 1.0) -> list[Example]:
    """Examples whose truth follows the weights."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        found = Evidence(closeness=draw.random(), lead=draw.random(), wording=draw.random(), is_passage=False)
        odds = weights.log_odds(found)
        is_right = draw.random() < 1 / (1 + 2.718281828**-odds)
        made.append(Example(found=found, is_right=is_right, weight=weight))
    return made


def clean(count: int, close: float = 0.99) -> list[Example]:
    return [example(close, is_right=True) for _ in range(count)]


def wrong(count: int, close: float = 0.1) -> list[Example]:
    return [example(close, is_right=False) for _ in range(count)]


class TestFit:
    def test_without_examples_the_prior_stands(self) -> None:
        assert fit([], QUESTION) == QUESTION

    def test_little_data_changes_little_and_much_changes_much(self) -> None:
        truth = Weights(bias=-4, nearness=4, lead=1, wording=1)
        few, many = (fit(drawn(count, truth), QUESTION) for count in (5, 5000))
        assert abs(few.nearness - QUESTION.nearness) < 0.5
        assert (many.bias, many.nearness) == pytest.approx((truth.bias, truth.nearness), abs=0.6)

    def test_half_the_weight_is_half_the_data(self) -> None:
        truth = Weights(bias=-4, nearness=4)
        once = fit(drawn(200, truth, weight=1.0), QUESTION)
        twice = fit([*drawn(200, truth, weight=0.5), *drawn(200, truth, weight=0.5)], QUESTION)
        assert (twice.bias, twice.nearness) == pytest.approx((once.bias, once.nearness), abs=1e-3)

    def test_being_closer_never_speaks_against_an_answer(self) -> None:
        perverse = [example(close, is_right=close < 0.5) for close in (0.1, 0.2, 0.3, 0.7, 0.8, 0.9)] * 100
        fitted = fit(perverse, QUESTION)
        assert min(fitted.nearness, fitted.lead, fitted.wording) >= 0


class TestExpectedThreshold:
    def test_it_is_the_lowest_at_which_the_mean_keeps_the_rate(self) -> None:
        assert expected_threshold([0.99, 0.98, 0.971, 0.5], 0.02) == 0.971
        assert expected_threshold([0.99, 0.98, 0.96, 0.5], 0.02) == 0.98

    def test_where_none_is_high_enough_a_single_answer_must_keep_the_rate(self) -> None:
        assert expected_threshold([0.9, 0.5], 0.02) == 0.98
        assert expected_threshold([], 0.02) == 0.98

    def test_a_stricter_rate_asks_for_more(self) -> None:
        confidences = [1 - n / 100 for n in range(50)]
        found = [expected_threshold(confidences, rate) for rate in (0.2, 0.1, 0.05, 0.01)]
        assert found == sorted(found)


class TestSettle:
    def test_without_examples_the_default_stands(self) -> None:
        report = settle(START, [], [], max_wrong=0.02)
        assert report.calibration == START
        assert (report.examples, report.bound, report.coverage, report.is_certified) == (0, None, None, False)
        assert report.needed == 149

    @pytest.mark.parametrize(
        ("rights", "basis"),
        [(LEAST_OWN - 1, "default"), (LEAST_OWN, "own questions"), (LEAST_OWN + 1, "own questions")],
    )
    def test_own_questions_count_from_so_many_found_again_on(self, rights: int, basis: str) -> None:
        report = settle(START, [*clean(rights), *wrong(300)], [], max_wrong=0.02)
        assert report.calibration.basis == basis

    def test_own_questions_promise_nothing(self) -> None:
        report = settle(START, clean(500), [], max_wrong=0.02)
        assert (report.bound, report.is_certified, report.labels) == (None, False, 0)

    @pytest.mark.parametrize(("count", "is_certified"), [(148, False), (149, True), (150, True)])
    def test_a_certificate_needs_so_many_clean_labels(self, count: int, is_certified: bool) -> None:
        assert clean_audits_for(0.02) == 149
        report = settle(START, [], clean(count), max_wrong=0.02)
        assert report.is_certified is is_certified
        assert (report.calibration.basis, report.labels) == ("labels" if is_certified else "default", count)
        assert report.bound is not None
        assert (report.bound <= 0.02) is is_certified

    def test_a_certified_threshold_leaves_the_wrong_ones_out(self) -> None:
        report = settle(START, [], [*clean(200), *wrong(100)], max_wrong=0.02)
        assert (report.is_certified, report.answered, report.wrong, report.coverage) == (True, 200, 0, 1.0)

    def test_labels_that_certify_and_refute_nothing_change_nothing(self) -> None:
        report = settle(START, [], [*clean(60, 0.6), *wrong(1, 0.9)], max_wrong=0.02)
        assert report.calibration == START
        assert (report.labels, report.answered, report.wrong) == (61, 1, 1)

    @pytest.mark.parametrize(("count", "is_refuted"), [(1, False), (2, False), (3, True), (60, True)])
    def test_answers_judged_wrong_tighten_what_holds_without_them(self, count: int, is_refuted: bool) -> None:
        report = settle(START, [], [*clean(20), *wrong(count, 0.9)], max_wrong=0.02)
        assert (report.calibration != START) is is_refuted
        assert (report.wrong == 0) is is_refuted

    def test_a_stricter_rate_never_answers_more(self) -> None:
        judged = drawn(600, Weights(bias=-3, nearness=4))
        thresholds = [
            settle(START, [], judged, max_wrong=rate).calibration.threshold for rate in (0.2, 0.1, 0.05, 0.01)
        ]
        assert thresholds == sorted(thresholds)

    def test_passages_and_questions_are_fitted_apart(self) -> None:
        judged = [example(0.9, is_right=True, is_passage=True) for _ in range(160)]
        fitted = settle(START, [], judged, max_wrong=0.02).calibration
        assert fitted.question == QUESTION
        assert fitted.passage != PASSAGE

    def test_titled_passages_count_as_passages(self) -> None:
        titled = default_calibration(0.02, floor=0.9, is_titled_passages=True)
        fitted = settle(titled, [], clean(160), max_wrong=0.02).calibration
        assert fitted.question == QUESTION
        assert fitted.passage != PASSAGE

    def test_a_label_counts_more_than_an_own_question(self) -> None:
        own = [example(0.9, is_right=True, weight=OWN_WEIGHT) for _ in range(100)]
        judged = [example(0.9, is_right=False) for _ in range(100)]
        [(first, _), *_] = settle(START, own, judged, max_wrong=0.02).reliability
        assert first < 0.5

    def test_the_examples_come_back_with_the_labelled_ones_last(self) -> None:
        report = settle(START, clean(50), wrong(7), max_wrong=0.02)
        assert [right for _, right in report.reliability] == [True] * 50 + [False] * 7


def certified_and_broken(samples: Iterable[int]) -> tuple[int, int]:
    """Count how often a threshold was certified, and how often it then broke the rate on new messages."""
    truth = Weights(bias=-3, nearness=4)
    fresh = drawn(3000, truth, seed=10_000)
    certified = broken = 0
    for seed in samples:
        report = settle(START, [], drawn(250, truth, seed=seed), max_wrong=0.1)
        if report.is_certified:
            certified += 1
            fitted = report.calibration
            answered = [
                each.is_right
                for each in fresh
                if 1 / (1 + 2.718281828 ** -fitted.question.log_odds(each.found)) >= fitted.threshold
            ]
            broken += answered.count(False) > 0.1 * len(answered)
    return certified, broken


def test_what_is_certified_holds_on_new_messages_in_all_but_few_samples() -> None:
    certified, broken = certified_and_broken(range(40))
    assert certified > 20
    # Fitting and choosing on the same labels could cost some of the level.
    assert broken <= 0.1 * certified
