"""Words in common, and the order of hits."""

from dataclasses import replace

import pytest

from kb.chunks import Chunk, Hit
from kb.lexical import asks_other, clean, core, negates
from kb.ranking import WORDING_BONUS, best_per_entry, rank
from kb.word_table import WordTable


def hit(
    entry_id: str,
    question: str,
    score: float,
    chunk_id: str = "",
    *,
    wording: float = 0.0,
    rerank_score: float | None = None,
) -> Hit:
    return Hit(
        chunk_id=chunk_id or question,
        entry_id=entry_id,
        content=question,
        question=question,
        answer="",
        score=score,
        wording=wording,
        rerank_score=rerank_score,
    )


def ordered(query: str, *pieces: Hit) -> list[str]:
    # In a base where everybody wants something, wanting tells little.
    questions = [*(piece.question for piece in pieces), "我想换货", "我想开票", "我想改地址", "我想催单"]
    words = WordTable([Chunk(content=text, question=text, answer="", entry_id=text, source="") for text in questions])
    shares = words.shared(query, range(len(pieces)))
    worded = [replace(piece, wording=shared) for piece, shared in zip(pieces, shares, strict=True)]
    return [found.entry_id for found in best_per_entry(worded, limit=5)]


def test_near_ties_go_to_the_words_in_common() -> None:
    pieces = hit("refund", "我想退款", 0.967), hit("return", "退货", 0.966)
    assert ordered("我想退货", *pieces)[0] == "return"
    assert best_per_entry(pieces, limit=5)[0].entry_id == "refund"


def test_the_score_stays_the_cosine() -> None:
    [found] = best_per_entry([hit("a", "甲", 0.9, wording=1)], limit=5)
    assert (found.score, rank(found)) == (0.9, 0.9 + WORDING_BONUS)


def test_words_do_not_beat_a_clear_lead() -> None:
    assert ordered("怎么退钱", hit("a", "钱怎么退给我", 0.98), hit("b", "怎么退钱", 0.94))[0] == "a"


def test_a_reranker_s_word_is_the_last() -> None:
    pieces = [hit("a", "甲", 0.99, wording=1, rerank_score=0.1), hit("b", "乙", 0.5, rerank_score=0.2)]
    assert [found.entry_id for found in best_per_entry(pieces, limit=5)] == ["b", "a"]


def test_an_entry_is_named_once_by_its_best_piece() -> None:
    pieces = [hit("a", "甲", 0.8), hit("b", "乙", 0.85), hit("a", "丙", 0.9)]
    assert [found.question for found in best_per_entry(pieces, limit=5)] == ["丙", "乙"]
    assert len(best_per_entry(pieces, limit=1)) == 1


def test_equal_pieces_keep_one_order() -> None:
    pieces = [hit("b", "甲", 0.8, "2"), hit("a", "甲", 0.8, "1")]
    assert best_per_entry(pieces, limit=5) == best_per_entry(pieces[::-1], limit=5)


@pytest.mark.parametrize(
    ("left", "right"),
    [("请问怎么退款?", "我想退款"), ("如何开发票", "可以开发票吗"), ("What is the price?", "price please")],
)
def test_polite_and_question_words_do_not_count(left: str, right: str) -> None:
    assert core(clean(left)) == core(clean(right)) != frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("能不能退", False),
        ("有没有货", False),
        ("不能退", True),
        ("I can't pay", True),
        ("退款", False),
        ("没收到货", True),
    ],
)
def test_negation_is_told_from_a_yes_no_question(text: str, expected: bool) -> None:
    assert negates(clean(text)) is expected


def test_asking_why_is_not_asking_how() -> None:
    assert asks_other("为什么退款", "怎么退款")
    assert not asks_other("如何退款", "怎么退款")
    assert not asks_other("退款", "怎么退款")
