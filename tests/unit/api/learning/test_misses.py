"""Misses are grouped by what they ask, ranked by customers, counted by week."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from api.learning.misses import Miss, cluster_misses, repeat_rates, wordings_of
from kb.vectors import Vector

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
TOPICS = "刻包发"


class TopicEmbedder:
    """Texts with the same first topic character are one question; others are far from everything."""

    model_id = "topics"

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed_questions(self, texts: Sequence[str]) -> list[Vector]:
        self.texts += texts
        return [self._vector(text) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        return await self.embed_questions(texts)

    async def aclose(self) -> None:
        """Hold nothing."""

    def _vector(self, text: str) -> Vector:
        place = next((i for i, topic in enumerate(TOPICS) if topic in text), len(TOPICS) + len(self.texts) % 20)
        return np.eye(40, dtype=np.float32)[place]


def miss(number: int, *lines: str, user: str = "", days: float = 0) -> Miss:
    return Miss(id=number, lines=lines, user_id=user, asked_at=START + timedelta(days=days))


def test_the_same_words_are_embedded_once() -> None:
    wordings = wordings_of([miss(1, "能刻字吗?"), miss(2, "能刻字吗"), miss(3, "包邮吗", "能刻字吗？")])
    assert [(wording.text, [m.id for m in wording.misses]) for wording in wordings] == [
        ("能刻字吗?", [1, 2, 3]),
        ("包邮吗", [3]),
    ]


def test_my_order_and_yours_are_one_question_and_a_bare_number_is_its_own() -> None:
    wordings = wordings_of(
        [miss(1, "订单 839274837261 到哪了"), miss(2, "订单 555512345678 到哪了"), miss(3, "13800138000")]
    )
    assert [(wording.bare, len(wording.misses)) for wording in wordings] == [("订单 到哪了", 2), ("13800138000", 1)]


async def test_what_cost_most_customers_comes_first() -> None:
    misses = [
        miss(1, "包邮吗", user="a"),
        miss(2, "可以包邮吗", user="a"),
        miss(3, "能包邮么", user="a"),
        miss(4, "能刻字吗", user="b"),
        miss(5, "刻字", user="c"),
    ]
    found = await cluster_misses(misses, TopicEmbedder(), floor=0.9)
    assert [(made.question, made.customers, len(made.misses)) for made in found] == [
        ("能刻字吗", 2, 2),
        ("包邮吗", 1, 3),
    ]


async def test_customers_nobody_knows_any_more_count_one_each() -> None:
    misses = [miss(1, "包邮吗"), miss(2, "包邮吗"), miss(3, "包邮吗", user="a"), miss(4, "包邮吗", user="a")]
    [made] = await cluster_misses(misses, TopicEmbedder(), floor=0.9)
    assert made.customers == 3


async def test_a_burst_of_two_questions_counts_for_both() -> None:
    found = await cluster_misses([miss(1, "包邮吗", "能刻字吗", user="a")], TopicEmbedder(), floor=0.9)
    assert sorted((made.question, made.customers) for made in found) == [("包邮吗", 1), ("能刻字吗", 1)]


async def test_progress_is_told() -> None:
    steps: list[tuple[int, int]] = []
    misses = [miss(n, f"包{n}邮") for n in range(70)]
    await cluster_misses(misses, TopicEmbedder(), floor=0.9, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(64, 70), (70, 70)]


async def test_each_week_tells_how_many_had_been_asked_before() -> None:
    misses = [
        miss(1, "能刻字吗"),
        miss(2, "包邮吗", "能刻字吗", days=1),
        miss(3, "刻字行吗", days=2),
        miss(4, "能刻字吗", days=7),
        miss(5, "发什么快递", days=8),
        miss(6, "包邮吗", days=9),
        miss(7, "发顺丰吗", days=21),
    ]
    weeks = await repeat_rates(misses, TopicEmbedder(), floor=0.9)
    assert [(week.monday, week.misses, week.repeats) for week in weeks] == [
        (date(2026, 3, 2), 3, 1),
        (date(2026, 3, 9), 3, 2),
        (date(2026, 3, 23), 1, 1),
    ]
    assert weeks[1].rate == 2 / 3


async def test_without_misses_there_is_nothing_to_tell() -> None:
    assert await repeat_rates([], TopicEmbedder(), floor=0.9) == []
    assert await cluster_misses([], TopicEmbedder(), floor=0.9) == []
