"""The words of a base, counted anew only where they changed; one script and width for all."""

import pytest

from kb.chunks import Chunk
from kb.lexical import simplify
from kb.word_table import WordTable


def chunk(question: str, answer: str = "好的") -> Chunk:
    return Chunk(content=f"{question}\n{answer}", question=question, answer=answer, entry_id=question, source="")


CHUNKS = [chunk(text) for text in ("如何退款", "退款多久到账", "发票怎么开", "运费谁出", "可以退货吗")]
QUERIES = ("退款", "发票", "退款到账", "运费", "退货", "没有的词")


@pytest.mark.parametrize("kept", [[], [1], [0, 2, 4], [4, 3, 0], [0, 1, 2, 3, 4]])
def test_a_table_carried_on_is_the_table_counted_at_once(kept: list[int]) -> None:
    fresh = [chunk("能刻字吗"), chunk("退款到哪里")]
    carried = WordTable(fresh, earlier=WordTable(CHUNKS), kept=kept)
    whole = WordTable([*(CHUNKS[place] for place in kept), *fresh])
    assert set(carried.vocabulary) == set(whole.vocabulary)
    rows = len(kept) + len(fresh)
    for query in QUERIES:
        assert set(carried.best(query, limit=9)) == set(whole.best(query, limit=9))
        assert carried.shared(query, range(rows)) == pytest.approx(whole.shared(query, range(rows)))
        assert carried.alike(query, "退款到哪里") == pytest.approx(whole.alike(query, "退款到哪里"))


def test_the_table_carried_on_from_stays_as_it_was() -> None:
    earlier = WordTable(CHUNKS)
    before = [earlier.best(query, limit=3) for query in QUERIES]
    WordTable([chunk("能刻字吗")], earlier=earlier, kept=[0])
    assert [earlier.best(query, limit=3) for query in QUERIES] == before
    assert earlier.spelled("法票") == "发票"


def test_a_question_is_compared_from_both_sides_and_a_passage_from_one() -> None:
    passage = Chunk(content="如何退款\n三天到账", question="", answer="", entry_id="p", source="")
    short, long, told = WordTable([chunk("退款"), chunk("如何退款"), passage]).shared("退款", [0, 1, 2])
    assert short == pytest.approx(1)
    assert 0.5 < long < 1
    assert told == pytest.approx(1)


def test_what_shares_no_word_shares_nothing() -> None:
    words = WordTable(CHUNKS)
    assert words.shared("满减优惠", [0, 4]) == [0, 0]
    assert words.shared("?", [0]) == [0]
    assert words.shared("退款", []) == []


def test_the_answer_is_no_part_of_the_wording() -> None:
    assert WordTable([chunk("运费谁出", "退款时由商家出")]).shared("退款", [0]) == [0]


def test_words_that_went_are_known_no_more() -> None:
    carried = WordTable([], earlier=WordTable(CHUNKS), kept=[0, 1])
    assert carried.spelled("法票怎么开") == "法票怎么开"
    assert carried.best("发票", limit=3) == []


def test_frequent_words_are_passed_over_in_a_large_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.word_table._ENOUGH", 4)
    words = WordTable([*(chunk(f"退款{number}") for number in range(9)), chunk("退款发票")])
    assert words.best("退款发票", limit=1) == [9]


@pytest.mark.parametrize(
    ("typed", "meant"), [("退款要幾天", "退款要几天"), ("ＡＢＣ１２３", "ABC123"), ("優惠券，在嗎？", "优惠券,在吗?")]
)
def test_script_and_width_are_folded(typed: str, meant: str) -> None:
    assert simplify(typed) == meant


def test_a_question_in_traditional_characters_finds_its_entry() -> None:
    words = WordTable(CHUNKS)
    assert words.best("發票怎麼開", limit=1) == [2]
    assert words.alike("發票怎麼開", "发票怎么开") == 1
