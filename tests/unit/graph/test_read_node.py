"""What becomes of a question that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime

from graph.context import Context
from graph.judge import Judge
from graph.nodes.read import read
from graph.reader import Reading
from kb.chunks import Grade, Hit
from tools.model_usage import Usage

ANSWER = "签收后7天内可以申请退货。"


def hit(number: int, answer: str = ANSWER) -> dict[str, Any]:
    return asdict(
        Hit(
            chunk_id=f"c{number}",
            entry_id=f"e{number}",
            content=f"能退货吗\n{answer}",
            question="能退货吗",
            answer=answer,
            score=0.9,
        )
    )


def question(**changes: Any) -> Any:
    return {
        "text": "能退货吗",
        "queries": ["能退货吗"],
        "query": "能退货吗",
        "is_whole": False,
        "hits": [hit(1), hit(2, "寄回的运费由买家承担。")],
        "confidence": 0.4,
        "is_sure": False,
        "decision": "escalate",
        "wants_reading": True,
        "is_answered": False,
        **changes,
    }


PASSAGE = {"confidence": 0.95, "is_sure": True, "decision": "answer"}


class OneReader:
    """Says what it is told to; records what it was given."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.given: list[tuple[str, list[str], list[str], float]] = []

    async def read(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        history: Sequence[str] = (),
        beside: Mapping[str, str] | None = None,
        seconds: float,
    ) -> Reading:
        self.beside = dict(beside or {})
        self.given.append((question, [hit.chunk_id for hit in hits], list(history), seconds))
        return self.reading


class Opinions:
    """A grader that goes by the verdict; records what it graded."""

    def __init__(self, *, supported: float = 0.9, denied: float = 0.1, shortlist: float = 0.0) -> None:
        self.confidence = {True: supported, False: denied}
        self.shortlist = shortlist
        self.graded: list[tuple[str, list[str], bool | None]] = []

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        self.graded.append((query, [hit.chunk_id for hit in hits], is_supported))
        assert is_supported is not None
        return Grade(
            confidence=self.confidence[is_supported],
            threshold=0.8,
            shortlist=self.shortlist,
            shortlist_threshold=0.5,
        )


def yes(answer: str = ANSWER, *cited: str) -> Reading:
    return Reading(is_supported=True, answer=answer, cited=cited or ("c1",), usage=Usage(calls=1, input_tokens=9))


NO = Reading(is_supported=False)
NOTHING = Reading(is_supported=None, usage=Usage(calls=2))


async def after(
    reading: Reading, *questions: Any, grader: Opinions | None = None, context: Context | None = None
) -> tuple[Any, OneReader]:
    reader = OneReader(reading)
    state: Any = {
        "turn": {"id": "t1", "thread_id": "th", "speaker": "customer", "lines": []},
        "questions": list(questions) or [question()],
        "messages": [HumanMessage("羽绒服"), HumanMessage("能退货吗")],
    }
    runtime = Runtime(context=context or Context())
    parts: dict[str, Any] = {"grader": grader or Opinions(), "judge": Judge(), "profiles": None}
    return await read(state, runtime, reader=reader, **parts), reader


async def test_a_supported_answer_is_kept_with_its_sources() -> None:
    update, _ = await after(yes("亲，签收后七天内可以申请退货哦"))
    [read_question] = update["questions"]
    assert (read_question["reply"], read_question["cited"]) == ("亲，签收后七天内可以申请退货哦", ["c1"])
    assert (read_question["decision"], read_question["is_sure"], read_question["confidence"]) == ("answer", True, 0.9)


async def test_the_entry_the_answer_rests_on_is_the_one_graded() -> None:
    grader = Opinions()
    update, _ = await after(yes("寄回的运费由买家承担", "c2"), grader=grader)
    assert grader.graded == [("能退货吗", ["c2", "c1"], True)]
    assert [hit["chunk_id"] for hit in update["questions"][0]["hits"]] == ["c2", "c1"]


