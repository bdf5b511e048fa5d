"""`kefu rules`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from prompts.errors import PromptError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["rules", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_shipped_rules_are_fine(clean_environment: Path) -> None:
    assert "rules are fine" in run("check")


def test_a_faulty_file_is_one_line(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clean_environment / "own.yaml"
    path.write_text("rules: [{name: 甲, when: {}, then: {}}]", encoding="utf-8")
    monkeypatch.setenv("KEFU_RULES_FILE", str(path))
    with pytest.raises(PromptError, match=r"own\.yaml: rule '甲': when: has no condition"):
        run("check")


def test_a_pattern_that_can_never_fit_is_one_line(clean_environment: Path) -> None:
    path = clean_environment / "own.yaml"
    path.write_text("rules: [{name: 甲, when: {patterns: 不退款，我就*投诉}, then: {}}]", encoding="utf-8")
    with pytest.raises(PromptError, match=r"own\.yaml: rule '甲': when: patterns: .* never fits") as caught:
        run("check", "--file", str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["我要投诉你们"], ["情绪 负面", "投诉", "keywords: 投诉", "then a person gets it (priority high, hold_rule)"]),
        (["怎么投诉"], ["询问投诉渠道", "patterns: 怎么投诉", "an exception"]),
        (["如何退款"], ["情绪 中性", "no rule fits"]),
        (["6000元的冰箱没收到"], ["金额 6000 元", "大额", "amount: 6000"]),
        (["好的", "--mood", "负面", "--turns", "2"], ["连续两轮不满", "mood: negative, 2 in a row"]),
        (["好的", "--repeats", "3"], ["同一问题问了三遍"]),
    ],
)
def test_it_says_which_rule_fits_and_why(clean_environment: Path, arguments: list[str], lines: list[str]) -> None:
    output = run("test", *arguments)
    assert [line for line in lines if line not in output] == []


def test_every_fact_can_be_given(clean_environment: Path) -> None:
    path = clean_environment / "own.yaml"
    path.write_text(
        "rules: [{name: 甲, when: {vip: true, sources: s, accounts: k, low_confidence_turns: 1, office_hours: closed},"
        " then: {channel: wecom}}]",
        encoding="utf-8",
    )
    output = run(
        "test", "好", "--tag", "VIP", "--source", "s", "--account", "k", "--confidence", "low", "--closed",
        "--file", str(path),
    )  # fmt: skip
    assert "desk wecom" in output
    assert "low_confidence_turns: 1" in output


@pytest.mark.parametrize("arguments", [["--mood", "坏"], ["--confidence", "maybe"]])
def test_what_is_no_mood_and_no_confidence_is_refused(clean_environment: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["rules", "test", "好", *arguments])
    assert result.exit_code == 2
