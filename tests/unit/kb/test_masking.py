"""What a model is sent of a person: marks, which come back as the values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.masking import Mask

SAID = [
    ("我的电话是13812345678,尽快联系", "13812345678", "电话"),
    ("身份证 11010119900307871X 可以吗", "11010119900307871X", "证件号"),
    ("卡号 6222 0212 3456 7890 123 扣了两次款", "6222 0212 3456 7890 123", "银行卡号"),
    ("寄到杭州市西湖区文三路 90 号吧", "西湖区文三路", "地址"),
    ("发到 li.si@example.com 就行", "li.si@example.com", "邮箱"),
]


@pytest.mark.parametrize(("text", "value", "kind"), SAID)
def test_a_value_becomes_a_mark_and_comes_back(text: str, value: str, kind: str) -> None:
    mask = Mask()
    hidden = mask.hide(text)
    assert value not in hidden
    assert f"〔{kind}1〕" in hidden
    assert mask.restore(hidden) == text


def test_the_same_value_has_the_same_mark_in_every_message() -> None:
    mask = Mask()
    first, second = mask.hide("打 13812345678"), mask.hide("别打 13912345678,打 13812345678")
    assert (first, second) == ("打 〔电话1〕", "别打 〔电话2〕,打 〔电话1〕")
    assert mask.restore("我们会打〔电话1〕") == "我们会打13812345678"


def test_order_numbers_amounts_and_service_numbers_stay() -> None:
    text = "订单号 A20261122001 退 199 元,客服 400-820-8820"
    assert Mask().hide(text) == text


def test_marks_nobody_gave_stay_as_they_are() -> None:
    assert Mask().restore("〔电话1〕") == "〔电话1〕"


@pytest.mark.parametrize("told", ["【电话1】", "[电话1]", "〔 电话1 〕"])
def test_a_model_that_writes_other_brackets_is_understood(told: str) -> None:
    mask = Mask()
    mask.hide("打 13812345678")
    assert mask.restore(f"会打{told}") == "会打13812345678"
    assert mask.restore(told.replace("1", "12")) == told.replace("1", "12")


def test_a_value_with_quotation_marks_leaves_an_object_whole() -> None:
    mask = Mask()
    hidden = mask.hide('我的地址是:文三路"老楼"\\二单元')
    assert '"' not in hidden
    reply = json.loads(mask.restore('{"answer": "寄到〔地址1〕"}'))
    assert reply == {"answer": '寄到文三路"老楼"\\二单元'}


@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from([text for text, _, _ in SAID])), max_size=6))
def test_whatever_is_hidden_comes_back(texts: list[str]) -> None:
    mask = Mask()
    assert [mask.restore(mask.hide(text)) for text in texts] == texts
