"""Where a question goes: edges as pure functions, and what grading prepares for them."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.runtime import Runtime

from graph import edges
from graph.context import Context
from graph.judge import Judge
from graph.nodes.answer import answer
from graph.nodes.grade_confidence import READ_FLOOR, grade_confidence
from kb.chunks import Grade
from tools.memory import MemoryOutbox

HIT = {"chunk_id": "c1", "entry_id": "e1", "content": "问\n答", "question": "问", "answer": "答", "score": 0.9}
PASSAGE = {**HIT, "question": ""}


def question(decision: str | None = None, **facts: Any) -> dict[str, Any]:
    return {"text": "问", "hits": [HIT], **({"decision": decision} if decision else {}), **facts}


def state(*questions: dict[str, Any], intent: str = "question") -> Any:
    return {"turn": {"id": "t1", "thread_id": "x", "intent": intent}, "questions": list(questions)}


@pytest.mark.parametrize(
    ("intent", "node"),
    [
        ("question", "retrieve"),
        ("chosen", "answer"),
        ("none_of_these", "escalate"),
        ("human", "escalate"),
        ("failure", "escalate"),
        ("rate_limited", "escalate"),
        ("small_talk", "small_talk"),
        ("unsupported", "small_talk"),
        ("relay", "relay"),
        ("listen", "__end__"),
    ],
)
def test_each_intent_has_its_node(intent, node):
    assert edges.route_after_intake(state(intent=intent)) == node


@pytest.mark.parametrize(
    ("questions", "node"),
    [
        ([question("answer"), question("escalate", wants_reading=True)], "read"),
        ([question("escalate"), question("answer", wants_reading=False)], "answer"),
        ([question("clarify")], "clarify"),
        ([question("clarify"), question("clarify")], "escalate"),
        ([question("clarify"), question("escalate")], "escalate"),
        ([question("clarify", origin="早先的问题")], "escalate"),
        ([question("clarify", hits=[PASSAGE])], "escalate"),
        ([question("clarify", hits=[PASSAGE, PASSAGE, PASSAGE, HIT])], "escalate"),
        ([question("escalate")], "escalate"),
        ([question(is_sure=True)], "answer"),
        ([question(is_sure=False)], "escalate"),
    ],
)
def test_after_grading(questions, node):
    assert edges.route_after_grade_confidence(state(*questions)) == node


def test_after_reading_nothing_is_read_again():
    assert edges.route_after_read(state(question("clarify", wants_reading=True))) == "clarify"


@pytest.mark.parametrize(
    ("left", "node"),
    [
        ([], "__end__"),
        ([question("clarify")], "clarify"),
        ([question("clarify"), question("escalate")], "escalate"),
        ([question("escalate")], "escalate"),
    ],
)
def test_after_answering(left, node):
    assert edges.route_after_answer(state(question("answer", is_answered=True), *left)) == node


class Fixed:
    """Gives every search the same grade."""

    def __init__(self, **facts: float) -> None:
        self.given = Grade(**{"confidence": 0.0, "threshold": 0.8, "shortlist_threshold": 0.6} | facts)

    def grade(self, *_: Any, is_supported: bool | None = None) -> Grade:
        return self.given


async def graded(grader: Fixed, *hits: dict[str, Any], can_read: bool = True, **facts: Any) -> Any:
    asked = {"text": "问", "queries": ["问"], "is_whole": False, "found": [list(hits)], **facts}
    update = await grade_confidence(
        state(asked), Runtime(context=Context()), grader=grader, judge=Judge(), can_read=can_read
    )
    [one] = update["questions"]
    return one


@pytest.mark.parametrize(
    ("facts", "hits", "is_wanted"),
    [
        ({"confidence": READ_FLOOR - 0.01}, [HIT], False),
        ({"confidence": READ_FLOOR}, [HIT], True),
        ({"shortlist": READ_FLOOR - 0.01}, [HIT], False),
        ({"shortlist": READ_FLOOR}, [HIT], True),
        ({"shortlist": 0.7}, [HIT], True),
        ({"confidence": 0.5}, [], False),
        ({"confidence": 0.8}, [HIT], False),
        ({"confidence": 0.8}, [PASSAGE], True),
    ],
)
async def test_a_reader_looks_where_it_may_decide(facts, hits, is_wanted):
    assert (await graded(Fixed(**facts), *hits))["wants_reading"] is is_wanted
    assert (await graded(Fixed(**facts), *hits, can_read=False))["wants_reading"] is False


async def test_the_grade_is_kept_with_its_query_and_decision():
    one = await graded(Fixed(confidence=0.3, shortlist=0.7), HIT)
    assert (one["query"], one["confidence"], one["is_sure"], one["decision"]) == ("问", 0.3, False, "clarify")


async def test_an_entry_that_was_clicked_needs_no_grade_and_no_reader():
    other = {**HIT, "entry_id": "e2", "chunk_id": "c2"}
    one = await graded(Fixed(confidence=0.3), HIT, other, wanted="e2")
    assert (one["decision"], one["wants_reading"], [hit["entry_id"] for hit in one["hits"]]) == (
        "answer",
        False,
        ["e2"],
    )


async def test_what_a_reader_wrote_is_said_with_what_it_cites():
    outbox = MemoryOutbox()
    read = question("answer", reply="读后的回答", cited=["c7", "c8"])
    update = await answer(
        state(read, question("answer"), question("escalate")), Runtime(context=Context()), outbox=outbox
    )
    [said] = outbox.said.values()
    assert (said.text, said.sources) == ("读后的回答\n\n答", ("c7", "c8", "c1"))
    assert [one["is_answered"] for one in update["questions"]] == [True, True, False]
    assert update["messages"][0].additional_kwargs == {"sources": ["c7", "c8", "c1"]}
