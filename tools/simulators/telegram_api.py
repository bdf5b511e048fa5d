"""The Bot API methods the desk uses, with the refusals Telegram is known for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from tools.simulators.telegram_files import FileApi
from tools.simulators.telegram_markup import MarkupError, visible_text
from tools.simulators.telegram_state import (
    BOT_ID,
    ApiError,
    BotMessage,
    CallbackAnswer,
    ChatState,
    InlineButton,
    JsonDict,
    SentFile,
    Topic,
    Webhook,
)

TEXT_LIMIT = 4096
TOPIC_NAME_LIMIT = 128
CALLBACK_DATA_BYTES = 64
CALLBACK_ANSWER_LIMIT = 200
REACTIONS = frozenset(
    "👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾😡"
)
"""The emoji a bot may react with; some more are made of several characters."""
ADMINISTRATOR_RIGHTS = (
    *("is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members"),
    *("can_promote_members", "can_change_info", "can_invite_users"),
    *("can_post_stories", "can_edit_stories", "can_delete_stories"),
)
BUSY_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)

Params = Mapping[str, Any]


class BotApi:
    """Answers method calls out of a chat's state."""

    def __init__(self, state: ChatState) -> None:
        self._state = state
        self.files = FileApi(state, self._write_file)
        files = self.files
        self._methods: dict[str, Callable[[Params], Awaitable[object]]] = {
            method.__name__.replace("_", ""): method
            for method in (
                self.get_me, self.get_chat, self.get_chat_member, self.set_my_commands,
                self.get_updates, self.set_webhook, self.delete_webhook, self.get_webhook_info,
                self.send_message, self.edit_message_text, self.edit_message_reply_markup, self.answer_callback_query,
                self.set_message_reaction,
                files.send_photo, files.send_document, files.send_voice, files.send_video, files.get_file,
                self.create_forum_topic, self.edit_forum_topic, self.close_forum_topic, self.reopen_forum_topic,
            )
        }  # fmt: skip

    async def call(self, method: str, params: Params) -> object:
        """Run a method; names are case-insensitive.

        Raises:
            ApiError: what Telegram would answer.
        """
        run = self._methods.get(method.lower())
        if run is None:
            raise ApiError(404, "Not Found: method not found")
        result = await run(params)
        await self._state.announce()
        return result

    async def get_me(self, _: Params) -> JsonDict:
        """Describe the bot."""
        abilities = {"can_join_groups": True, "can_read_all_group_messages": True, "supports_inline_queries": False}
        return {**self._state.bot_json(), **abilities}

    async def get_chat(self, params: Params) -> JsonDict:
        """Describe the chat in full."""
        self._check_chat(params)
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        accepted = dict.fromkeys(gifts, False)
        full = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": accepted}
        return {**self._state.chat_json(), **full}

    async def get_chat_member(self, params: Params) -> JsonDict:
        """Describe a member; the bot is an administrator, everybody else a plain member."""
        self._check_chat(params)
        user_id = _integer(params, "user_id")
        if user_id != BOT_ID:
            return {"status": "member", "user": {"id": user_id, "is_bot": False, "first_name": "同事"}}
        rights: JsonDict = dict.fromkeys(ADMINISTRATOR_RIGHTS, False)
        rights |= {"can_be_edited": False, "can_manage_topics": self._state.can_manage_topics}
        return {"status": "administrator", "user": self._state.bot_json(), **rights}

    async def set_my_commands(self, params: Params) -> bool:
        """Remember the menu."""
        self._state.commands = list(params.get("commands", []))
        return True

    async def get_updates(self, params: Params) -> list[JsonDict]:
        """Return updates from `offset`, waiting up to `timeout`; a newer poll ends an older one."""
        state = self._state
        offset = _integer(params, "offset", 0)
        if state.webhook is not None:
            raise ApiError(409, WEBHOOK_ACTIVE)
        state.polls += 1
        mine = state.polls
        await state.announce()
        state.updates = [update for update in state.updates if update["update_id"] >= offset]

        def is_over() -> bool:
            return bool(state.updates) or state.polls != mine or state.webhook is not None

        await state.wait_until(is_over, _integer(params, "timeout", 0))
        if state.webhook is not None or state.polls != mine:
            raise ApiError(409, BUSY_POLL)
        return state.updates[: _integer(params, "limit", 100)]

    async def set_webhook(self, params: Params) -> bool:
        """Post updates from now on, those that wait included."""
        url = str(params.get("url", ""))
        self._state.webhook = Webhook(url=url, secret=str(params.get("secret_token", ""))) if url else None
        self._state.last_webhook_error = ""
        return True

    async def delete_webhook(self, params: Params) -> bool:
        """Keep updates for polling."""
        self._state.webhook = None
        if params.get("drop_pending_updates") is True:
            self._state.updates.clear()
        return True

    async def get_webhook_info(self, _: Params) -> JsonDict:
        """Tell where updates go and how many wait."""
        hook, failure = self._state.webhook, self._state.last_webhook_error
        info: JsonDict = {"url": hook.url if hook else "", "has_custom_certificate": False}
        info["pending_update_count"] = len(self._state.updates)
        return {**info, **({"last_error_message": failure} if failure else {})}

    async def send_message(self, params: Params) -> JsonDict:
        """Write a text."""
        source = str(params.get("text", ""))
        return self._write(params, source, _rendered(source, params.get("parse_mode")))

    def _write_file(self, params: Params, caption: str, file: SentFile) -> JsonDict:
        text = _rendered(caption, params.get("parse_mode")) if caption else ""
        return self._write(params, caption, text, file)

    def _write(self, params: Params, source: str, text: str, file: SentFile | None = None) -> JsonDict:
        self._check_chat(params)
        message = BotMessage(
            chat_id=self._state.chat_id,
            topic_id=self._target_topic(params),
            text=text,
            source=source,
            buttons=_buttons(params),
            reply_to=self._reply_target(params),
            file=file,
            message_id=self._state.new_message_id(),
        )
        self._state.messages.append(message)
        return self._state.message_json(message)

    async def edit_message_text(self, params: Params) -> JsonDict:
        """Change a text; the buttons go unless they are sent along."""
        source = str(params.get("text", ""))
        text = _rendered(source, params.get("parse_mode"))
        return self._edit(params, text=text, source=source, buttons=_buttons(params))

    async def edit_message_reply_markup(self, params: Params) -> JsonDict:
        """Change the buttons."""
        return self._edit(params, buttons=_buttons(params))

    async def answer_callback_query(self, params: Params) -> bool:
        """Answer a press of a button."""
        callback_id, text = str(params.get("callback_query_id", "")), str(params.get("text", ""))
        if callback_id not in self._state.pressed:
            raise _bad("query is too old and response timeout expired or query ID is invalid")
        if len(text) > CALLBACK_ANSWER_LIMIT:
            raise _bad("MESSAGE_TOO_LONG")
        self._state.callback_answers.append(CallbackAnswer(callback_id=callback_id, text=text))
        return True

    async def set_message_reaction(self, params: Params) -> bool:
        """Change the bot's reaction to a message."""
        self._check_chat(params)
        message_id, reaction = _integer(params, "message_id"), params.get("reaction") or []
        if not self._state.has_message(message_id) or message_id in self._state.deleted:
            raise _bad("message to react not found")
        emoji = [str(kind.get("emoji", "")) for kind in reaction if isinstance(kind, Mapping)]
        if not self._state.can_react or len(emoji) > 1 or not REACTIONS.issuperset(emoji):
            raise _bad("REACTION_INVALID")
        self._state.reactions.pop(message_id, None)
        if emoji:
            self._state.reactions[message_id] = emoji[0]
        return True

    async def create_forum_topic(self, params: Params) -> JsonDict:
        """Open a topic."""
        self._check_forum(params, "not enough rights to create a topic")
        name = str(params.get("name", ""))
        if not 1 <= len(name) <= TOPIC_NAME_LIMIT:
            raise _bad("TOPIC_TITLE_INVALID")
        topic = Topic(topic_id=self._state.new_message_id(), name=name)
        self._state.topics[topic.topic_id] = topic
        return {"message_thread_id": topic.topic_id, "name": name, "icon_color": 7322096}

    async def edit_forum_topic(self, params: Params) -> bool:
        """Rename a topic."""
        return self._change_topic(params, name=str(params.get("name", "")))

    async def close_forum_topic(self, params: Params) -> bool:
        """Close a topic: only who may manage topics can still write there."""
        return self._change_topic(params, is_closed=True)

    async def reopen_forum_topic(self, params: Params) -> bool:
        """Open a closed topic again."""
        return self._change_topic(params, is_closed=False)

    def _check_chat(self, params: Params) -> None:
        if _integer(params, "chat_id", 0) != self._state.chat_id:
            raise _bad("chat not found")

    def _check_forum(self, params: Params, lacking: str) -> None:
        self._check_chat(params)
        if not self._state.is_forum:
            raise _bad("the chat is not a forum")
        if not self._state.can_manage_topics:
            raise _bad(lacking)

    def _change_topic(self, params: Params, **changes: Any) -> bool:
        self._check_forum(params, "not enough rights to manage topics")
        topic_id = _integer(params, "message_thread_id", 0)
        topic = self._state.topics.get(topic_id)
        if topic is None:
            raise _bad("TOPIC_ID_INVALID")
        changed = replace(topic, **changes)
        if changed == topic:
            raise _bad("TOPIC_NOT_MODIFIED")
        if not 1 <= len(changed.name) <= TOPIC_NAME_LIMIT:
            raise _bad("TOPIC_TITLE_INVALID")
        self._state.topics[topic_id] = changed
        return True

    def _target_topic(self, params: Params) -> int | None:
        if params.get("message_thread_id") is None:
            return None
        topic = self._state.topic(_integer(params, "message_thread_id"))
        if topic is None:
            raise _bad("message thread not found")
        if topic.is_closed and not self._state.can_manage_topics:
            raise _bad("TOPIC_CLOSED")
        return topic.topic_id

    def _reply_target(self, params: Params) -> int | None:
        reply = params.get("reply_parameters")
        if not isinstance(reply, Mapping):
            return None
        target = _integer(reply, "message_id")
        if self._state.has_message(target):
            return target
        if reply.get("allow_sending_without_reply"):
            return None
        raise _bad("message to be replied not found")

    def _edit(self, params: Params, **changes: Any) -> JsonDict:
        self._check_chat(params)
        for index, message in enumerate(self._state.messages):
            if message.message_id == _integer(params, "message_id", 0):
                edited = replace(message, **changes)
                if edited == message:
                    raise _bad("message is not modified")
                self._state.messages[index] = edited
                return self._state.message_json(edited)
        raise _bad("message to edit not found")


def _rendered(source: str, parse_mode: object) -> str:
    try:
        text = visible_text(source) if parse_mode == "HTML" else source
    except MarkupError as error:
        raise _bad(f"can't parse entities: {error}") from error
    if not text.strip():
        raise _bad("message text is empty")
    if len(text.encode("utf-16-le")) // 2 > TEXT_LIMIT:
        raise _bad("message is too long")
    return text.strip()


def _buttons(params: Params) -> tuple[InlineButton, ...]:
    markup = params.get("reply_markup")
    rows = markup.get("inline_keyboard", []) if isinstance(markup, Mapping) else []
    buttons = tuple(InlineButton(text=key["text"], data=key.get("callback_data", "")) for row in rows for key in row)
    if any(not 1 <= len(button.data.encode()) <= CALLBACK_DATA_BYTES for button in buttons):
        raise _bad("BUTTON_DATA_INVALID")
    return buttons


def _integer(params: Params, name: str, default: int | None = None) -> int:
    try:
        return int(params[name] if default is None else params.get(name, default))
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(f"parameter {name} is missing or not a number") from error


def _bad(description: str) -> ApiError:
    return ApiError(400, f"Bad Request: {description}")
