"""The rules in force follow their file, and a broken edit changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prompts.errors import PromptError
from prompts.rule_book import RuleBook, read_rules, shipped_path
from prompts.rules import RuleFacts

ONE = "rules: [{name: 一, when: {keywords: 退款}, then: {}}]"
OTHER = "rules: [{name: 二, when: {keywords: 退款}, then: {}}]"


def write(path: Path, text: str, moment: int) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(moment, moment))


def name_of(book: RuleBook) -> str | None:
    rule = book.match(RuleFacts(text="退款"))
    return rule.name if rule else None


def test_an_edit_counts_at_once_and_a_broken_one_never(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rules.yaml"
    write(path, ONE, 1)
    book = RuleBook(path)
    assert name_of(book) == "一"
    write(path, OTHER, 2)
    assert name_of(book) == "二"
    write(path, "rules: [{name: 三, when: {}, then: {}}]", 3)
    assert name_of(book) == "二"
    assert name_of(book) == "二"
    assert book.problem.startswith("rules.yaml: rule '三': when: has no condition")
    assert [record.action for record in caplog.records if record.levelname == "ERROR"] == ["rules_broken"]
    write(path, ONE, 4)
    assert (name_of(book), book.problem) == ("一", "")


def test_a_file_that_vanishes_keeps_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    write(path, ONE, 1)
    book = RuleBook(path)
    path.unlink()
    assert name_of(book) == "一"
    assert "cannot be read" in book.problem


def test_the_shipped_rules_are_the_default_and_are_followed_too() -> None:
    book = RuleBook()
    assert [rule.name for rule in book.rules] == [rule.name for rule in read_rules(shipped_path())]
    assert name_of(book) is None


def test_a_missing_or_unreadable_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"cannot be read .* set KEFU_RULES_FILE"):
        RuleBook(tmp_path / "none.yaml")
    path = tmp_path / "rules.yaml"
    path.write_bytes("rules: [投诉电话]".encode("gbk"))
    with pytest.raises(PromptError, match="is not UTF-8"):
        RuleBook(path)
