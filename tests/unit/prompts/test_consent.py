"""Whole messages that refuse campaigns or want them again."""

from __future__ import annotations

import pytest

from prompts.consent import check, consent_in, read_phrases, tells_how_to_refuse
from prompts.errors import PromptError


@pytest.mark.parametrize("text", ["退订", "ＴＤ", " 退 订 !", "「退订」", "Unsubscribe", "不要再发了～"])
def test_spelling_does_not_matter(text):
    said = consent_in(text)
    assert said is not None
    assert said[0] == "out"


@pytest.mark.parametrize("text", ["", "！", "怎么退订", "我想退订会员服务", "订阅多少钱", "tdk", "不要再发货了"])
def test_what_says_anything_beside_is_no_refusal(text):
    assert consent_in(text) is None


def test_wanting_them_again_is_the_other_direction():
    assert consent_in("订阅。") == ("in", "订阅")


def test_a_text_that_says_how_to_refuse_is_known():
    assert tells_how_to_refuse("全场八折，回复“退订”不再接收")
    assert tells_how_to_refuse("全场八折，退订请回复 TD")
    assert tells_how_to_refuse("全场八折，回TD退订")


@pytest.mark.parametrize(
    "text",
    [
        "全场八折，抵用券 std 一张",
        "不满意可当面拒收",
        "怕打扰就说不要发了",
        "全场八折，拒收请回复R",
        "全场八折，退订回T",
        "全场八折，回复TDX领券",
    ],
)
def test_a_text_that_names_no_reply_we_understand_says_not_how_to_refuse(text):
    assert not tells_how_to_refuse(text)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("[", "is not YAML"),
        ("out: [退订]", "exactly two lists"),
        ("out: [退订]\nin: []", "in: should be a list"),
        ("out: ['！']\nin: [订阅]", "out: should be a list"),
        ("out: [退订]\nin: [退订]", "both lists"),
    ],
)
def test_a_faulty_table_is_explained(raw, problem):
    with pytest.raises(PromptError, match=problem):
        read_phrases(raw)
    assert problem in check(raw)[0]
