"""What people are greeted with, by account and source, and what `kefu prompts` says about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import prompts as cli
from prompts import welcomes
from prompts.loader import load
from prompts.welcomes import FILE, around_examples, check_welcomes, welcome_prompt


@pytest.fixture
def texts(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of other texts, in force."""
    monkeypatch.setattr(welcomes, "files", lambda _: copied)
    welcomes._shipped.cache_clear()
    yield copied / FILE
    welcomes._shipped.cache_clear()


SHOPS = """
greeting:
  accounts: {wk1: "旗舰店您好！{customer_name}"}
  sources: {官网: "感谢从{source}来！"}
welcome:
  sources: {门店: "很高兴在门店认识您，我是{staff}"}
"""


def test_a_source_wins_over_an_account_and_both_over_the_default(texts: Path) -> None:
    texts.write_text(SHOPS, encoding="utf-8")
    assert welcome_prompt("greeting", account="wk1").render(customer_name="小禾") == "旗舰店您好！小禾"
    assert welcome_prompt("greeting", account="wk1", source="官网").render(source="官网") == "感谢从官网来！"
    assert welcome_prompt("greeting", account="wk1", source="首页", scene="官网").text == "感谢从{source}来！"
    assert welcome_prompt("greeting", account="wk2", source="别处") is load("greeting")
    assert welcome_prompt("welcome", source="门店").render(staff="张三").endswith("我是张三")
    assert welcome_prompt("welcome", source="官网") is load("welcome")
    assert check_welcomes(texts.parent) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("greeting: {sources: {官网: '您好{staff}'}}", "greeting › sources › 官网: unknown placeholder staff; known: "),
        ("greeting: {accounts: {wk1: ''}}", "greeting › accounts › wk1: is empty"),
        (f"greeting: {{sources: {{a: {'好' * 700}}}}}", "greeting › sources › a: is 2100 bytes long, at most 2048"),
        (f"welcome: {{sources: {{a: {'好' * 1400}}}}}", "welcome › sources › a: is 4200 bytes long, at most 4000"),
        ("welcome: {sources: {a: '您好{x!r}'}}", "welcome › sources › a: {x} is not a plain placeholder"),
        ("welcome: {accounts: {a: b}}", "welcome: should hold only sources"),
        ("greeting: {sources: [a]}", "greeting › sources: should be texts by name"),
        ("hello: {}", "hello: no such part"),
        ("greeting: [", "is not YAML in line"),
        ("just words", "should have the parts greeting, welcome"),
    ],
)
def test_each_fault_is_one_line_and_costs_nobody_their_greeting(texts: Path, text: str, problem: str) -> None:
    texts.write_text(text, encoding="utf-8")
    (line,) = check_welcomes(texts.parent)
    assert line.startswith(FILE)
    assert problem in line
    assert "\n" not in line
    assert welcome_prompt("greeting", account="wk1", source="官网") is load("greeting")


def test_a_long_welcome_fits_where_a_long_greeting_does_not(texts: Path) -> None:
    texts.write_text(f"welcome: {{sources: {{a: {'好' * 1300}}}}}", encoding="utf-8")
    assert check_welcomes(texts.parent) == []


def test_an_empty_or_missing_file_is_fine(texts: Path) -> None:
    texts.write_text("", encoding="utf-8")
    assert check_welcomes(texts.parent) == []
    texts.unlink()
    assert check_welcomes(texts.parent) == []
    assert welcome_prompt("greeting", source="官网") is load("greeting")


def test_a_file_that_is_not_utf_8_is_told(texts: Path) -> None:
    texts.write_bytes("官网".encode("gbk"))
    assert check_welcomes(texts.parent) == [f"{FILE}: is not UTF-8; save it as UTF-8"]


def test_the_shipped_texts_read_well_without_any_value() -> None:
    assert load("welcome").render().startswith("您好！")
    assert "我是客服，" in load("welcome").render()
    assert "我是小店客服，" in load("welcome").render(company="小店")
    assert "欢迎光临，我是" in load("greeting").render()


@pytest.mark.parametrize(
    ("text", "head", "tail"),
    [
        ("您好\n· 甲\n· 乙\n再见", "您好", "再见"),
        ("您好\n· 甲", "您好", ""),
        ("您好\n再见", "您好\n再见", ""),
        ("· 甲\n您好", "", "您好"),
    ],
)
def test_a_greeting_is_cut_around_its_examples(text: str, head: str, tail: str) -> None:
    assert around_examples(text) == (head, tail)


def test_check_and_preview_know_the_texts(texts: Path) -> None:
    texts.write_text(SHOPS, encoding="utf-8")
    run = CliRunner()
    assert run.invoke(cli.app, ["preview", "greeting", "--source", "官网"]).stdout == "感谢从〔source〕来！\n"
    assert run.invoke(cli.app, ["preview", "greeting", "--account", "wk1"]).stdout.startswith("旗舰店您好！")
    assert "〔company〕客服" in run.invoke(cli.app, ["preview", "welcome"]).stdout
    assert "⏳" in run.invoke(cli.app, ["preview", "hold"]).stdout
    assert run.invoke(cli.app, ["preview", "hold", "--source", "官网"]).exit_code == 2
    assert run.invoke(cli.app, ["check"]).exit_code == 0
    texts.write_text("hello: {}", encoding="utf-8")
    failed = run.invoke(cli.app, ["check"])
    assert failed.exit_code == 1
    assert failed.stdout.startswith(f"{FILE}: hello: no such part")