@pytest.mark.parametrize(("confidence", "is_said"), [(0.79, False), (0.8, True), (0.81, True)])
async def test_a_verdict_is_believed_as_far_as_the_grader_believes_it(confidence: float, is_said: bool) -> None:
    update, _ = await after(yes(), grader=Opinions(supported=confidence))
    [read_question] = update["questions"]
    assert (read_question["is_sure"], "reply" in read_question) == (is_said, is_said)


@pytest.mark.parametrize("before", [{}, PASSAGE])
@pytest.mark.parametrize(("shortlist", "decision"), [(0.49, "escalate"), (0.5, "clarify")])
async def test_a_denial_leaves_it_unsure(before: Any, shortlist: float, decision: str) -> None:
    update, _ = await after(NO, question(**before), grader=Opinions(shortlist=shortlist))
    [read_question] = update["questions"]
    assert (read_question["is_sure"], read_question["decision"]) == (False, decision)
    assert "reply" not in read_question


async def test_a_denial_wins_over_a_grader_that_does_not_listen() -> None:
    update, _ = await after(NO, question(**PASSAGE), grader=Opinions(denied=0.99))
    assert (update["questions"][0]["is_sure"], update["questions"][0]["decision"]) == (False, "escalate")


@pytest.mark.parametrize("before", [{}, PASSAGE])
@pytest.mark.parametrize(
    "lie",
    [
        yes("签收后30天内可以申请退货"),
        yes("签收后7天内可以申请退货，运费9元"),
        yes("可以的"),
        yes(ANSWER, "c9"),
        yes(ANSWER, "c1", "c9"),
        yes("You can return it within 7 days."),
        yes(ANSWER, "c2"),
        Reading(is_supported=True, answer=ANSWER),
    ],
)
async def test_an_answer_its_entries_do_not_back_is_a_denial(before: Any, lie: Reading) -> None:
    grader = Opinions()
    update, _ = await after(lie, question(**before), grader=grader)
    [read_question] = update["questions"]
    assert (read_question["is_sure"], read_question["decision"]) == (False, "escalate")
    assert "reply" not in read_question
    assert grader.graded == [("能退货吗", ["c1", "c2"], False)]


@pytest.mark.parametrize("before", [{}, PASSAGE])
async def test_without_a_verdict_nothing_changes(before: Any) -> None:
    asked = question(**before)
    update, _ = await after(NOTHING, asked)
    assert update["questions"] == [asked]


async def test_questions_that_want_no_reading_stay_as_they_are_and_where_they_are() -> None:
    settled = question(**PASSAGE, wants_reading=False, text="别的")
    old = {key: value for key, value in settled.items() if key != "wants_reading"}
    update, reader = await after(yes(), settled, question(), old)
    assert [len(reader.given), update["questions"][0], update["questions"][2]] == [1, settled, old]
    assert update["questions"][1]["reply"] == ANSWER


async def test_what_all_readings_cost_is_kept_with_the_turn() -> None:
    update, _ = await after(yes(), question(), question())
    assert update["turn"]["id"] == "t1"
    assert update["turn"]["usage"] == {"calls": 2, "input_tokens": 18, "output_tokens": 0, "cost": 0.0}


async def test_a_question_that_stands_alone_is_read_alone() -> None:
    _, reader = await after(yes(), context=Context(top_k=1, model_timeout_seconds=3))
    assert reader.given == [("能退货吗", ["c1"], [], 3)]


async def test_a_follow_up_is_read_with_the_last_lines() -> None:
    follow_up = question(queries=["能退货吗", "羽绒服能退货吗"], query="羽绒服能退货吗")
    grader = Opinions()
    _, reader = await after(yes(), follow_up, grader=grader, context=Context(history_lines=2))
    assert reader.given[0][2] == ["客户: 羽绒服", "客户: 能退货吗"]
    assert grader.graded[0][0] == "羽绒服能退货吗"


async def test_without_a_reader_nothing_happens() -> None:
    state: Any = {"turn": {"id": "t1"}, "questions": [question()]}
    parts: dict[str, Any] = {"grader": Opinions(), "judge": Judge(), "profiles": None}
    assert await read(state, Runtime(context=Context()), reader=None, **parts) == {}
