"""The words that stand for a message that is not text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.wecom.message_words import KIND_LABELS, RECORD, words_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def item(kind: str, content: Any, sender: str = "小李") -> dict[str, Any]:
    return {"msgtype": kind, "sender_name": sender, "msg_content": content}


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("channels_shop_product", {"title": "杯子", "sales_price": 3990}, "[商品] 杯子 39.90 元"),
        ("channels_shop_product", {"title": "杯子", "sales_price": "900"}, "[商品] 杯子 9 元"),
        ("channels_shop_product", {"title": "杯子", "sales_price": "免费"}, "[商品] 杯子"),
        ("channels_shop_product", {"title": "杯子", "sales_price": True}, "[商品] 杯子"),
        ("channels_shop_product", {"sales_price": None}, "[商品]"),
        (
            "channels_shop_order",
            {"order_id": "37", "product_titles": "杯子\n等2件", "state": "已发货", "price_wording": "共 39 元"},
            "[订单] 杯子 等2件 (已发货) 共 39 元 订单号 37",
        ),
        ("location", {"name": "总店", "address": "路1号", "latitude": 1}, "[位置] 总店 路1号"),
        ("link", {"title": "活动", "desc": "d"}, "[链接] 活动"),
        ("miniprogram", {"title": "商城"}, "[小程序] 商城"),
        ("msgmenu", {"head_content": "您想问"}, "[菜单] 您想问"),
        ("channels", {"nickname": "店", "title": "新品"}, "[视频号] 店 新品"),
        ("image", {"media_id": "m"}, "[图片]"),
        ("hologram", {"a": 1}, "[暂不支持的消息]"),
    ],
)
def test_what_helps_to_understand_the_customer_is_told(kind: str, payload: dict[str, Any], words: str) -> None:
    assert words_for(kind, payload) == words


def test_a_chat_record_tells_who_wrote_what() -> None:
    items = [
        item("text", json.dumps({"content": "杯子漏水"})),
        item("text", json.dumps({"text": {"content": "换一个"}}), "客服"),
        item("text", "没有引号"),
        item("text", {"content": "不是字符串"}, ""),
        item("text", json.dumps([1])),
        item("image", "{}"),
        item("hologram", "{}"),
        "nothing",
    ]
    assert words_for("merged_msg", {"title": "群聊", "item": items}).splitlines() == [
        "[聊天记录] 群聊",
        "小李: 杯子漏水",
        "客服: 换一个",
        "小李: 没有引号",
        "不是字符串",
        "小李: [图片]",
    ]
    assert words_for("merged_msg", {"item": 3}) == "[聊天记录]"
    assert words_for("merged_msg", {"item": [item("text", json.dumps(["["] * 3))]}) == "[聊天记录]"


def test_a_long_chat_record_is_bounded() -> None:
    items = [item("text", json.dumps({"content": "长" * 500}))] * 500
    assert len(words_for("merged_msg", {"title": "群聊", "item": items})) <= RECORD + 20


@given(
    st.sampled_from([*KIND_LABELS, "x"]),
    st.dictionaries(
        st.sampled_from(
            ["title", "name", "address", "item", "sales_price", "state", "order_id", "product_titles", "head_content"]
        ),
        JSON,
    ),
)
def test_whatever_the_vendor_sends_has_words(kind: str, payload: dict[str, Any]) -> None:
    assert words_for(kind, payload).startswith("[")
