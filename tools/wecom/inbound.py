"""What kf/sync_msg returns, item by item, as messages every part of the service understands."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tools.messages import Inbound, Sender
from tools.wecom.message_words import words_for

logger = logging.getLogger(__name__)

CHANNEL = "wecom"
UNREADABLE = "unreadable"
"""The kind of an item that is not what the vendor documents."""

_SENDERS: Mapping[int, Sender] = {3: "customer", 4: "system", 5: "staff"}
_MEDIA = frozenset({"image", "voice", "video", "file"})
_EVENTS: Mapping[str, str] = {
    "enter_session": "[进入会话]",
    "msg_send_fail": "[消息发送失败]",
    "servicer_status_change": "[接待人员状态变更]",
    "session_status_change": "[会话状态变更]",
    "user_recall_msg": "[客户撤回了一条消息]",
    "servicer_recall_msg": "[接待人员撤回了一条消息]",
    "reject_customer_msg_switch_change": "[拒收客户消息设置变更]",
}
_FAILURES: Mapping[object, str] = {
    1: "客服账号已被删除",
    2: "应用已关闭",
    4: "会话已过期（客户最后一次发言超过 48 小时）",
    5: "会话已关闭",
    6: "超过 5 条限制，客户再次发言前不能再发",
    8: "企业主体未验证",
    10: "客户拒收消息",
    11: "企业没有成员登录企业微信",
    12: "该类型的消息被客服组件禁止",
    13: "安全限制",
}
"""Why a sent message did not arrive, by `fail_type` (doc 94670)."""
_ENDED = 3
"""`change_type` of a session that staff ended; every other change gives it to one of them."""
_STAFF = 5
_LATEST = 4e9
"""Seconds of the year 2096; whatever is later is another unit, and no time the database can hold."""
_DEPTH = 20


def to_inbound(raw: object, account_id: str) -> Inbound:
    """Translate one item of a page pulled for `account_id`; never fails.

    What cannot be understood keeps its place in the conversation as kind `unreadable`.
    """
    item = _clean(raw)
    if not isinstance(item, dict):
        return _unreadable({"item": item}, account_id)
    msgtype = item.get("msgtype")
    if not isinstance(msgtype, str) or not msgtype:
        return _unreadable(item, account_id)
    payload = item.get(msgtype)
    if msgtype == "event":
        return _event(item, payload, account_id)
    if msgtype == "text":
        return _text(item, payload, account_id)
    extra = payload if isinstance(payload, dict) else {}
    text = words_for(msgtype, extra)
    if msgtype in _MEDIA and (ref := _string(extra, "media_id")):
        extra = extra | {"media": {"kind": msgtype, "ref": ref}}
    return _inbound(item, account_id, kind=msgtype, text=text, extra=extra)


def _text(item: dict[str, Any], payload: object, account_id: str) -> Inbound:
    content = payload.get("content") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(content, str):
        return _unreadable(item, account_id)
    # The words stand in `text` once; a copy in `extra` would be one more place to erase them from.
    extra = {name: value for name, value in payload.items() if name != "content"}
    return _inbound(item, account_id, kind="text", text=content, extra=extra)


def _event(item: dict[str, Any], payload: object, account_id: str) -> Inbound:
    kind = payload.get("event_type") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(kind, str) or not kind:
        return _unreadable(item, account_id)
    # Events name the account and the customer inside; outside they are absent (doc 94670).
    named = {name: payload[name] for name in ("open_kfid", "external_userid") if _string(payload, name)}
    inbound = _inbound(item | named, account_id, kind=kind, text=_EVENTS.get(kind, ""), extra=payload)
    if kind == "user_recall_msg":
        return replace(inbound, effect="recalled", about=_string(payload, "recall_msgid"))
    if kind == "msg_send_fail":
        reason = _FAILURES.get(payload.get("fail_type"), "原因未知")
        return replace(inbound, effect="not_delivered", about=_string(payload, "fail_msgid"), text=reason)
    if kind == "session_status_change":
        if payload.get("change_type") == _ENDED:
            return replace(inbound, session="closed", effect="session_ended")
        return replace(inbound, session="staff")
    return inbound


def _unreadable(item: dict[str, Any], account_id: str) -> Inbound:
    inbound = _inbound(item, account_id, kind=UNREADABLE, text="[无法识别的消息]", extra={"item": item})
    logger.warning(
        "a WeCom message is not what the vendor documents; kept as unreadable",
        extra={"action": "wecom_item_unreadable", "account_id": account_id, "message_id": inbound.message_id},
    )
    return inbound


def _inbound(item: dict[str, Any], account_id: str, *, kind: str, text: str, extra: Mapping[str, Any]) -> Inbound:
    servicer = _string(item, "servicer_userid")
    origin = item.get("origin")
    return Inbound(
        channel=CHANNEL,
        account_id=_string(item, "open_kfid") or account_id,
        customer_id=_string(item, "external_userid"),
        message_id=_string(item, "msgid") or _hash_of(item),
        # An unknown origin must not be taken for a customer: the bot would answer it.
        sender=_SENDERS.get(origin, "system") if isinstance(origin, int) else "system",
        kind=kind,
        text=text,
        sent_at=_seconds(item.get("send_time")),
        extra=dict(extra) | ({"servicer_userid": servicer} if servicer else {}),
        # Whoever of the staff writes in the client has the session (doc 94669).
        session="staff" if origin == _STAFF else None,
    )


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return seconds if math.isfinite(seconds) and 0 < seconds < _LATEST else 0.0


def _hash_of(item: Mapping[str, Any]) -> str:
    """Name an item that has no id, the same each time it is served."""
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:32]


def _clean(value: object, depth: int = 0) -> Any:
    """Drop what the database cannot store: NUL, lone surrogates, NaN, and bottomless nesting."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if depth < _DEPTH and isinstance(value, list):
        return [_clean(each, depth + 1) for each in value]
    if depth < _DEPTH and isinstance(value, dict):
        return {_clean(str(name)): _clean(each, depth + 1) for name, each in value.items()}
    return None
