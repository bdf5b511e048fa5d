"""A menu as kf/send_msg takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tools.messages import Menu
from tools.wecom.splitting import shorten

HEAD_BYTES = TAIL_BYTES = 1024
LABEL_BYTES = 128
"""Longer heads, tails and labels of `click` items are refused (doc 94677)."""

SHAPE_REFUSED = frozenset({40008, 40058, 95008, 95009, 95030})
"""Codes that a menu may get where a text would be taken: bad type, field, number or kind of items, forbidden type."""


def fitted(menu: Menu) -> Menu:
    """Shorten what WeCom would refuse."""
    options = tuple(replace(option, label=shorten(option.label, LABEL_BYTES)) for option in menu.options)
    return Menu(head=shorten(menu.head, HEAD_BYTES), options=options, tail=shorten(menu.tail, TAIL_BYTES))


def to_msgmenu(menu: Menu) -> Mapping[str, Any]:
    """Build the payload of a fitted menu."""
    items = [{"type": "click", "click": {"id": option.option_id, "content": option.label}} for option in menu.options]
    return {"head_content": menu.head, "list": items, "tail_content": menu.tail}
