"""The simulated chat: what the bot wrote, its topics, and the updates that wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BOT_ID = 4242
FIRST_AGENT_ID = 9001

JsonDict = dict[str, Any]


class ApiError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineButton:
    """A button under a message."""

    text: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file in the chat."""

    file_id: str
    kind: str
    """The field of a message it stands in: `photo`, `document`, …"""
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotMessage:
    """A message the bot wrote."""

    message_id: int
    chat_id: int
    topic_id: int | None
    text: str
    """As people see it."""
    source: str
    """As the bot sent it, with markup."""
    buttons: tuple[InlineButton, ...]
    reply_to: int | None
    file: SentFile | None = None
    """The text is its caption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A forum topic."""

    topic_id: int
    name: str
    is_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAnswer:
    """How the bot answered a press of a button."""

    callback_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where updates are posted."""

    url: str
    secret: str


@dataclass(slots=True, kw_only=True)
class ChatState:
    """Everything Telegram remembers of one bot in one chat; `changed` is notified after every change."""

    chat_id: int
    chat_type: str
    is_forum: bool
    bot_username: str = "kefu_bot"
    can_manage_topics: bool = True
    can_react: bool = True
    reactions: dict[int, str] = field(default_factory=dict)
    """What the bot reacted with, by message."""
    deleted: set[int] = field(default_factory=set)
    """Messages that went with their topics."""
    said: dict[int, JsonDict] = field(default_factory=dict)
    """What people wrote, by message."""
    files: dict[str, SentFile] = field(default_factory=dict)
    """What people sent, by its id."""
    messages: list[BotMessage] = field(default_factory=list)
    topics: dict[int, Topic] = field(default_factory=dict)
    callback_answers: list[CallbackAnswer] = field(default_factory=list)
    commands: list[JsonDict] = field(default_factory=list)
    pressed: set[str] = field(default_factory=set)
    updates: list[JsonDict] = field(default_factory=list)
    webhook: Webhook | None = None
    last_webhook_error: str = ""
    polls: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _agent_ids: dict[str, int] = field(default_factory=dict)
    _last_message_id: int = 0
    _last_file_id: int = 0
    _last_update_id: int = 700_000
    _last_update: JsonDict = field(default_factory=dict)

    def new_message_id(self) -> int:
        """Return the next id in the chat; topics take theirs from the same row."""
        self._last_message_id += 1
        return self._last_message_id

    def new_file_id(self) -> str:
        """Return an id no file has."""
        self._last_file_id += 1
        return f"AgAC{self._last_file_id:04d}"

    async def announce(self) -> None:
        """Wake everybody who waits for a change."""
        async with self.changed:
            self.changed.notify_all()

    async def wait_for(self, is_reached: Callable[[], bool]) -> None:
        """Wait for a change after which this holds."""
        async with self.changed:
            await self.changed.wait_for(is_reached)

    async def wait_until(self, is_reached: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109 -- answers, not raises
        """Wait for a change after which this holds; False when time is up."""
        try:
            async with asyncio.timeout(timeout):
                await self.wait_for(is_reached)
        except TimeoutError:
            return is_reached()
        return True

    async def add_update(self, kind: str, payload: JsonDict) -> None:
        """Queue an update for the bot."""
        self._last_update_id += 1
        self._last_update = {"update_id": self._last_update_id, kind: payload}
        self.updates.append(self._last_update)
        await self.announce()

    async def repeat_last_update(self) -> None:
        """Queue the last update again, under its number."""
        self.updates.append(self._last_update)
        await self.announce()

    def message(self, message_id: int) -> BotMessage | None:
        """Find one of the bot's messages."""
        return next((message for message in self.messages if message.message_id == message_id), None)

    def has_message(self, message_id: int) -> bool:
        """Whether this id was ever given to a message, the bot's or a person's."""
        return 0 < message_id <= self._last_message_id

    def chat_json(self, chat_id: int | None = None) -> JsonDict:
        """Describe the chat as updates do."""
        chat: JsonDict = {"id": chat_id or self.chat_id, "type": self.chat_type}
        if self.chat_type == "private":
            return {**chat, "first_name": "小王"}
        return {**chat, "title": "客服", **({"is_forum": True} if self.is_forum else {})}

    def bot_json(self) -> JsonDict:
        """Describe the bot."""
        return {"id": BOT_ID, "is_bot": True, "first_name": "客服机器人", "username": self.bot_username}

    def agent_json(self, name: str) -> JsonDict:
        """Describe a person; the same name is the same person."""
        agent_id = self._agent_ids.setdefault(name, FIRST_AGENT_ID + len(self._agent_ids))
        return {"id": agent_id, "is_bot": False, "first_name": name, "language_code": "zh-hans"}

    def message_json(self, message: BotMessage) -> JsonDict:
        """Describe one of the bot's messages."""
        body = self._bot_message_json(message)
        if message.reply_to is not None:
            body["reply_to_message"] = self.reply_json(message.reply_to)
        return body

    def envelope(self, message_id: int, topic_id: int | None, chat_id: int | None = None) -> JsonDict:
        """Return the fields every message has; what once stood in a topic no longer says so without topics."""
        body: JsonDict = {"message_id": message_id, "date": int(time.time()), "chat": self.chat_json(chat_id)}
        if topic_id is not None and self.is_forum:
            body |= {"message_thread_id": topic_id, "is_topic_message": True}
        return body

    def reply_json(self, message_id: int) -> JsonDict:
        """Describe the message that is replied to, without what it replied to itself."""
        message = self.message(message_id)
        if message is None:
            return {**self.envelope(message_id, None), "from": self.agent_json("同事"), "text": "…"}
        return self._bot_message_json(message)

    def topic_reply_json(self, topic_id: int) -> JsonDict:
        """Describe the service message a topic begins with: what is written there replies to it, unless to another."""
        topic = self.topics[topic_id]
        created = {"name": topic.name, "icon_color": 7322096}
        return {**self.envelope(topic_id, topic_id), "from": self.bot_json(), "forum_topic_created": created}

    def topic(self, topic_id: int) -> Topic | None:
        """Find a topic; there is none while topics are switched off."""
        return self.topics.get(topic_id) if self.is_forum else None

    def _bot_message_json(self, message: BotMessage) -> JsonDict:
        body = {**self.envelope(message.message_id, message.topic_id), "from": self.bot_json()}
        body |= {"text": message.text} if message.file is None else {"caption": message.text}
        if message.file is not None:
            body |= _file_json(message.file)
        if message.buttons:
            keys = [[{"text": button.text, "callback_data": button.data}] for button in message.buttons]
            body["reply_markup"] = {"inline_keyboard": keys}
        return body


def _file_json(file: SentFile) -> JsonDict:
    """Describe what the bot sent."""
    fields = {"file_id": file.file_id, "file_unique_id": f"u{file.file_id}", "width": 1, "height": 1, "duration": 1}
    return {file.kind: [fields] if file.kind == "photo" else fields}
