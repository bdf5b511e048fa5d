"""Who looks on is told of every turn of a customer, and of the questions of that turn alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from graph.context import Context
from graph.conversation import Conversation
from graph.state import Question, Turn


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, list[tuple[str, str]]]] = []

    def decided(self, turn: Turn, questions: Sequence[Question]) -> None:
        asked = [(question["text"], question["decision"]) for question in questions]
        self.told.append((turn["id"], turn["intent"], asked))


@pytest.fixture
def recorder(bench) -> Recorder:
    made = Recorder()
    bench.conversation = Conversation(bench.graph, bench.outbox, Context(), observer=made)
    bench.knowledge.knows("如何退款", "七天内可退。")
    return made


async def test_a_question_is_told_with_its_decision(bench, recorder: Recorder) -> None:
    await bench.customer("如何退款")
    await bench.customer("能刻字吗")
    assert recorder.told == [
        ("turn1", "question", [("如何退款", "answer")]),
        ("turn2", "question", [("能刻字吗", "escalate")]),
    ]


async def test_a_turn_without_a_question_is_not_told_the_last_one_s(bench, recorder: Recorder) -> None:
    await bench.customer("如何退款")
    await bench.customer("谢谢")
    assert recorder.told[-1] == ("turn2", "small_talk", [])


async def test_a_repeated_turn_is_told_once(bench, recorder: Recorder) -> None:
    for _ in range(2):
        await bench.customer("如何退款", turn_id="t1")
    assert [turn_id for turn_id, _, _ in recorder.told] == ["t1"]


async def test_a_turn_that_broke_off_is_told_when_it_ends(bench, recorder: Recorder) -> None:
    bench.knowledge.is_down = True
    with pytest.raises(Exception, match=r".+"):
        await bench.customer("如何退款", turn_id="t1")
    assert recorder.told == []
    bench.knowledge.is_down = False
    await bench.customer("如何退款", turn_id="t1")
    assert [turn_id for turn_id, _, _ in recorder.told] == ["t1"]


async def test_what_people_say_is_not_told(bench, recorder: Recorder) -> None:
    await bench.conversation.person_spoke(bench.thread_id, "s1", "我来处理", speaker="staff")
    assert recorder.told == []
