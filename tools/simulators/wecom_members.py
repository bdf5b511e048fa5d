"""Messages of an app to members, the cards they press, and the webhooks of their groups."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.simulators.wecom_outbound import Json, RefusedError, cut_text

RESPONSE_CODE_SECONDS = 72 * 3600
MESSAGES_A_MINUTE = 30
"""What one member gets; more is lost without a word."""
WEBHOOK_A_MINUTE = 20
CHECK, CHECK_INTERVAL = "enable_duplicate_check", "duplicate_check_interval"
DUPLICATE_CHECK_SECONDS = 1800
BUTTONS = 6
LIMITS = {"title": 36, "desc": 44, "sub_title_text": 160, "keyname": 5, "value": 30, "text": 10}
"""Characters; the vendor only advises these, and cuts what is longer."""


@dataclass(slots=True, kw_only=True)
class MemberMessage:
    """One message as one member sees it."""

    member: str
    msgtype: str
    text: str
    """What is read: the text, or the lines of a card."""
    payload: Json
    at: float
    replaced: str = ""
    """What the card shows instead of its buttons."""

    @property
    def buttons(self) -> dict[str, str]:
        """What can be pressed: key by label."""
        if self.replaced or self.msgtype != "template_card":
            return {}
        return {button["text"]: button["key"] for button in self.payload["button_list"]}


@dataclass(slots=True, kw_only=True)
class _Code:
    task_id: str
    born: float
    is_used: bool = False


@dataclass(slots=True)
class Members:
    """The members an app writes to."""

    clock: Callable[[], float]
    next_id: Callable[[str], str]
    agent_id: int | None = None
    """The app's; None: any is taken."""
    known: set[str] | None = None
    """Who there is; None: anybody."""
    sent: list[Json] = field(default_factory=list)
    """What `message/send` was given."""
    messages: list[MemberMessage] = field(default_factory=list)
    webhooks: dict[str, list[str]] = field(default_factory=dict)
    """What each group got to read, by its webhook's key."""
    _sent_at: list[float] = field(default_factory=list)
    _codes: dict[str, _Code] = field(default_factory=dict)
    _task_ids: set[str] = field(default_factory=set)
    _posted: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _message_number: int = 7_000_000_000_000_000_000

    def to(self, member: str) -> list[MemberMessage]:
        """What a member got, oldest first."""
        return [message for message in self.messages if message.member == member]

    def texts_to(self, member: str) -> list[str]:
        """What a member got to read, oldest first."""
        return [message.text for message in self.to(member)]

    def send(self, body: Json) -> Json:
        """`message/send`."""
        if not any(body.get(name) for name in ("touser", "toparty", "totag")):
            raise RefusedError(40058, "touser, toparty and totag are all empty")
        if self.agent_id is not None and body.get("agentid") != self.agent_id:
            raise RefusedError(301002, "invalid agentid")
        asked = [name for name in str(body.get("touser") or "").split("|") if name]
        found = [name for name in asked if self.known is None or name.lower() in {each.lower() for each in self.known}]
        if asked and not found:
            raise RefusedError(81013, "user & party & tag all invalid")
        answer: Json = {"invaliduser": "|".join(name.lower() for name in asked if name not in found)}
        is_repeated = body.get(CHECK) == 1 and self._was_sent(body)
        msgtype = str(body.get("msgtype"))
        if msgtype == "template_card" and not is_repeated:
            self._check_card(body.get("template_card") or {})
            code = self.next_id("RC")
            self._codes[code] = _Code(task_id=body["template_card"]["task_id"], born=self.clock())
            answer["response_code"] = code
        self.sent.append(body)
        self._sent_at.append(self.clock())
        if not is_repeated:
            self._show(found, msgtype, body.get(msgtype) or {})
        return {**answer, "msgid": self.next_id("app")}

    def update_card(self, body: Json) -> Json:
        """`message/update_template_card`."""
        code = self._codes.get(str(body.get("response_code") or ""))
        if code is None or code.is_used or self.clock() - code.born > RESPONSE_CODE_SECONDS:
            raise RefusedError(40058, "invalid response_code")
        code.is_used = True
        members = body.get("userids") or []
        for message in self.messages:
            if message.member in members and message.payload.get("task_id") == code.task_id:
                message.replaced = str((body.get("button") or {}).get("replace_name") or "")
        return {"invaliduser": ""}

    def pressed(self, message: MemberMessage, label: str) -> Json:
        """Press a button; returns the fields of its callback. `LookupError` when there is no such button now."""
        key = message.buttons.get(label)
        if key is None:
            raise LookupError(f"no button {label!r} on this message, only {list(message.buttons)}")
        code = self.next_id("RC")
        self._codes[code] = _Code(task_id=message.payload["task_id"], born=self.clock())
        facts = {"EventKey": key, "TaskId": message.payload["task_id"], "CardType": "button_interaction"}
        return {"FromUserName": message.member, "Event": "template_card_event", **facts, "ResponseCode": code}

    def written(self, member: str, msgtype: str, payload: Json) -> Json:
        """Let a member write to the app; returns the fields of the callback."""
        self._message_number += 1
        return {"FromUserName": member, "MsgType": msgtype, **payload, "MsgId": str(self._message_number)}

    def post(self, key: str, body: Json) -> Json:
        """`webhook/send`."""
        if key not in self.webhooks:
            raise RefusedError(93000, "invalid webhook url")
        recent = [at for at in self._posted[key] if self.clock() - at < 60]
        if len(recent) >= WEBHOOK_A_MINUTE:
            raise RefusedError(45009, "api freq out of limit")
        content = (body.get("text") or {}).get("content")
        if body.get("msgtype") != "text" or not content:
            raise RefusedError(40008, "invalid message type")
        self._posted[key] = [*recent, self.clock()]
        self.webhooks[key].append(cut_text(content))
        return {}

    def _was_sent(self, body: Json) -> bool:
        """Tell whether the same was sent within the interval of the check, with a check or without."""
        since = self.clock() - body.get(CHECK_INTERVAL, DUPLICATE_CHECK_SECONDS)
        return any(
            at >= since and _without_check(sent) == _without_check(body)
            for sent, at in zip(self.sent, self._sent_at, strict=True)
        )

    def _show(self, members: list[str], msgtype: str, payload: Json) -> None:
        now = self.clock()
        for member in members:
            if sum(now - message.at < 60 for message in self.to(member)) < MESSAGES_A_MINUTE:
                text = _read(msgtype, payload)
                self.messages.append(MemberMessage(member=member, msgtype=msgtype, text=text, payload=payload, at=now))

    def _check_card(self, card: Json) -> None:
        task_id, buttons = card.get("task_id"), card.get("button_list")
        if card.get("card_type") != "button_interaction":
            raise RefusedError(40058, "unknown card_type")
        if not isinstance(task_id, str) or not re.fullmatch(r"[0-9A-Za-z_@-]{1,128}", task_id):
            raise RefusedError(40058, "invalid task_id")
        if task_id in self._task_ids:
            raise RefusedError(40058, "task_id repeated")
        if not isinstance(buttons, list) or not 1 <= len(buttons) <= BUTTONS:
            raise RefusedError(40058, "button_list must have 1 to 6 items")
        for button in buttons:
            if not button.get("text") or not 1 <= len(str(button.get("key", "")).encode()) <= 1024:
                raise RefusedError(40058, "invalid button")
        if not card.get("main_title", {}).get("title"):
            raise RefusedError(40058, "main_title.title is missing")
        if len(card.get("horizontal_content_list", [])) > 6:
            raise RefusedError(40058, "too many horizontal_content_list items")
        _check_lengths(card)
        self._task_ids.add(task_id)


def _without_check(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in {CHECK, CHECK_INTERVAL}}


def _check_lengths(value: object, name: str = "") -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _check_lengths(each, key)
    elif isinstance(value, list):
        for each in value:
            _check_lengths(each, name)
    elif isinstance(value, str) and len(value) > LIMITS.get(name, len(value)):
        raise RefusedError(40058, f"{name} exceeds {LIMITS[name]} characters")


def _read(msgtype: str, payload: Json) -> str:
    if msgtype == "text":
        return cut_text(str(payload.get("content", "")))
    if msgtype != "template_card":
        return f"[{msgtype}]"
    facts = [f"{fact['keyname']} {fact['value']}" for fact in payload.get("horizontal_content_list", [])]
    title = payload["main_title"]
    return "\n".join([title["title"], title.get("desc", ""), payload.get("sub_title_text", ""), *facts])
