"""Rows that a person typed into the table."""

from typing import Any

import pytest

from kb.rows import parse_row


@pytest.mark.parametrize(
    ("content", "metadata", "question", "answer"),
    [
        ("问:几点营业 答:九点", {}, "几点营业", "九点"),
        ("Q: Open when?\nA: At nine.", {}, "Open when?", "At nine."),
        ("几点营业\n九点", {}, "几点营业", "九点"),
        ("几点营业？九点到六点。", {}, "几点营业？", "九点到六点。"),
        ("本店九点营业。", {}, "", "本店九点营业。"),
        ("营业说明\n九点到六点。", {}, "", "营业说明\n九点到六点。"),
        ("几点营业\n九点", {"question": "几点营业"}, "几点营业", "九点"),
        ("九点", {"question": "几点营业"}, "几点营业", "九点"),
        ("几点营业", {"answer": "九点"}, "几点营业", "九点"),
        ("随便", {"question": "几点营业", "answer": "九点"}, "几点营业", "九点"),
        ("几点营业\n九点", {"question": 3, "headings": "x"}, "", "几点营业\n九点"),
    ],
)
def test_question_and_answer_are_found(content: str, metadata: dict[str, Any], question: str, answer: str) -> None:
    chunk = parse_row(content, metadata)
    assert (chunk.question, chunk.answer, chunk.content) == (question, answer, content)
    assert chunk.entry_id


def test_metadata_names_the_entry_and_category() -> None:
    chunk = parse_row("几点营业\n九点", {"entry_id": "e1", "category": "门店", "headings": ["甲"]})
    assert (chunk.entry_id, chunk.category, chunk.headings) == ("e1", "门店", ("甲",))


def test_an_answer_edited_in_an_imported_row_is_what_is_told() -> None:
    metadata = {"entry_id": "e1", "source": "a.md", "question": "几点营业", "category": "", "headings": []}
    assert parse_row("几点营业\n十点", metadata).answer == "十点"
    assert parse_row("十点", metadata).answer == "十点"
