"""A proposed entry is compared with those there are, by plain rules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from api.learning.conflicts import differences, find_conflicts
from kb.chunks import Hit
from kb.lexical_index import LEG

FLOOR = 0.9


def hit(question: str, answer: str, score: float, **metadata: str) -> Hit:
    return Hit(
        chunk_id=f"c-{question}",
        entry_id=f"e-{question}",
        content=f"{question}\n{answer}",
        question=question,
        answer=answer,
        score=score,
        metadata=metadata,
    )


class Table:
    """Finds what it is told to."""

    def __init__(self, found: dict[str, Sequence[Hit]]) -> None:
        self._found = found

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        return list(self._found.get(query, ()))[:limit]


@pytest.mark.parametrize(
    ("answer", "other"),
    [
        ("七天内可退。", "15天内可退。"),
        ("满59元包邮。", "满99元包邮。"),
        ("3-5天到。", "3-7天到。"),
        ("营业到晚上9点。", "营业到18:00。"),
        ("周末不休息，周一休息。", "周日休息。"),
        ("可以开发票。", "不可以开发票。"),
        ("支持货到付款。", "暂不支持货到付款。"),
        ("无法修改地址。", "发货前可以修改地址。"),
        ("没有现货。", "有现货。"),
        ("You cannot return it.", "You can return it within a week."),
        ("打九折。", "打8折。"),
    ],
)
def test_answers_that_cannot_both_be_right_are_told_apart_either_way(answer: str, other: str) -> None:
    assert differences(answer, other)
    assert differences(other, answer)


@pytest.mark.parametrize(
    ("answer", "other"),
    [
        ("七天内可退。", "7 天内可以退货。"),
        ("满59包邮。", "满 59 元包邮。"),
        ("可以开发票。", "可以开电子发票，3天内发到邮箱。"),
        ("9折。", "打九折，会员再减5元。"),
        ("不支持货到付款。", "暂时不支持货到付款哦。"),
        ("能不能退要看商品是否完好。", "商品完好能退。"),
        ("联系客服。", "联系客服。"),
    ],
)
def test_the_same_in_other_words_or_with_more_is_no_difference(answer: str, other: str) -> None:
    assert differences(answer, other) == ()
    assert differences(other, answer) == ()


def test_what_differs_is_named() -> None:
    assert differences("七天内可退。", "15天内可退。") == ("7天 ≠ 15天",)


async def found(question: str, answer: str, hits: Sequence[Hit], **options: str) -> list[tuple[str, str]]:
    conflicts = await find_conflicts(Table({question: hits}), [question], answer, floor=FLOOR, **options)
    return [(conflict.kind, conflict.entry_id) for conflict in conflicts]


async def test_the_same_question_with_another_answer_is_a_contradiction() -> None:
    hits = [hit("退货期限多久", "15天内可退。", 0.985)]
    assert await found("退货期限是几天", "7天内可退。", hits) == [("contradiction", "e-退货期限多久")]


async def test_the_same_question_with_the_same_answer_is_a_duplicate() -> None:
    hits = [hit("退货期限多久", "七天内可退。", 0.985)]
    assert await found("退货期限是几天", "7天内可以退。", hits) == [("duplicate", "e-退货期限多久")]


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("满59元包邮吗", "满99元包邮吗"),
        ("可以退货吗", "不可以退货吗"),
        ("怎么退款", "退款多少钱"),
    ],
)
async def test_a_question_about_something_else_is_only_near(question: str, other: str) -> None:
    assert await found(question, "7天。", [hit(other, "15天。", 0.99)]) == [("near", f"e-{other}")]


@pytest.mark.parametrize(
    ("score", "kinds"), [(0.949, []), (0.951, ["near"]), (0.969, ["near"]), (0.971, ["duplicate"])]
)
async def test_closeness_decides_what_is_shown(score: float, kinds: list[str]) -> None:
    assert [kind for kind, _ in await found("能开发票吗", "可以。", [hit("可以开票吗", "可以。", score)])] == kinds


async def test_the_same_words_are_the_same_question_however_far() -> None:
    assert await found("能开发票吗？", "不可以。", [hit("能开发票吗", "可以。", 0.5)]) == [
        ("contradiction", "e-能开发票吗")
    ]


async def test_hits_found_by_words_alone_are_judged_by_their_score() -> None:
    assert await found("能开发票吗", "可以。", [hit("可以开票吗", "可以。", 0.4, leg=LEG)]) == []
    assert [kind for kind, _ in await found("能开发票吗", "可以。", [hit("可以开票吗", "可以。", 0.8, leg=LEG)])] == [
        "duplicate"
    ]


async def test_a_passage_is_never_the_same_question() -> None:
    assert await found("能开发票吗", "可以。", [hit("", "可以开发票。", 0.99)]) == [("near", "e-")]


async def test_contradictions_come_first_each_entry_once_and_the_own_one_never() -> None:
    table = Table(
        {
            "甲": [hit("一", "三天。", 0.96), hit("二", "两天。", 0.99), hit("三", "三天。", 0.999)],
            "乙": [hit("一", "三天。", 0.98), hit("二", "两天。", 0.98)],
        }
    )
    conflicts = await find_conflicts(table, ["甲", "乙"], "三天。", floor=FLOOR, own="e-三")
    assert [(conflict.kind, conflict.entry_id) for conflict in conflicts] == [
        ("contradiction", "e-二"),
        ("duplicate", "e-一"),
    ]
    assert conflicts[1].closeness == pytest.approx(0.8)
