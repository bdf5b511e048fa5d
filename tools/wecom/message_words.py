"""The words that stand for a message that is not text: what of it helps to understand the customer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

UNSUPPORTED = "[暂不支持的消息]"
DETAIL = 200
"""Characters of one detail."""
ITEMS = 20
"""Messages of a chat record that are told."""
ITEM = 100
RECORD = 1500
"""Characters of a whole chat record."""

Payload = Mapping[str, Any]
Details = Callable[[Payload], Iterator[str]]

KIND_LABELS: Mapping[str, str] = {
    "text": "文字",
    "image": "图片",
    "voice": "语音",
    "video": "视频",
    "file": "文件",
    "location": "位置",
    "link": "链接",
    "business_card": "名片",
    "miniprogram": "小程序",
    "msgmenu": "菜单",
    "channels_shop_product": "商品",
    "channels_shop_order": "订单",
    "merged_msg": "聊天记录",
    "channels": "视频号",
    "meeting": "会议",
    "calendar": "日程",
    "note": "笔记",
}


def words_for(kind: str, payload: Payload) -> str:
    """Describe a message in words; never fails, and of an unknown kind only says that it is one."""
    label = KIND_LABELS.get(kind)
    if label is None:
        return UNSUPPORTED
    details = DETAILS.get(kind)
    return " ".join([f"[{label}]", *(details(payload) if details else ())])


def _fields(*names: str) -> Details:
    def details(payload: Payload) -> Iterator[str]:
        yield from filter(None, (_said(payload, name) for name in names))

    return details


def _product(payload: Payload) -> Iterator[str]:
    yield from _fields("title")(payload)
    if price := _yuan(payload.get("sales_price")):
        yield price


def _order(payload: Payload) -> Iterator[str]:
    yield from _fields("product_titles")(payload)
    if state := _said(payload, "state"):
        yield f"({state})"
    if wording := _said(payload, "price_wording"):
        yield wording
    if order_id := _said(payload, "order_id"):
        yield f"订单号 {order_id}"


def _record(payload: Payload) -> Iterator[str]:
    """A chat record: its title, then who said what, a line each."""
    title = _said(payload, "title")
    items = payload.get("item")
    lines = [_item(item) for item in items[:ITEMS] if isinstance(item, Mapping)] if isinstance(items, list) else []
    text = "\n".join([title, *filter(None, lines)])[:RECORD].strip("\n")
    if text:
        yield text


def _item(item: Payload) -> str:
    kind, content = item.get("msgtype"), item.get("msg_content")
    try:
        inner = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        inner = content
    said = _item_text(str(kind), inner)
    sender = _said(item, "sender_name")
    return f"{sender}: {said}" if sender and said else said


def _item_text(kind: str, content: object) -> str:
    if kind == "text":
        fields = content if isinstance(content, Mapping) else {"content": content if isinstance(content, str) else ""}
        # The vendor's sample nests the text once more under its kind.
        inner = fields.get("text") if isinstance(fields.get("text"), Mapping) else fields
        return _one_line(str(inner.get("content") or ""))[:ITEM] if isinstance(inner, Mapping) else ""
    label = KIND_LABELS.get(kind)
    return f"[{label}]" if label else ""


def _yuan(cents: object) -> str:
    """Return a price in 分 as 元."""
    if isinstance(cents, bool) or not isinstance(cents, int | float | str):
        return ""
    text = str(cents)
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        return ""
    yuan, fen = divmod(int(text), 100)
    return f"{yuan}.{fen:02d} 元" if fen else f"{yuan} 元"


def _said(payload: Payload, name: str) -> str:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return _one_line(str(value))[:DETAIL]


def _one_line(text: str) -> str:
    return " ".join(text.split())


DETAILS: Mapping[str, Details] = {
    "location": _fields("name", "address"),
    "link": _fields("title"),
    "miniprogram": _fields("title"),
    "msgmenu": _fields("head_content"),
    "channels_shop_product": _product,
    "channels_shop_order": _order,
    "merged_msg": _record,
    "channels": _fields("nickname", "title"),
}
"""What of a kind's payload tells more."""
