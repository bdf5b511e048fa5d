"""Search by words alone: what is found, how sure it may be, and what it does on the sample base."""

from __future__ import annotations

from importlib import resources

import pytest

from kb.chunks import Chunk, Grade, Hit
from kb.confidence import CalibratedGrader, SimilarityGrader, default_calibration
from kb.lexical_index import Snapshot, StoredChunk
from kb.readers import read_articles
from kb.splitter import split_markdown
from kb.word_table import WordTable

GRADER = CalibratedGrader(default_calibration(0.02))


@pytest.fixture(scope="module")
def sample() -> list[Chunk]:
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as path:
        return list(read_articles([path]).chunks)


@pytest.fixture(scope="module")
def table(sample: list[Chunk]) -> Snapshot:
    return table_of(sample)


def table_of(chunks: list[Chunk]) -> Snapshot:
    rows = [
        StoredChunk(row_id=f"row-{number}", metadata={"category": "x"}, chunk=chunk)
        for number, chunk in enumerate(chunks)
    ]
    return Snapshot(version="1", rows=rows, words=WordTable(chunks))


def small(text: str) -> Snapshot:
    return table_of(list(split_markdown(text, source="a.md")))


def hit(score: float, question: str, entry_id: str = "e") -> Hit:
    return Hit(
        chunk_id=entry_id,
        entry_id=entry_id,
        content=f"{question}\n答",
        question=question,
        answer="答",
        score=score,
        metadata={"leg": "lexical"},
    )


def graded(table: Snapshot, query: str) -> tuple[Grade, list[Hit]]:
    hits = table.search(query, limit=5)
    return GRADER.grade(query, hits), hits


def test_every_question_of_the_sample_is_answered_by_its_own_entry(table: Snapshot, sample: list[Chunk]) -> None:
    asked = [chunk for chunk in sample if chunk.question]
    assert len(asked) > 200
    for chunk in asked:
        grade, hits = graded(table, chunk.question)
        assert (hits[0].entry_id, grade.is_sure) == (chunk.entry_id, True), chunk.question


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ("如何退款", "如何退款?"),
        ("如何退款？？", "如何退款?"),
        ("运费谁承担", "运费谁承担?"),
        ("退款多久到账呢", "退款多久到账?"),
        ("钱怎么退给我啊", "钱怎么退给我"),
    ],
)
def test_a_nearly_exact_question_is_answered(table: Snapshot, query: str, question: str) -> None:
    grade, hits = graded(table, query)
    assert (hits[0].question, grade.is_sure) == (question, True)


@pytest.mark.parametrize(
    "query",
    [
        "退款",
        "发货",
        "如何不退款",
        "为什么不发货",
        "如何退款给别人",
        "如何退款到支付宝?",
        "退款可以不退运费吗",
        "今天天气怎么样",
        "你们可以在杯子上刻我的名字吗?",
        "能刻字吗",
        "🙂",
        "'; drop table knowledge_chunks; --",
    ],
)
def test_everything_else_goes_to_a_person(table: Snapshot, query: str) -> None:
    grade, _ = graded(table, query)
    assert not grade.is_sure


def test_hits_name_each_entry_once_best_first_with_their_leg(table: Snapshot) -> None:
    hits = table.search("怎么申请退款", limit=4)
    assert len(hits) == len({each.entry_id for each in hits}) == 4
    assert [each.score for each in hits] == sorted((each.score for each in hits), reverse=True)
    assert all(0 <= each.score <= 1 for each in hits)
    assert {each.metadata["leg"] for each in hits} == {"lexical"}
    assert {each.metadata["category"] for each in hits} == {"x"}


def test_words_of_the_answer_find_an_entry_too(table: Snapshot) -> None:
    assert any("信用卡" in each.answer for each in table.search("信用卡", limit=3))


@pytest.mark.parametrize("query", ["", "  ", "?!", "zzzz"])
def test_a_query_without_a_known_word_finds_nothing(table: Snapshot, query: str) -> None:
    assert table.search(query, limit=3) == []


def test_an_empty_base_finds_nothing() -> None:
    assert table_of([]).search("如何退款", limit=3) == []


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    table = small(
        "### 杯子怎么清洗?\n\n温水。\n\n### 杯子怎么退?\n\n七天。\n\n### 杯子怎么寄?\n\n快递。\n\n### 清洗剂?\n\n无。"
    )
    assert table.search("杯子 清洗", limit=1)[0].question == "杯子怎么清洗?"


def test_two_entries_worded_alike_are_for_a_person_to_tell_apart() -> None:
    table = table_of(
        [
            *split_markdown("### 如何退款?\n\n七天内。", source="a.md"),
            *split_markdown("### 如何退款?\n\n不退。", source="b.md"),
        ]
    )
    grade, hits = graded(table, "如何退款")
    assert len(hits) == 2
    assert not grade.is_sure


def test_a_passage_is_never_sent_for_its_words_alone() -> None:
    text = "我们在景德镇做了三十年的手工陶瓷杯子。"
    table = table_of([Chunk(content=text, question="", answer=text, entry_id="e", source="a.md")])
    grade, hits = graded(table, text)
    assert hits[0].score == 1
    assert not grade.is_sure


@pytest.mark.parametrize(("score", "is_sure"), [(0.929, False), (0.93, True), (0.931, True)])
def test_the_cut_off_for_words(score: float, is_sure: bool) -> None:
    grade = GRADER.grade("甲乙丙", [hit(score, "甲乙丙")])
    assert (grade.confidence, grade.is_sure) == (score, is_sure)


@pytest.mark.parametrize(("next_score", "is_sure"), [(0.95, False), (0.91, False), (0.89, True)])
def test_the_next_entry_must_be_behind(next_score: float, is_sure: bool) -> None:
    grade = GRADER.grade("甲乙丙", [hit(1, "甲乙丙"), hit(next_score, "甲乙丁", "f")])
    assert grade.is_sure is is_sure


@pytest.mark.parametrize("question", ["甲乙不丙", "甲乙丙多少钱"])
def test_the_opposite_or_another_matter_is_not_answered(question: str) -> None:
    query = "甲乙丙" if "不" in question else "甲乙丙在哪里"
    assert not GRADER.grade(query, [hit(0.99, question)]).is_sure


@pytest.mark.parametrize("rate", [0.0001, 0.02, 0.2])
def test_a_laxer_rate_gets_nothing_more_from_words(rate: float) -> None:
    grader = CalibratedGrader(default_calibration(rate))
    assert grader.grade("甲乙丙", [hit(0.93, "甲乙丙")]).threshold == 0.93


@pytest.mark.parametrize("grader", [GRADER, SimilarityGrader(threshold=0.5)])
def test_both_graders_read_words_as_words(grader: CalibratedGrader | SimilarityGrader) -> None:
    assert grader.grade("甲乙丙", [hit(0.94, "甲乙丙")]) == Grade(confidence=0.94, threshold=0.93)
    assert not grader.grade("甲乙丙", [hit(0.9, "甲乙丙")]).is_sure


def test_words_offer_nothing_to_choose_from() -> None:
    assert GRADER.grade("甲乙", [hit(0.9, "甲乙丙")]).decision == "escalate"
