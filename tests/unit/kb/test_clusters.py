"""Questions are put together when they ask the same, whatever their number and order."""

from __future__ import annotations

import numpy as np
import pytest

from kb import clusters
from kb.clusters import central, group, repeated, same_cosine, spread
from kb.vectors import Vector, unit


def at(degrees: float) -> Vector:
    """A direction in the plane."""
    angle = np.radians(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


NEAR = float(np.cos(np.radians(10)))


def test_nothing_is_nothing() -> None:
    assert group([], cosine=NEAR) == []
    assert repeated([], cosine=NEAR) == []
    assert spread([], most=3) == []


def test_close_ones_share_a_number_and_numbers_count_up_in_order_of_appearance() -> None:
    assert group([at(90), at(0), at(92), at(5), at(200)], cosine=NEAR) == [0, 1, 0, 1, 2]


def test_a_few_unrelated_ones_stay_alone() -> None:
    assert group([at(0), at(40), at(80)], cosine=NEAR) == [0, 1, 2]


def test_a_chain_of_close_pairs_is_no_single_question() -> None:
    labels = group([at(angle) for angle in range(0, 90, 8)], cosine=NEAR)
    assert len(set(labels)) > 2
    assert all(labels.count(label) <= 3 for label in set(labels))


def test_equal_vectors_are_one() -> None:
    assert group([at(30)] * 5, cosine=0.999999) == [0] * 5


def test_the_result_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    centres = random.normal(size=(12, 16))
    vectors = [unit((centres[i % 12] + random.normal(size=16) * 0.15).astype(np.float32)) for i in range(150)]
    whole = group(vectors, cosine=0.9), repeated(vectors, cosine=0.9)
    monkeypatch.setattr(clusters, "BLOCK", 7)
    assert (group(vectors, cosine=0.9), repeated(vectors, cosine=0.9)) == whole
    assert whole[0] == [i % 12 for i in range(150)]
    assert whole[1] == [False] * 12 + [True] * 138


def test_a_crowd_is_looked_at_more_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "LARGEST", 3)
    assert group([at(0), at(1), at(9), at(10)], cosine=NEAR) == [0, 0, 1, 1]
    assert group([at(0)] * 6, cosine=NEAR) == [0] * 6


def test_only_what_came_before_makes_a_repeat() -> None:
    assert repeated([at(0), at(90), at(3), at(200), at(91)], cosine=NEAR) == [False, False, True, False, True]


def test_the_central_one_is_closest_to_all() -> None:
    assert central([at(0), at(20), at(10)]) == 2


def test_wordings_are_chosen_as_different_as_possible() -> None:
    assert spread([at(0), at(1), at(2), at(60), at(-50)], most=3) == [2, 3, 4] or spread(
        [at(0), at(1), at(2), at(60), at(-50)], most=3
    ) == [2, 4, 3]
    assert sorted(spread([at(0), at(5)], most=9)) == [0, 1]


@pytest.mark.parametrize(("floor", "cosine"), [(0.92, 0.96), (0.5, 0.75), (0.0, 0.5)])
def test_the_cut_off_lies_between_the_floor_and_the_same_text(floor: float, cosine: float) -> None:
    assert same_cosine(floor) == pytest.approx(cosine)
