"""Telegram updates to desk events: pure, and deaf to everything that is not a person acting at the desk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.desk_buttons import ON_A_DRAFT, Pressed, read_button
from tools.messages import DeskAction, DeskEvent, DeskPlace
from tools.telegram_media import media_of

UPDATE_KINDS = ("message", "edited_message", "callback_query")
"""The updates worth asking Telegram for; everything else is ignored anyway."""

CONTENT_KINDS = frozenset(
    {"animation", "audio", "checklist", "contact", "dice", "document", "game", "location", "paid_media", "photo"}
    | {"poll", "sticker", "story", "venue", "video", "video_note", "voice"}
)
"""Message fields a person fills; other fields without text are Telegram's own service messages."""

COMMANDS: Mapping[str, DeskAction] = {
    "done": "done",
    "close": "close",
    "take": "take",
    "transfer": "transfer",
    "note": "note",
    "history": "history",
    "who": "who",
    "kb": "kb",
    "mute": "mute",
    "unmute": "unmute",
    "help": "help",
    "start": "help",
}
WITH_WORDS = frozenset({"note", "kb"})
"""Commands that are nothing without what follows them."""

_Fields = Mapping[str, Any]


def parse_update(update: Mapping[str, Any], *, chat_id: int, bot_id: int | None = None) -> DeskEvent | None:
    """Read what a person did at the desk; None for everything else, unreadable updates included.

    A text or a file counts when it is said in a customer's topic or as a real reply (with `bot_id`: outside topics, a
    reply to the bot). In a private chat with the bot any other becomes `help`, because it was surely meant as an
    answer. Whatever starts with a slash is a command and never goes to a customer. A reply to one of the bot's cards
    names its ticket, whatever it says; a text that replies to an article's draft names the draft. An edited text is
    told as `edited`: what the customer has of it stays as it was.
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
    edited = _fields(update, "edited_message")
    if edited is not None and _chat_of(edited) == chat_id:
        return _edited(update_id, edited, chat_id)
    return None


def _pressed(update_id: int, query: _Fields, chat_id: int) -> DeskEvent | None:
    message = _fields(query, "message")
    agent = _person(_fields(query, "from"))
    callback_id = _text(query, "id")
    button = read_button(_text(query, "data"))
    if message is None or _chat_of(message) != chat_id or agent is None:
        return None
    if button is None or not callback_id:
        return None
    return DeskEvent(
        update_id=update_id,
        place=DeskPlace(chat_id=chat_id, topic_id=_topic_of(message)),
        reply_to=None,
        agent=agent.name,
        agent_id=agent.agent_id,
        action=button.action,
        text="",
        ticket_id=button.ticket_id,
        callback_id=callback_id,
        message_id=_integer(message, "message_id"),
        subject=button.subject,
        target=button.target,
    )


def _said(update_id: int, message: _Fields, chat_id: int, bot_id: int | None) -> DeskEvent | None:
    agent = _author(message, chat_id)
    if agent is None:
        return None
    topic_id = _topic_of(message)
    reply_to = _reply_of(message, topic_id, bot_id)
    media = media_of(message)
    text = _text(message, "text" if media is None else "caption").strip()
    action = _action(message, text, has_file=media is not None)
    card = None if reply_to is None else _card_of(message, bot_id)
    if topic_id is None and reply_to is None:
        action = _unplaced_action(message, action, text)
    if action is None:
        return None
    return DeskEvent(
        update_id=update_id,
        place=DeskPlace(chat_id=chat_id, topic_id=topic_id),
        reply_to=reply_to,
        agent=agent.name,
        agent_id=agent.agent_id,
        action=action,
        text=text if action == "text" else _argument(text) if action in WITH_WORDS else "",
        ticket_id=None if card is None else card.ticket_id,
        message_id=_integer(message, "message_id"),
        subject=card.subject if card is not None and action == "text" else "",
        media=media if action == "text" else None,
    )


def _edited(update_id: int, message: _Fields, chat_id: int) -> DeskEvent | None:
    agent, message_id = _author(message, chat_id), _integer(message, "message_id")
    if agent is None or message_id is None:
        return None
    return DeskEvent(
        update_id=update_id,
        place=DeskPlace(chat_id=chat_id, topic_id=_topic_of(message)),
        reply_to=None,
        agent=agent.name,
        agent_id=agent.agent_id,
        action="edited",
        text="",
        message_id=message_id,
    )


def _action(message: _Fields, text: str, *, has_file: bool) -> DeskAction | None:
    if text.startswith("/"):
        action = COMMANDS.get(_command(text), "help")
        return "help" if action in WITH_WORDS and not _argument(text) else action
    if text or has_file:
        return "text"
    return "unsupported" if CONTENT_KINDS.intersection(message) else None


def _unplaced_action(message: _Fields, action: DeskAction | None, text: str) -> DeskAction | None:
    """Decide on what belongs to no conversation: group chatter is none of our business, a known command is."""
    if _text(_fields(message, "chat") or {}, "type") == "private":
        return "help" if action in {"text", "unsupported"} else action
    return action if _command(text) in COMMANDS else None


def _command(text: str) -> str:
    """Return the command a text begins with, without the bot's name; empty when it begins with none."""
    words = text.split(maxsplit=1)
    return words[0][1:].partition("@")[0].lower() if words and words[0].startswith("/") else ""


def _argument(text: str) -> str:
    """Return what follows a command."""
    words = text.split(maxsplit=1)
    return words[1].strip() if len(words) == 2 and text.startswith("/") else ""


@dataclass(frozen=True, slots=True)
class _Agent:
    agent_id: str
    name: str


def _author(message: _Fields, chat_id: int) -> _Agent | None:
    sender_chat = _fields(message, "sender_chat")
    if sender_chat is None:
        return _person(_fields(message, "from"))
    if _integer(sender_chat, "id") != chat_id:
        return None  # a channel's post mirrored into the group: nobody here wrote it
    # An anonymous administrator: Telegram names a stand-in bot as the sender and the group itself as the author.
    # Their titles are all that tells them apart.
    name = _text(message, "author_signature") or _text(sender_chat, "title") or "匿名管理员"
    return _Agent(f"{chat_id}:{name}", name)


def _person(user: _Fields | None) -> _Agent | None:
    if user is None or _integer(user, "id") is None or user.get("is_bot") is True:
        return None
    full_name = f"{_text(user, 'first_name')} {_text(user, 'last_name')}".strip()
    return _Agent(str(user["id"]), full_name or _text(user, "username") or str(user["id"]))


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


def _card_of(message: _Fields, bot_id: int | None) -> Pressed | None:
    """Read what a message replies to off its buttons: they are there even when nobody recorded the post."""
    card = _fields(message, "reply_to_message") or {}
    author = _fields(card, "from") or {}
    if author.get("is_bot") is not True or (bot_id is not None and author.get("id") != bot_id):
        return None
    buttons = (read_button(data) for data in _button_data(_fields(card, "reply_markup") or {}))
    return next((each for each in buttons if each is not None and (each.ticket_id or each.action in ON_A_DRAFT)), None)


def _button_data(markup: _Fields) -> Iterator[str]:
    rows = markup.get("inline_keyboard")
    for row in rows if isinstance(rows, list) else []:
        for key in row if isinstance(row, list) else []:
            if isinstance(key, Mapping):
                yield _text(key, "callback_data")


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
