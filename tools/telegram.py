"""The human desk on Telegram: cards and lines out, people's updates in.

python-telegram-bot serves as a typed client only. Updates are polled raw and parsed by `tools.telegram_updates`,
because each must become a row before anything acts on it. Telegram's rate limits are met by passing its 429 on: the
outbox waits as long as it asked and keeps the order, in every process.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest

from tools.errors import DeskSetupError, TopicGoneError
from tools.messages import DeskEvent, DeskPlace, DeskPost, File, Media
from tools.telegram_cards import (
    CAPTION_LIMIT,
    COMMAND_MENU,
    DELIVERED,
    MESSAGE_LIMIT,
    Rendered,
    escape_within,
    plain_within,
    render,
    topic_name,
)
from tools.telegram_errors import desk_errors, no_topic_right, topic_errors
from tools.telegram_files import fetch_file, send_file
from tools.telegram_http import BotRequest, without_token
from tools.telegram_updates import UPDATE_KINDS

logger = logging.getLogger(__name__)

CALLBACK_ANSWER_LIMIT = 200
REACTION = "👌"
"""Says that a message was delivered; a tick is none of the reactions Telegram knows."""
POLL_GRACE_SECONDS = 10
"""How much longer than asked a long poll may take before the connection counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How Telegram hands over updates now."""

    webhook_url: str
    """Empty: they wait to be polled."""
    waiting: int
    last_error: str
    """Why the last post to the webhook failed; empty when none did."""


class TelegramDesk:
    """Where people answer, in one Telegram chat.

    In a forum supergroup every conversation gets a topic of its own; in any other chat people answer by replying to a
    message. Nothing is asked of Telegram before the first call, so a dead Telegram does not stop the start.
    """

    def __init__(
        self, *, token: SecretStr, chat_id: int, api_base: str = "https://api.telegram.org", timeout: float = 10
    ) -> None:
        # httpx logs whole addresses at INFO, and the token is part of them.
        logging.getLogger("httpx").addFilter(without_token)
        self._chat_id = chat_id
        own_id = token.get_secret_value().partition(":")[0]
        self.bot_id = int(own_id) if own_id.isdecimal() else None
        """The bot's own id, which its token begins with; None: the token is none."""
        self._request = BotRequest(timeout, api_base)
        self._bot = Bot(
            token.get_secret_value(),
            base_url=f"{api_base}/bot",
            base_file_url=f"{api_base}/file/bot",
            request=self._request,
            get_updates_request=self._request,
        )
        self._has_topics = False
        """Whether Telegram is known to have topics here; asked again for every place while it is not."""

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        """Return where this conversation is shown, making a topic for it where there are topics.

        A topic made here and never recorded stays behind empty: nothing is shown in it before the caller knows it.

        Raises:
            DeskUnavailableError: no answer, a server error, or too many messages (`retry_after`).
            DeskError: something at the desk must be mended first; the message says what.
        """
        with self._desk_errors():
            if not await self._is_forum():
                return DeskPlace(chat_id=self._chat_id, topic_id=None)
            if known is not None and known.chat_id == self._chat_id and known.topic_id is not None:
                return known
            return DeskPlace(chat_id=self._chat_id, topic_id=await self._make_topic(topic_name(post)))

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        """Show something and return the message's id.

        Raises:
            TopicGoneError: the topic was deleted at the desk, or all were: `place` without it finds another.
            DeskUnavailableError: no answer, a server error, or too many messages (`retry_after`).
            DeskError: something at the desk must be mended first; the message says what.
        """
        if place.chat_id != self._chat_id:
            # Topics are numbered within their chat: the same number is another customer's here.
            raise TopicGoneError("the conversation's place is in a chat that is not the desk any more")
        with self._desk_errors():
            limit = MESSAGE_LIMIT if post.file is None else CAPTION_LIMIT
            rendered = render(post, in_topic=place.topic_id is not None, limit=limit)
            return await self._send(rendered, place.topic_id, post.reply_to, post.file)

    async def mark(self, post: DeskPost, place: DeskPlace) -> None:
        """Put a reaction on a person's message, and say the post's text; without reactions say that it arrived.

        A message or a topic that is gone needs no mark any more.

        Raises:
            DeskError: as for `post`.
        """
        if place.chat_id != self._chat_id:
            return
        with contextlib.suppress(TopicGoneError), self._desk_errors():
            is_marked = post.reply_to is not None and await self._react(post.reply_to)
            if post.text or not is_marked:
                text = Rendered(html=escape_within(post.text or DELIVERED, MESSAGE_LIMIT))
                await self._send(text, place.topic_id, post.reply_to)

    async def label(self, post: DeskPost, place: DeskPlace) -> None:
        """Name the topic after whose turn it is; it is closed with the conversation and opened when a person waits.

        Raises:
            DeskError: as for `post`.
        """
        if place.topic_id is None or place.chat_id != self._chat_id:
            return
        with contextlib.suppress(TopicGoneError), self._desk_errors():
            if post.label.status in {"waiting", "taken"}:
                with topic_errors():
                    await self._bot.reopen_forum_topic(self._chat_id, place.topic_id)
            with topic_errors():
                await self._bot.edit_forum_topic(self._chat_id, place.topic_id, name=topic_name(post))
            if post.label.is_closed:
                with topic_errors():
                    await self._bot.close_forum_topic(self._chat_id, place.topic_id)

    async def fetch(self, media: Media) -> File:
        """Return a file that a person sent; Telegram gives bots none larger than 20 MB.

        Raises:
            DeskError: as for `post`; not `transient` when it is gone or too large.
        """
        with self._desk_errors():
            return await fetch_file(self._bot, media)

    async def acknowledge(self, event: DeskEvent, text: str) -> None:
        """Answer a press of a button with a pop-up, anything else with a message in its place.

        A press that Telegram has forgotten and a topic that is gone need no answer any more.

        Raises:
            DeskError: as for `post`.
        """
        with contextlib.suppress(TopicGoneError), self._desk_errors():
            if event.callback_id is None:
                await self._reply(event, plain_within(text, MESSAGE_LIMIT))
                return
            try:
                await self._bot.answer_callback_query(event.callback_id, plain_within(text, CALLBACK_ANSWER_LIMIT))
            except BadRequest as error:
                if "query is too old" not in error.message.lower():
                    raise

    async def poll(self, offset: int, timeout: int) -> list[Mapping[str, Any]]:  # noqa: ASYNC109 -- Telegram's own
        """Wait up to `timeout` seconds for raw updates from `offset` on; asking confirms all earlier ones.

        Each has an integer `update_id`; nothing else is promised.

        Raises:
            DeskUnavailableError: no answer, or another process is reading this bot's updates.
            DeskError: the token is refused.
        """
        arguments = {"offset": offset, "timeout": timeout, "allowed_updates": list(UPDATE_KINDS)}
        with self._desk_errors():
            # Not Bot.get_updates: one update it cannot read would fail the whole batch, for ever. Method names are
            # case-insensitive; in this spelling the client does not insist on its own wrapper.
            updates: object = await self._bot.do_api_request(
                "GetUpdates", api_kwargs=arguments, read_timeout=timeout + POLL_GRACE_SECONDS
            )
        return [update for update in updates if _is_update(update)] if isinstance(updates, list) else []

    async def use_webhook(self, url: str, secret: SecretStr) -> None:
        """Have updates posted to `url` with the secret in a header; polling is refused from then on."""
        with self._desk_errors():
            await self._bot.set_webhook(url, secret_token=secret.get_secret_value(), allowed_updates=UPDATE_KINDS)

    async def use_polling(self) -> None:
        """Have updates kept for `poll`; waiting ones are not lost."""
        with self._desk_errors():
            await self._bot.delete_webhook(drop_pending_updates=False)

    async def offer_commands(self) -> None:
        """Have Telegram offer the commands to whoever types a slash in the chat.

        Raises:
            DeskError: as for `post`.
        """
        commands = [BotCommand(name, words) for name, words in COMMAND_MENU.items()]
        with self._desk_errors():
            await self._bot.set_my_commands(commands, scope=BotCommandScopeChat(self._chat_id))

    async def delivery(self) -> Delivery:
        """Ask how Telegram hands over updates now."""
        with self._desk_errors():
            info = await self._bot.get_webhook_info()
        return Delivery(
            webhook_url=info.url, waiting=info.pending_update_count, last_error=info.last_error_message or ""
        )

    async def check(self) -> str:
        """Try token, chat and rights without writing anything; return what was found in one line.

        Raises:
            DeskError: as for `post`.
        """
        self._has_topics = False
        with self._desk_errors():
            me = await self._bot.get_me()
            if not await self._is_forum():
                return f"@{me.username} in chat {self._chat_id}: no topics, people answer by replying"
            member = await self._bot.get_chat_member(self._chat_id, me.id)
            if member.status != "creator" and not getattr(member, "can_manage_topics", False):
                raise DeskSetupError(no_topic_right(self._chat_id))
        return f"@{me.username} in forum {self._chat_id}: one topic a customer"

    async def close(self) -> None:
        """Close the connections."""
        await self._request.shutdown()

    async def _is_forum(self) -> bool:
        if not self._has_topics:
            chat = await self._bot.get_chat(self._chat_id)
            self._has_topics = bool(chat.is_forum)
        return self._has_topics

    async def _make_topic(self, name: str) -> int | None:
        """Return a new topic; None when topics were switched off since the chat was looked up."""
        try:
            topic = await self._bot.create_forum_topic(self._chat_id, name)
        except BadRequest as error:
            if "not a forum" not in error.message.lower():
                raise
            logger.warning("Topics were switched off: people answer by replying", extra={"action": "desk_topics_off"})
            self._has_topics = False
            return None
        return topic.message_thread_id

    async def _react(self, message_id: int) -> bool:
        """Return whether the message needs no other mark."""
        try:
            return await self._bot.set_message_reaction(self._chat_id, message_id, REACTION)
        except BadRequest as error:
            return "not found" in error.message.lower()

    async def _send(
        self, rendered: Rendered, topic_id: int | None, reply_to: int | None = None, file: File | None = None
    ) -> int:
        rows = [
            [InlineKeyboardButton(button.label, callback_data=button.data) for button in row] for row in rendered.rows
        ]
        options: dict[str, Any] = {
            "message_thread_id": topic_id,
            "reply_markup": InlineKeyboardMarkup(rows) if rendered.buttons else None,
            "reply_parameters": _reply_parameters(reply_to),
        }
        with topic_errors():
            if file is not None:
                return (await send_file(self._bot, self._chat_id, file, rendered.html, options)).message_id
            message = await self._bot.send_message(
                self._chat_id,
                rendered.html,
                parse_mode=ParseMode.HTML,
                # A preview would have Telegram fetch whatever address a customer wrote.
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                **options,
            )
        return message.message_id

    async def _reply(self, event: DeskEvent, text: str) -> None:
        with topic_errors():
            await self._bot.send_message(
                self._chat_id,
                text,
                message_thread_id=event.place.topic_id,
                reply_parameters=_reply_parameters(event.message_id or event.reply_to),
            )

    def _desk_errors(self) -> AbstractContextManager[None]:
        return desk_errors(self._chat_id)


def _is_update(update: object) -> bool:
    return isinstance(update, Mapping) and isinstance(update.get("update_id"), int)


def _reply_parameters(message_id: int | None) -> ReplyParameters | None:
    return None if message_id is None else ReplyParameters(message_id, allow_sending_without_reply=True)
