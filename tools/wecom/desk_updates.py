"""What members do in the app's chat, from callbacks to desk events: pure, and deaf to everybody else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.desk_buttons import read_button
from tools.messages import DeskAction, DeskEvent, Media, MediaKind
from tools.telegram_updates import COMMANDS, WITH_WORDS
from tools.wecom.desk import AGENT_PREFIX, PLACE

CLICK = "template_card_event"
MEDIA: Mapping[str, MediaKind] = {"image": "image", "voice": "voice", "video": "video", "file": "file"}
OTHER_CONTENT = frozenset({"location", "link", "shortvideo", "emotion", "miniprogram"})
"""Messages that people send and customers cannot be sent."""

_Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody who is not listed wrote to the app."""

    member: str


def is_from_the_app(kind: str) -> bool:
    """Tell whether a callback of this event or message type is what a member did in the app's chat."""
    return kind in {CLICK, "text", *MEDIA, *OTHER_CONTENT}


def parse_act(fields: _Fields, *, members: Sequence[str]) -> DeskEvent | Stranger | None:
    """Read what a member did; None for what is no act of a person, unreadable callbacks included."""
    sender = _text(fields, "FromUserName")
    if not sender:
        return None
    is_click = _text(fields, "MsgType") == "event"
    if is_click and _text(fields, "Event") != CLICK:
        return None
    member = next((each for each in members if each.lower() == sender.lower()), None)
    if member is None:
        return Stranger(member=sender)
    return _clicked(fields, member) if is_click else _said(fields, member)


def _clicked(fields: _Fields, member: str) -> DeskEvent | None:
    button = read_button(_text(fields, "EventKey"))
    code = _text(fields, "ResponseCode")
    if button is None:
        return None
    # Such events have no id; what is repeated is the same in all of these.
    names = ("FromUserName", "CreateTime", "TaskId", "EventKey", "ResponseCode")
    digest = hashlib.sha256("\n".join(_text(fields, name) for name in names).encode()).digest()
    # Negative, so that none is ever the id of a message.
    update_id = -(int.from_bytes(digest[:8]) >> 1) - 1
    return DeskEvent(
        update_id=update_id,
        place=PLACE,
        reply_to=None,
        agent=member,
        agent_id=AGENT_PREFIX + member,
        action=button.action,
        text="",
        ticket_id=button.ticket_id,
        callback_id=code or "-",
        message_id=update_id,
        subject=button.subject,
        target=button.target,
    )


def _said(fields: _Fields, member: str) -> DeskEvent | None:
    message_id = _text(fields, "MsgId")
    if not re.fullmatch(r"[0-9]{1,19}", message_id) or int(message_id) >= 2**63:
        return None
    text, media = _text(fields, "Content").strip(), _media(fields)
    action = _action(fields, text, media)
    if action is None:
        return None
    return DeskEvent(
        update_id=int(message_id),
        place=PLACE,
        reply_to=None,
        agent=member,
        agent_id=AGENT_PREFIX + member,
        action=action,
        text=text if action == "text" else _argument(text) if action in WITH_WORDS else "",
        message_id=int(message_id),
        media=media,
    )


def _action(fields: _Fields, text: str, media: Media | None) -> DeskAction | None:
    if text.startswith("/"):
        action = COMMANDS.get(text.split(maxsplit=1)[0][1:].lower(), "help")
        return "help" if action in WITH_WORDS and not _argument(text) else action
    if text or media is not None:
        return "text"
    return "unsupported" if _text(fields, "MsgType") in OTHER_CONTENT else None


def _argument(text: str) -> str:
    words = text.split(maxsplit=1)
    return words[1].strip() if len(words) == 2 else ""


def _media(fields: _Fields) -> Media | None:
    kind, ref = MEDIA.get(_text(fields, "MsgType")), _text(fields, "MediaId")
    return Media(kind=kind, ref=AGENT_PREFIX + ref, name=_text(fields, "FileName")) if kind and ref else None


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
