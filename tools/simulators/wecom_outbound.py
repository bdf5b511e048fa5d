"""What `kf/send_msg` accepts, type by type, and how the customer sees it."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

TEXT_BYTES = 2048
MENU_ITEMS = 50
MENU_ACTIONS = 10

REQUIRED: dict[str, dict[str, int | None]] = {
    "text": {"content": None},
    "image": {"media_id": 128},
    "voice": {"media_id": 128},
    "video": {"media_id": 128},
    "file": {"media_id": 128},
    "link": {"title": 128, "url": 2048, "thumb_media_id": 128},
    "miniprogram": {"appid": None, "title": 64, "thumb_media_id": 128, "pagepath": None},
    "location": {"name": None, "address": None},
    "ca_link": {"link_url": None},
    "msgmenu": {},
}
"""Fields a type needs, each with its limit in bytes."""

MENU_CONTENT_BYTES = {"click": 128, "view": 1024, "miniprogram": 1024, "text": 256}


class RefusedError(Exception):
    """The API answers with an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_outbound(body: Json, *, allowed: frozenset[str] = frozenset(REQUIRED), menu_items: int = MENU_ITEMS) -> Json:
    """Return the payload of a message to a customer; raise `RefusedError` when WeCom would not take it."""
    msgtype = body.get("msgtype")
    if msgtype not in allowed:
        raise RefusedError(40008, "invalid message type")
    payload = body.get(msgtype)
    if not isinstance(payload, dict):
        raise RefusedError(40058, f"{msgtype} is missing")
    for name, limit in REQUIRED[msgtype].items():
        _check_field(payload, f"{msgtype}.{name}", limit)
    if msgtype == "msgmenu":
        _check_menu(payload, menu_items)
    if msgtype == "miniprogram" and not payload["pagepath"].partition("?")[0].endswith(".html"):
        raise RefusedError(40058, "miniprogram.pagepath must end with .html")
    return payload


def cut_text(text: str) -> str:
    """Cut like WeCom does: silently, at 2048 bytes, never inside a character."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")


def shown_text(msgtype: str, payload: Json) -> str:
    """What the customer reads: the text, or the lines of a menu; empty for other types."""
    if msgtype == "text":
        return cut_text(payload["content"])
    if msgtype != "msgmenu":
        return ""
    items = [str(item[item["type"]]["content"]) for item in payload.get("list", [])]
    lines = [payload.get("head_content", ""), *items, payload.get("tail_content", "")]
    return "\n".join(line for line in lines if line)


def _check_field(payload: Json, where: str, limit: int | None, code: int = 40058) -> None:
    value = payload.get(where.rpartition(".")[2])
    if not isinstance(value, str) or not value:
        raise RefusedError(code, f"{where} is missing")
    if limit is not None and len(value.encode()) > limit:
        raise RefusedError(code, f"{where} exceeds {limit} bytes")


def _check_menu(menu: Json, most: int) -> None:
    items = menu.get("list", [])
    for name in ("head_content", "tail_content"):
        if name in menu and len(str(menu[name]).encode()) > 1024:
            raise RefusedError(40058, f"msgmenu.{name} exceeds 1024 bytes")
    if not isinstance(items, list) or not (items or menu.get("head_content") or menu.get("tail_content")):
        raise RefusedError(40058, "msgmenu is empty")
    for item in items:
        _check_menu_item(item)
    actions = sum(item["type"] != "text" for item in items)
    if len(items) > most or actions > MENU_ACTIONS:
        raise RefusedError(95008, "too many menu items")


def _check_menu_item(item: Any) -> None:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in MENU_CONTENT_BYTES or not isinstance(item.get(kind), dict):
        raise RefusedError(95009, "illegal menu item")
    _check_field(item[kind], f"{kind}.content", MENU_CONTENT_BYTES[kind], 95009)
    if kind == "click" and not re.fullmatch(r"[0-9A-Za-z_]{0,128}", str(item[kind].get("id", ""))):
        raise RefusedError(95009, "illegal menu item id")
