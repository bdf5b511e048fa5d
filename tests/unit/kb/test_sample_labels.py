"""The labelled messages fit the sample knowledge base."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from kb.readers import read_articles

ROOT = Path(__file__).parents[3]
LABELS = ROOT / "tests" / "evals" / "sample" / "queries.jsonl"
ARTICLES = ROOT / "kb" / "documents" / "sample.md"

Message = dict[str, str | None]


def bare(text: str) -> str:
    """Return a text without width, case, blanks and punctuation; signs alone stay as they are."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"[\W_]", "", plain) or text


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def main_questions() -> list[str]:
    """The first question of each entry."""
    first: dict[str, str] = {}
    for chunk in read_articles([ARTICLES]).chunks:
        first.setdefault(chunk.entry_id, chunk.question)
    return list(first.values())


def test_every_message_is_written_once_and_says_something(messages: list[Message]) -> None:
    counts = Counter(bare(message["query"] or "") for message in messages)
    assert [query for query, count in counts.items() if count > 1 or not query] == []


def test_each_kind_has_its_fields(messages: list[Message]) -> None:
    fields = {
        "answerable": {"query", "gold_id", "kind", "wording"},
        "near": {"query", "gold_id", "kind", "of"},
        "ood": {"query", "gold_id", "kind"},
    }
    wrong = [
        message
        for message in messages
        if message.keys() != fields.get(message["kind"] or "")
        or (message["gold_id"] is None) == (message["kind"] == "answerable")
    ]
    assert wrong == []
    assert {message["wording"] for message in messages if message["kind"] == "answerable"} == {"close", "far"}


def test_every_label_is_the_question_of_exactly_one_entry(messages: list[Message], main_questions: list[str]) -> None:
    entries = Counter(main_questions)
    named = [message["gold_id"] for message in messages if message["kind"] == "answerable"]
    named += [message["of"] for message in messages if message["kind"] == "near"]
    assert [name for name in named if entries[name or ""] != 1] == []


def test_no_message_repeats_a_question_of_the_base(messages: list[Message]) -> None:
    known = {bare(chunk.question) for chunk in read_articles([ARTICLES]).chunks}
    assert [message["query"] for message in messages if bare(message["query"] or "") in known] == []


def test_there_are_enough_messages_of_each_kind_over_most_entries(
    messages: list[Message], main_questions: list[str]
) -> None:
    counts = Counter(message["kind"] for message in messages)
    assert len(messages) >= 360
    assert counts["answerable"] >= 200
    assert counts["near"] >= 120
    assert counts["ood"] >= 60
    assert 0.4 <= counts["answerable"] / len(messages) <= 0.7
    assert 0.2 <= counts["near"] / len(messages) <= 0.45
    assert len({message["gold_id"] for message in messages} - {None}) >= 0.85 * len(main_questions)
