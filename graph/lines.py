"""What the lines of a turn say and show: words are the customer's, cards and pictures are data."""

from __future__ import annotations

import re
from collections.abc import Iterable

from graph.state import TurnLine

CARDS = frozenset(
    {"channels_shop_product", "channels_shop_order", "link", "miniprogram", "location", "merged_msg", "channels"}
)
"""Kinds whose text tells what they show."""

MAX_SHOWN = 500
"""Characters of the cards and pictures of one question."""

KIND_WORDS = {
    "image": "图片",
    "voice": "语音",
    "video": "视频",
    "file": "文件",
    "location": "位置",
    "link": "链接",
    "business_card": "名片",
    "miniprogram": "小程序",
    "merged_msg": "聊天记录",
    "channels": "视频号内容",
    "channels_shop_product": "商品",
    "channels_shop_order": "订单",
    "msgmenu": "菜单",
    "meeting": "会议",
    "calendar": "日程",
    "note": "笔记",
}

_LABEL = re.compile(r"\[[^\]]{1,8}\]\s*")
_DETAILS = re.compile(r"\s\(|\s\d+(?:\.\d+)? 元|\s订单号 ")
_ORDER_NUMBER = re.compile(r"\s(订单号 .+)$")


def said(line: TurnLine) -> str:
    """Return what the customer says in a line, in writing or by voice; empty when they say nothing."""
    if line["kind"] == "voice":
        return line.get("words", "").strip()
    return line["text"].strip() if line["kind"] == "text" else ""


def shown(lines: Iterable[TurnLine]) -> str:
    """Return what the cards and pictures among the lines show; empty when they show nothing."""
    found = [line["text"].strip() for line in lines if _is_card(line)]
    return "\n".join(dict.fromkeys(found))[:MAX_SHOWN]


def is_unread(line: TurnLine) -> bool:
    """Tell whether a line is nothing the bot can make anything of."""
    return line["kind"] != "text" and not said(line) and not _is_card(line)


def kind_word(lines: Iterable[TurnLine], *, default: str) -> str:
    """Return what to call the last line that is not text."""
    return next((KIND_WORDS[line["kind"]] for line in reversed(list(lines)) if line["kind"] in KIND_WORDS), default)


def topic_of(card: str) -> str:
    """Return what a card is about: its first line without label, price, state and number."""
    first = _LABEL.sub("", next(iter(card.splitlines()), ""), count=1)
    return _DETAILS.split(first, maxsplit=1)[0].strip()


def identity_of(cards: str) -> str:
    """Return what tells these cards from others: of an order its number, because its state changes."""
    names = (found[1] if (found := _ORDER_NUMBER.search(line)) else line for line in cards.splitlines())
    return "\n".join(dict.fromkeys(names))


def _is_card(line: TurnLine) -> bool:
    """A card without anything on it, like a location without a name, is none."""
    if line["kind"] == "image":
        return bool(line.get("words"))
    return line["kind"] in CARDS and bool(topic_of(line["text"]))
