"""Slips of the pen against the words of a base."""

from importlib import resources

import pytest

from kb.chunks import Chunk
from kb.readers import read_articles
from kb.word_table import WordTable

ENGLISH = ("How do I cancel my order?", "When is my order delivered?", "Is the protein product available?")


@pytest.fixture(scope="module")
def shop() -> WordTable:
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        return WordTable(read_articles([sample]).chunks)


def table_of(*questions: str) -> WordTable:
    return WordTable([Chunk(content=text, question=text, answer="", entry_id=text, source="") for text in questions])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("退宽在哪里点啊", "退款在哪里点啊"),
        ("法票怎么开", "发票怎么开"),
        ("哪里能领到优惠卷", "哪里能领到优惠券"),
        ("可以刷信用咔不", "可以刷信用卡不"),
        ("给我开个fapiao", "给我开个发票"),
        ("怎么tuihuo啊", "怎么退货啊"),
        ("我要tui kuan", "我要退款"),
        ("tui kuan", "退款"),
        ("tuikuan", "退款"),
        ("Zenme TuiKuan", "怎么退款"),
        ("zenmetuikuan", "怎么退款"),
        ("shui号写错了", "税号写错了"),
        ("jifen咋攒得快", "积分咋攒得快"),
    ],
)
def test_what_sounds_like_a_word_of_the_base_becomes_it(shop: WordTable, typed: str, meant: str) -> None:
    assert shop.spelled(typed) == meant


@pytest.mark.parametrize(
    "text",
    [
        "如何退款?",
        "买十件有优惠吗",  # sounds like 时间
        "这双鞋我要大一号",
        "我想在 app 里看 vip 价格",
        "公园在哪里",
        "感冒要吃什么",
        "how can women return shoes",
        "what is a pin",
        "12345",
        "😀😀",
        "",
    ],
)
def test_what_may_be_meant_as_it_stands_is_left(shop: WordTable, text: str) -> None:
    assert shop.spelled(text) == text


def test_every_question_of_the_base_is_left(shop: WordTable) -> None:
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        questions = [chunk.question for chunk in read_articles([sample]).chunks if chunk.question]
    assert [text for text in questions if shop.spelled(text) != text] == []


def test_of_two_words_with_one_sound_the_more_frequent_is_meant() -> None:
    assert table_of("退款流程", "退款多久", "褪宽说明").spelled("tuikuan") == "退款"


def test_between_two_words_as_frequent_nobody_can_tell() -> None:
    assert table_of("公式是什么", "攻势是什么").spelled("gongshi") == "gongshi"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Please cacel my ordre", "Please cancel my order"),
        ("is the protien availanle", "is the protein available"),
        ("dilivered when", "delivered when"),
    ],
)
def test_an_english_word_one_slip_away_is_mended(typed: str, meant: str) -> None:
    assert table_of(*ENGLISH).spelled(typed) == meant


@pytest.mark.parametrize("text", ["orders", "the world is wide", "cancels", "border", "odr", "iPhone prodct"])
def test_other_english_words_are_left(text: str) -> None:
    words = table_of(*ENGLISH)
    assert words.spelled(text) == text.replace("prodct", "product")


def test_a_word_near_two_others_is_left() -> None:
    assert table_of("shipping costs", "shopping cart").spelled("shpping") == "shpping"


def test_an_empty_base_corrects_nothing() -> None:
    assert table_of().spelled("退宽 tuikuan cacel") == "退宽 tuikuan cacel"
