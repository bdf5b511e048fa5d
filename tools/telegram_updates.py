"""Telegram updates to desk events: pure, and deaf to everything that is not a person acting at the desk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tools.messages import DeskEvent, DeskPlace

UPDATE_KINDS = ("message", "callback_query")
"""The updates worth asking Telegram for; everything else is ignored anyway."""

CONTENT_KINDS = frozenset(
    {"animation", "audio", "checklist", "contact", "dice", "document", "game", "location", "paid_media", "photo"}
    | {"poll", "sticker", "story", "venue", "video", "video_note", "voice"}
)
"""Message fields a person fills; other fields without text are Telegram's own service messages."""

COMMANDS: Mapping[str, Literal["done", "close", "help"]] = {
    "done": "done",
    "close": "close",
    "help": "help",
    "start": "help",
}
BUTTONS: Mapping[str, Literal["draft", "done"]] = {"draft": "draft", "done": "done"}
TICKET_ID = re.compile(r"[0-9a-zA-Z_-]{1,40}", re.ASCII)
"""What a ticket is called: button data comes from people's programs, which can write anything into it."""

_Fields = Mapping[str, Any]
_Action = Literal["text", "draft", "done", "close", "help", "unsupported"]


def parse_update(update: Mapping[str, Any], *, chat_id: int, bot_id: int | None = None) -> DeskEvent | None:
    """Read what a person did at the desk; None for everything else, unreadable updates included.

    A text counts when it is said in a customer's topic or as a real reply (with `bot_id`: outside topics, a reply to
    the bot). In a private chat with the bot any other text becomes `help`, because it was surely meant as an answer.
    Whatever starts with a slash is a command and never goes to a customer. A reply to one of the bot's cards names its
    ticket, whatever it says. Edited messages are ignored.
    """
    if not isinstance(update, Mapping):
        return None
    update_id = _integer(update, "update_id")
    if update_id is None:
        return None
    pressed = _fields(update, "callback_query")
    if pressed is not None:
        return _pressed(update_id, pressed, chat_id)
    message = _fields(update, "message")
    if message is not None and _chat_of(message) == chat_id:
        return _said(update_id, message, chat_id, bot_id)
    return None


def _pressed(update_id: int, query: _Fields, chat_id: int) -> DeskEvent | None:
    message = _fields(query, "message")
    agent = _person(_fields(query, "from"))
    callback_id = _text(query, "id")
    button = _button(_text(query, "data"))
    if message is None or _chat_of(message) != chat_id or agent is None:
        return None
    if button is None or not callback_id:
        return None
    action, ticket_id = button
    return DeskEvent(
        update_id=update_id,
        place=DeskPlace(chat_id=chat_id, topic_id=_topic_of(message)),
        reply_to=None,
        agent=agent,
        action=action,
        text="",
        ticket_id=ticket_id,
        callback_id=callback_id,
    )


def _said(update_id: int, message: _Fields, chat_id: int, bot_id: int | None) -> DeskEvent | None:
    agent = _author(message, chat_id)
    if agent is None:
        return None
    topic_id = _topic_of(message)
    reply_to = _reply_of(message, topic_id, bot_id)
    text = _text(message, "text").strip()
    action = _action(message, text)
    if topic_id is None and reply_to is None:
        action = _unplaced_action(message, action, text)
    if action is None:
        return None
    return DeskEvent(
        update_id=update_id,
        place=DeskPlace(chat_id=chat_id, topic_id=topic_id),
        reply_to=reply_to,
        agent=agent,
        action=action,
        text=text if action == "text" else "",
        ticket_id=None if reply_to is None else _ticket_of(message, bot_id),
    )


def _action(message: _Fields, text: str) -> _Action | None:
    if text.startswith("/"):
        return COMMANDS.get(_command(text), "help")
    if text:
        return "text"
    return "unsupported" if CONTENT_KINDS.intersection(message) else None


def _unplaced_action(message: _Fields, action: _Action | None, text: str) -> _Action | None:
    """Decide on what belongs to no conversation: group chatter is none of our business, a known command is."""
    if _text(_fields(message, "chat") or {}, "type") == "private":
        return "help" if action in {"text", "unsupported"} else action
    return action if _command(text) in COMMANDS else None


def _command(text: str) -> str:
    """Return the command a text begins with, without the bot's name; empty when it begins with none."""
    words = text.split(maxsplit=1)
    return words[0][1:].partition("@")[0].lower() if words and words[0].startswith("/") else ""


def _author(message: _Fields, chat_id: int) -> str | None:
    sender_chat = _fields(message, "sender_chat")
    if sender_chat is None:
        return _person(_fields(message, "from"))
    if _integer(sender_chat, "id") != chat_id:
        return None  # a channel's post mirrored into the group: nobody here wrote it
    # An anonymous administrator: Telegram names a stand-in bot as the sender and the group itself as the author.
    return _text(message, "author_signature") or _text(sender_chat, "title") or "匿名管理员"


def _person(user: _Fields | None) -> str | None:
    if user is None or _integer(user, "id") is None or user.get("is_bot") is True:
        return None
    full_name = f"{_text(user, 'first_name')} {_text(user, 'last_name')}".strip()
    return full_name or _text(user, "username") or str(user["id"])


def _topic_of(message: _Fields) -> int | None:
    # Without topics message_thread_id counts reply threads, which is no place.
    if message.get("is_topic_message") is not True:
        return None
    return _integer(message, "message_thread_id")


def _reply_of(message: _Fields, topic_id: int | None, bot_id: int | None) -> int | None:
    target = _fields(message, "reply_to_message")
    if target is None:
        return None
    message_id = _integer(target, "message_id")
    # Inside a topic every message "replies" to the one that created the topic.
    if "forum_topic_created" in target or message_id == topic_id:
        return None
    author = _fields(target, "from")
    if topic_id is None and bot_id is not None and author is not None and author.get("id") != bot_id:
        return None
    return message_id


def _ticket_of(message: _Fields, bot_id: int | None) -> str | None:
    """Read the ticket off the card a message replies to: it is there even when nobody recorded the card."""
    card = _fields(message, "reply_to_message") or {}
    author = _fields(card, "from") or {}
    if author.get("is_bot") is not True or (bot_id is not None and author.get("id") != bot_id):
        return None
    buttons = (_button(data) for data in _button_data(_fields(card, "reply_markup") or {}))
    return next((button[1] for button in buttons if button is not None), None)


def _button_data(markup: _Fields) -> Iterator[str]:
    rows = markup.get("inline_keyboard")
    for row in rows if isinstance(rows, list) else []:
        for key in row if isinstance(row, list) else []:
            if isinstance(key, Mapping):
                yield _text(key, "callback_data")


def _button(data: str) -> tuple[Literal["draft", "done"], str] | None:
    """Return what a button does and its ticket; None for a button that is not ours."""
    kind, _, ticket_id = data.partition(":")
    if kind not in BUTTONS or not TICKET_ID.fullmatch(ticket_id):
        return None
    return BUTTONS[kind], ticket_id


def _chat_of(message: _Fields) -> int | None:
    chat = _fields(message, "chat")
    return None if chat is None else _integer(chat, "id")


def _fields(source: _Fields, key: str) -> _Fields | None:
    value = source.get(key)
    return value if isinstance(value, Mapping) else None


def _integer(source: _Fields, key: str) -> int | None:
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(source: _Fields, key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""
