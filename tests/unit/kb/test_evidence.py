"""What a search result looks like from outside."""

import math
from itertools import pairwise

import pytest

from kb.chunks import Hit
from kb.evidence import IDENTICAL, LEAD, Evidence, closeness, evidence
from kb.ranking import WORDING_BONUS


def hit(score: float, entry_id: str = "a", *, question: str = "甲", wording: float = 0.0) -> Hit:
    return Hit(
        chunk_id=entry_id,
        entry_id=entry_id,
        content="甲\n乙",
        question=question,
        answer="乙",
        score=score,
        wording=wording,
    )


def found(close: float) -> Evidence:
    return Evidence(closeness=close, lead=0, wording=0, is_passage=False)


@pytest.mark.parametrize(
    ("score", "expected"), [(0.9, 0.0), (1.0, 1.0), (0.95, 0.5), (0.85, -0.5)], ids=["floor", "same", "half", "below"]
)
def test_closeness_lies_between_the_floor_and_the_same_text(score: float, expected: float) -> None:
    assert closeness(score, 0.9) == pytest.approx(expected)


def test_the_same_cosine_means_less_where_other_domains_come_nearer() -> None:
    assert closeness(0.95, 0.93) < closeness(0.95, 0.8)


def test_a_floor_of_one_is_no_division_by_zero() -> None:
    assert closeness(1.0, 1.0) == 0
    assert math.isfinite(evidence([hit(1.0)], floor=1.0).nearness)


def test_each_halving_of_the_room_adds_as_much_nearness() -> None:
    steps = [found(close).nearness for close in (0.0, 0.5, 0.75, 0.875)]
    assert [later - earlier for earlier, later in pairwise(steps)] == pytest.approx([math.log(2)] * 3)


@pytest.mark.parametrize("close", [-3.0, -0.001, 0.0])
def test_nearness_is_nothing_up_to_the_floor(close: float) -> None:
    assert found(close).nearness == 0


def test_the_noise_of_the_model_is_no_distance() -> None:
    almost = 1 - IDENTICAL
    assert found(almost - 0.001).nearness < found(almost).nearness == pytest.approx(found(1.0).nearness)


@pytest.mark.parametrize(("next_score", "lead"), [(0.9, 0.0), (0.875, 0.5), (0.85, 1.0), (0.5, 1.0), (0.95, 0.0)])
def test_the_lead_is_full_from_a_distance_on_and_never_negative(next_score: float, lead: float) -> None:
    assert evidence([hit(0.9), hit(next_score, "b")], floor=0.8).lead == pytest.approx(lead)


def test_an_entry_alone_leads_nobody() -> None:
    assert evidence([hit(0.9)], floor=0.8).lead == 0


def test_the_lead_counts_the_wording_as_the_ranking_does() -> None:
    first = hit(0.9, wording=1.0)
    assert evidence([first, hit(0.9, "b")], floor=0.8).lead == pytest.approx(WORDING_BONUS / LEAD)


def test_a_hit_without_a_question_is_a_passage() -> None:
    assert evidence([hit(0.9, question="")], floor=0.8).is_passage
    assert not evidence([hit(0.9)], floor=0.8).is_passage
