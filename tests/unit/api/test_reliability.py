"""The picture of the confidence."""

from itertools import pairwise
from pathlib import Path

import pytest

from api.cli.calibration_words import calibration_lines
from api.errors import InputFileError
from api.reliability import BINS, LEAST_IN_BIN, equal_bins, plot, plotted
from kb.calibration import Report, settle
from kb.confidence import default_calibration
from kb.evidence import Evidence
from kb.measuring import Example

START = default_calibration(0.02)


def examples(count: int, *, is_right: bool = True) -> list[Example]:
    return [
        Example(found=Evidence(closeness=0.99, lead=0, wording=0, is_passage=False), is_right=is_right)
        for _ in range(count)
    ]


def report(own: int = 0, judged: int = 0, wrong: int = 0) -> Report:
    return settle(START, examples(own), [*examples(judged), *examples(wrong, is_right=False)], max_wrong=0.02)


def told(made: Report) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in calibration_lines(made)}


@pytest.mark.parametrize(
    ("count", "bins"),
    [(0, 0), (1, 1), (LEAST_IN_BIN * 2 - 1, 1), (LEAST_IN_BIN * 2, 2), (LEAST_IN_BIN * BINS, BINS), (5003, BINS)],
)
def test_bins_hold_about_as_many_examples_each(count: int, bins: int) -> None:
    made = equal_bins([(n / 5003, n % 3 == 0) for n in range(count)])
    assert len(made) == bins
    assert sum(each.count for each in made) == count
    assert not made or max(each.count for each in made) - min(each.count for each in made) <= 1
    assert all(low.confidence < high.confidence for low, high in pairwise(made))


def test_a_bin_knows_its_share_and_its_limits() -> None:
    [made] = equal_bins([(0.5, n < 8) for n in range(10)])
    assert (made.confidence, made.share) == (0.5, 0.8)
    assert made.limits == pytest.approx((0.4439, 0.9748), abs=1e-4)


def test_judged_messages_are_plotted_alone_where_there_are_some() -> None:
    assert len(plotted(report(own=50))) == 50
    assert len(plotted(report(own=50, judged=7))) == 7
    assert plotted(report()) == ()


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be written"):
        plot(report(own=50), tmp_path / "missing" / "r.png")


def test_nothing_is_promised_without_judged_messages() -> None:
    lines = told(report(own=100))
    assert lines["basis"].startswith("own questions")
    assert "nothing is promised" in lines["bound"]
    assert lines["missing"].startswith("149 more judged answers")
    assert "too little" not in lines


def test_too_little_data_is_said_in_words() -> None:
    lines = told(report(own=10))
    assert lines["basis"].startswith("default")
    assert "too little" in lines


def test_a_certificate_names_its_level_and_misses_nothing() -> None:
    lines = told(report(judged=149))
    assert lines["bound"].startswith("at most 2.0% wrong at 95% confidence")
    assert "missing" not in lines


def test_what_is_not_certified_is_called_so() -> None:
    assert told(report(judged=100))["bound"].startswith("not certified: 0 wrong of 100")
    assert told(report(wrong=60))["bound"] == "none: no judged message is above the threshold"
