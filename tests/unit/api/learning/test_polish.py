"""A model may word a draft better; it may not add anything."""

from __future__ import annotations

import json

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from api.learning.drafts import Proposal
from api.learning.polish import ModelPolisher, checked

PROPOSAL = Proposal(
    question="刻字",
    similar=("能刻字吗",),
    answer="可以刻字，加收20元，三天出货，电话〔电话〕联系",
    ticket_id="t1",
    author="小王",
)


def reply(question: str = "可以刻字吗？", answer: str = "可以刻字，加收20元，三天出货。") -> str:
    return json.dumps({"question": question, "answer": answer}, ensure_ascii=False)


def test_a_better_wording_is_taken_over() -> None:
    polished = checked(PROPOSAL, f"好的：\n```json\n{reply()}\n```")
    assert polished is not None
    assert (polished.question, polished.answer) == ("可以刻字吗？", "可以刻字，加收20元，三天出货。")
    assert polished.similar == ("刻字", "能刻字吗")
    assert (polished.ticket_id, polished.author) == ("t1", "小王")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "不行",
        '{"question": "可以刻字吗"}',
        "[1]",
        reply(answer=""),
        reply(question="？"),
        reply(answer="可以刻字，加收30元，三天出货。"),
        reply(answer="不可以刻字，加收20元，三天出货。"),
        reply(answer="可以刻字，加收20元，三天出货，联系13800138000。"),
        reply(question="王先生可以刻字吗"),
        reply(question="〔姓名〕可以刻字吗"),
        reply(answer="可以刻字，加收20元，三天出货。" * 60),
    ],
)
def test_what_is_unusable_adds_something_or_names_somebody_is_dropped(text: str) -> None:
    assert checked(PROPOSAL, text) is None


async def test_the_model_gets_fenced_texts_and_its_wording_counts() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage(reply()), AIMessage("?")]))
    polisher = ModelPolisher(model, seconds=5)
    assert (await polisher.polish(PROPOSAL)).question == "可以刻字吗？"
    assert await polisher.polish(PROPOSAL) == PROPOSAL


async def test_a_model_that_fails_costs_nothing_but_the_wording() -> None:
    model = GenericFakeChatModel(messages=iter([TimeoutError()]))  # type: ignore[list-item]

    class Failing(GenericFakeChatModel):
        async def _agenerate(self, *args: object, **kwargs: object):
            raise TimeoutError

    assert await ModelPolisher(Failing(messages=model.messages), seconds=5).polish(PROPOSAL) == PROPOSAL
