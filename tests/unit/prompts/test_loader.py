from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from prompts.errors import PromptError
from prompts.fence import fence
from prompts.loader import EXPECTED, check_all, load, names, read

Plant = Callable[[str, str, str], None]


@pytest.mark.parametrize("name", names())
def test_every_prompt_renders_with_what_the_code_gives_it(name: str) -> None:
    values = {field: f"value of {field}" for field in EXPECTED[name].allowed}
    text = load(name).render(**values)
    assert text
    for field in load(name).placeholders:
        assert f"value of {field}" in text
        assert f"{{{field}}}" not in text


def test_the_shipped_texts_have_no_problem() -> None:
    assert check_all() == []


def test_names_are_sorted_and_complete() -> None:
    assert names() == sorted(EXPECTED)
    assert {"greeting", "hold", "read"} <= set(names())


def test_hold_is_the_agreed_text() -> None:
    assert load("hold").render() == "⏳ 已为您转接人工客服,请稍候..."


def test_a_prompt_is_read_once() -> None:
    assert load("hold") is load("hold")


def test_the_version_follows_the_text(copied: Path, plant: Plant) -> None:
    before = read("hold", copied)
    assert before.version == hashlib.sha256(before.text.encode()).hexdigest()[:12]
    plant("hold.md", "稍候", "稍等")
    assert read("hold", copied).version != before.version


def test_values_are_inserted_as_they_are() -> None:
    hostile = "{text} {{x}} {0.__class__} %s \\1 {"
    text = load("desk_failure").render(turn_id=hostile, text="Q")
    assert hostile in text
    assert text.count("Q") == 1


def test_a_doubled_brace_is_a_brace(copied: Path, plant: Plant) -> None:
    plant("hold.md", "请稍候", "{{请稍候}}")
    assert "{请稍候}" in read("hold", copied).render()


def test_the_greeting_reads_well_with_and_without_a_name() -> None:
    assert load("greeting").render(customer_name="小禾").startswith("小禾您好！")
    assert load("greeting").render(customer_name="").startswith("您好！")
    assert load("greeting").render().startswith("您好！")
    assert "转人工" in load("greeting").render()


def test_an_optional_placeholder_may_be_dropped_from_the_text(copied: Path, plant: Plant) -> None:
    plant("greeting.md", "{customer_name}", "")
    assert check_all(copied) == []
    assert read("greeting", copied).render(customer_name="小禾").startswith("您好！")


def test_a_missing_value_is_named() -> None:
    with pytest.raises(PromptError, match="'unsupported': no value for kind"):
        load("unsupported").render()


def test_an_unknown_value_is_named() -> None:
    with pytest.raises(PromptError, match="'hold' has no placeholder name"):
        load("hold").render(name="小禾")


def test_an_unknown_prompt_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PromptError, match=r"no prompt 'gretting'; there are .*greeting"):
        load("gretting")


def test_the_reader_s_prompts_show_the_shape_of_a_verdict() -> None:
    shape = '{"is_answered": false, "cited": [], "answer": ""'
    assert shape + ', "mood": "中性", "told": []}' in load("read").render()
    assert "JSON" in load("read").render()
    assert "<<<DATA" in load("read").render()
    assert shape + "}" in load("read_repair").render(error=fence("error", "cited is empty"))


@pytest.mark.parametrize(
    ("file_name", "change", "problem"),
    [
        ("hold.md", ("稍候", "{customer}"), "hold.md: unknown placeholder customer; known: none"),
        ("greeting.md", ("{customer_name}", "{name}"), "greeting.md: unknown placeholder name; known: company, cust"),
        ("unsupported.md", ("{kind}", ""), "unsupported.md: placeholder kind is missing"),
        ("read_repair.md", ("{error}", "{error!r}"), "read_repair.md: {error} is not a plain placeholder"),
        ("read_repair.md", ("{error}", "{error:>9}"), "read_repair.md: {error} is not a plain placeholder"),
        ("read_repair.md", ("{error}", "{error.text}"), "read_repair.md: {error.text} is not a plain placeholder"),
        ("read_repair.md", ("{error}", "{}"), "read_repair.md: {} is not a plain placeholder"),
        ("read_repair.md", ("{error}", "{error"), "read_repair.md: unexpected '{' in field name; a literal"),
        ("hold.md", ("稍候", "{稍\n候}"), "hold.md: {稍 候} is not a plain placeholder"),
        ("hold.md", ("稍候", "稍}候"), "hold.md: Single '}' encountered"),
        ("hold.md", ("稍候", "稍候" * 400), "hold.md: is 2438 bytes long, at most 2048"),
        ("small_talk.yaml", ("kinds:", "kinds: ["), "small_talk.yaml: is not YAML"),
        ("small_talk.yaml", ("  off_topic:", "  off_topic:\n    phrases: [你好]"), "phrase '你好' is also in greeting"),
        ("small_talk.yaml", ("人工呢", "666"), "small_talk.yaml: human_request.phrases."),
        ("small_talk.yaml", ("- 哈+", "- (哈+"), "small_talk.yaml: kinds.ack.patterns: '(哈+"),
        ("small_talk.yaml", ("- 哈+", "- 哈*"), "matches an empty message"),
    ],
)
def test_a_planted_fault_is_reported(
    copied: Path, plant: Plant, file_name: str, change: tuple[str, str], problem: str
) -> None:
    assert check_all(copied) == []
    plant(file_name, *change)
    reported = check_all(copied)
    assert any(problem in line for line in reported), reported


def test_a_faulty_text_is_not_loaded(copied: Path, plant: Plant) -> None:
    plant("unsupported.md", "{kind}", "{sort}")
    with pytest.raises(PromptError, match=r"unknown placeholder sort; .*; unsupported.md: placeholder kind is missing"):
        read("unsupported", copied)


@pytest.mark.parametrize("name", ["read.md", "hold.md", "small_talk.yaml"])
def test_a_missing_file_is_reported(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert check_all(copied) == [f"{name}: missing; restore the file"]


def test_an_empty_text_is_reported(copied: Path) -> None:
    (copied / "hold.md").write_text(" \n", encoding="utf-8")
    assert check_all(copied) == ["hold.md: is empty; write the text"]


def test_a_file_in_another_encoding_is_reported(copied: Path) -> None:
    (copied / "hold.md").write_bytes("请稍候".encode("gbk"))
    assert check_all(copied) == ["hold.md: is not UTF-8; save it as UTF-8"]


def test_a_misnamed_file_is_reported(copied: Path) -> None:
    (copied / "hodl.md").write_text("x", encoding="utf-8")
    assert [line.partition(";")[0] for line in check_all(copied)] == ["hodl.md: no prompt has this name"]


def test_texts_for_customers_fit_one_message_even_though_the_models_text_need_not() -> None:
    for_models = {
        "conversation_summary", "describe_picture", "draft_entry", "handoff_summary", "read", "read_repair"
    }  # fmt: skip
    assert all(EXPECTED[name].max_bytes is None for name in for_models)
    # A friend's welcome goes by another call, which takes more.
    assert all((EXPECTED[name].max_bytes or 9999) <= 2048 for name in set(names()) - for_models - {"welcome"})
