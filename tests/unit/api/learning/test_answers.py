"""What a person told one customer becomes something that can be told to all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from api.learning.answers import MOST_WORDINGS, Answer, propose, without_courtesies
from api.learning.misses import Cluster, Miss, Wording

START = datetime(2026, 3, 2, tzinfo=UTC)


def miss(number: int, *lines: str) -> Miss:
    return Miss(
        id=number,
        lines=lines,
        user_id=f"wm{number}",
        asked_at=START + timedelta(hours=number),
        ticket_id=f"t{number}",
        outcome="answered",
    )


def cluster(*texts: str) -> Cluster:
    wordings = [Wording(text=text, bare=text, misses=(miss(number, text),)) for number, text in enumerate(texts)]
    vectors = [np.eye(max(len(texts), 2), dtype=np.float32)[number] for number in range(len(texts))]
    return Cluster(question=texts[0], wordings=tuple(wordings), vectors=tuple(vectors))


def answer(ticket_id: str, text: str, agent: str = "小王") -> Answer:
    return Answer(ticket_id=ticket_id, text=text, agent=agent)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("您好", ""),
        ("亲，您好，七天内可退。", "七天内可退。"),
        ("好的，我帮您查一下，稍等", ""),
        ("好的，可以刻字，三天出货", "可以刻字，三天出货"),
        ("可以刻字哦~ 祝您生活愉快！", "可以刻字哦"),
        ("在的\n支持货到付款\n谢谢", "支持货到付款"),
        ("Hello, thanks! We ship on Mondays.", "We ship on Mondays."),
        ("好的商品都有保修", "好的商品都有保修"),
        ("没有其他问题的话，三天内发货", "没有其他问题的话，三天内发货"),
    ],
)
def test_courtesies_go_and_the_rest_stays(said: str, kept: str) -> None:
    assert without_courtesies(said) == kept


def test_the_newest_answer_is_proposed_and_others_are_shown() -> None:
    made = cluster("能刻字吗", "可以刻字么")
    proposal = propose(
        made, made.misses, {"t0": answer("t0", "不可以刻字。", "小李"), "t1": answer("t1", "可以刻字。")}
    )
    assert proposal is not None
    assert (proposal.question, proposal.similar) == ("能刻字吗", ("可以刻字么",))
    assert (proposal.answer, proposal.other_answers) == ("可以刻字。", ("不可以刻字。",))
    assert (proposal.ticket_id, proposal.author) == ("t1", "小王")


def test_an_answer_given_twice_is_no_other_answer() -> None:
    made = cluster("能刻字吗", "可以刻字么")
    proposal = propose(made, made.misses, {"t0": answer("t0", "可以刻字"), "t1": answer("t1", "可以刻字。")})
    assert proposal is not None
    assert proposal.other_answers == ()


def test_where_nothing_was_said_nothing_is_proposed() -> None:
    made = cluster("能刻字吗")
    assert propose(made, made.misses, {"t0": answer("t0", "")}) is None
    assert propose(made, made.misses, {}) is None
    assert propose(made, [], {"t0": answer("t0", "可以")}) is None


def test_wordings_that_name_nobody_are_preferred() -> None:
    made = cluster("我是王先生，能刻字吗", "订单号 E20261122001 能刻字吗", "能刻字吗")
    proposal = propose(made, made.misses, {"t0": answer("t0", "可以。")})
    assert proposal is not None
    assert {proposal.question, *proposal.similar} == {"订单号 能刻字吗", "能刻字吗"}


def test_a_question_nobody_put_without_a_name_keeps_its_marks() -> None:
    made = cluster("王先生的包裹到了吗")
    proposal = propose(made, made.misses, {"t0": answer("t0", "到了。")})
    assert proposal is not None
    assert proposal.question == "〔姓名〕先生的包裹到了吗"
    made = cluster("13800138000")
    proposal = propose(made, made.misses, {"t0": answer("t0", "到了。")})
    assert proposal is not None
    assert proposal.question == "〔电话〕"


def test_of_many_wordings_a_few_are_proposed() -> None:
    made = cluster(*(f"能刻{name}字吗" for name in "甲乙丙丁戊己庚辛壬癸子丑"))
    proposal = propose(made, made.misses, {"t3": answer("t3", "可以。")})
    assert proposal is not None
    assert len(proposal.similar) == MOST_WORDINGS
    assert proposal.question == "能刻甲字吗"
