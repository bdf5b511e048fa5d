"""Telegram on loopback: the Bot API for the desk, and hands and eyes for the people in its chat."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tools.simulators.server import LoopbackServer
from tools.simulators.telegram_api import BotApi
from tools.simulators.telegram_files import DOWNLOAD, fields_of
from tools.simulators.telegram_state import (
    ApiError,
    BotMessage,
    CallbackAnswer,
    ChatState,
    JsonDict,
    SentFile,
    Topic,
    Webhook,
)
from tools.simulators.telegram_wire import answer, read_params, refusal

TOKEN = "4242:simulated-token"  # noqa: S105 -- opens nothing but this simulator
CHAT_ID = -1001000000001
WEBHOOK_TIMEOUT_SECONDS = 10


class TelegramSimulator:
    """One bot in one chat, used as an async context manager.

    A supergroup with topics by default; `forum=False` takes them away, `chat_type` makes it a `group` or `private`
    chat. Updates wait for getUpdates until a webhook is set, then they are posted in order: one that is refused
    `webhook_attempts` times is given up.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        chat_id: int = CHAT_ID,
        forum: bool = True,
        chat_type: str = "supergroup",
        latency: float = 0.0,
        port: int = 0,
        webhook_attempts: int = 3,
        webhook_retry_delay: float = 0.05,
    ) -> None:
        self.token = token
        self.chat_id = chat_id
        self.latency = latency
        """Seconds every call takes longer."""
        self._state = ChatState(chat_id=chat_id, chat_type=chat_type, is_forum=forum and chat_type == "supergroup")
        self._api = BotApi(self._state)
        self._failures: dict[str, deque[ApiError]] = {}
        self._callback_numbers = itertools.count(1)
        self._attempts, self._retry_delay = webhook_attempts, webhook_retry_delay
        self._posting: asyncio.Task[None] | None = None
        self.calls: list[str] = []
        """Methods called, in order."""
        routes = [
            Route("/bot{token}/{method}", self._serve, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._download),
        ]
        self._server = LoopbackServer(Starlette(routes=routes), port=port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, on the same port and with everything remembered."""
        await self._server.start()
        self._posting = asyncio.create_task(self._post_updates(), name="telegram-webhook")

    async def stop(self) -> None:
        """Go away, as in an outage."""
        if self._posting is not None:
            self._posting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._posting
            self._posting = None
        await self._server.stop()

    @property
    def api_base(self) -> str:
        """The value for TELEGRAM_API_BASE."""
        return self._server.url

    @property
    def messages(self) -> Sequence[BotMessage]:
        """What the bot wrote, oldest first, as it reads now."""
        return tuple(self._state.messages)

    @property
    def topics(self) -> Sequence[Topic]:
        """The topics there are, oldest first."""
        return tuple(self._state.topics.values())

    @property
    def callback_answers(self) -> Sequence[CallbackAnswer]:
        """How the bot answered presses of buttons."""
        return tuple(self._state.callback_answers)

    @property
    def commands(self) -> Sequence[JsonDict]:
        """The bot's command menu."""
        return tuple(self._state.commands)

    @property
    def webhook(self) -> Webhook | None:
        """Where updates are posted; None while they are polled."""
        return self._state.webhook

    @property
    def pending_updates(self) -> int:
        """How many updates the bot has not taken yet."""
        return len(self._state.updates)

    def fail_next(
        self,
        method: str,
        code: int,
        retry_after: int | None = None,
        *,
        migrate_to_chat_id: int | None = None,
        description: str = "simulated",
        times: int = 1,
    ) -> None:
        """Answer the next calls of a method with an error instead of doing anything."""
        parameters = {"retry_after": retry_after, "migrate_to_chat_id": migrate_to_chat_id}
        given = {name: value for name, value in parameters.items() if value is not None}
        error = ApiError(code, description, **given)
        self._failures.setdefault(method.lower(), deque()).extend([error] * times)

    def set_forum(self, *, is_forum: bool) -> None:
        """Switch topics on or off in the group's settings."""
        self._state.is_forum = is_forum

    @property
    def reactions(self) -> Mapping[int, str]:
        """What the bot reacted with, by message."""
        return dict(self._state.reactions)

    def set_reactions(self, *, allowed: bool) -> None:
        """Allow reactions in the chat, or forbid them."""
        self._state.can_react = allowed

    def set_topic_right(self, *, can_manage_topics: bool) -> None:
        """Give the bot the right to manage topics, or take it."""
        self._state.can_manage_topics = can_manage_topics

    async def agent_writes(
        self,
        text: str,
        *,
        topic_id: int | None = None,
        reply_to: int | None = None,
        agent: str = "小王",
        chat_id: int | None = None,
    ) -> int:
        """Have a person write in a topic, as a reply, or just so; return the message's id."""
        return await self._agent_message({"text": text}, topic_id, reply_to, agent, chat_id)

    async def agent_sends(
        self, content: JsonDict, *, topic_id: int | None = None, reply_to: int | None = None, agent: str = "小王"
    ) -> int:
        """Have a person send something that is no text, given as the message's own fields."""
        return await self._agent_message(content, topic_id, reply_to, agent, None)

    async def agent_sends_file(
        self,
        kind: str,
        content: bytes,
        *,
        name: str = "",
        caption: str = "",
        size: int | None = None,
        topic_id: int | None = None,
        reply_to: int | None = None,
        agent: str = "小王",
    ) -> int:
        """Have a person send a `photo`, `document`, `voice`, `video`, … ; `size` is told instead of the true one."""
        file = SentFile(file_id=self._state.new_file_id(), kind=kind, name=name, content=content)
        self._state.files[file.file_id] = file
        fields = fields_of(file, size=size) | ({"caption": caption} if caption else {})
        return await self._agent_message(fields, topic_id, reply_to, agent, None)

    def forget_files(self) -> None:
        """Have Telegram lose what people sent."""
        self._state.files.clear()

    async def agent_presses(self, message_id: int, data: str, *, agent: str = "小王") -> str:
        """Have a person press a button; return the id the bot must answer.

        Raises:
            ValueError: the message has no such button.
        """
        message = self._state.message(message_id)
        if message is None or data not in [button.data for button in message.buttons]:
            raise ValueError(f"message {message_id} has no button with {data!r}")
        callback_id = f"callback-{next(self._callback_numbers)}"
        self._state.pressed.add(callback_id)
        query = {"id": callback_id, "chat_instance": "1", "data": data, "from": self._state.agent_json(agent)}
        await self._state.add_update("callback_query", {**query, "message": self._state.message_json(message)})
        return callback_id

    async def agent_edits(self, message_id: int, text: str) -> None:
        """Have a person change what he wrote."""
        body = {**self._state.said[message_id], "text": text, "edit_date": int(time.time())}
        await self._state.add_update("edited_message", body)

    async def repeat_last_update(self) -> None:
        """Deliver the last update of a person once more, as after an answer that got lost."""
        await self._state.repeat_last_update()

    async def delete_topic(self, topic_id: int) -> None:
        """Have a person delete a topic with everything in it."""
        del self._state.topics[topic_id]
        self._state.deleted |= {message.message_id for message in self._state.messages if message.topic_id == topic_id}
        self._state.deleted |= {
            message_id for message_id, body in self._state.said.items() if body.get("message_thread_id") == topic_id
        }
        self._state.messages = [message for message in self._state.messages if message.topic_id != topic_id]
        await self._state.announce()

    async def close_topic(self, topic_id: int) -> None:
        """Have a person close a topic."""
        self._state.topics[topic_id] = replace(self._state.topics[topic_id], is_closed=True)
        await self._state.announce()

    async def wait_for_message(
        self,
        predicate: Callable[[BotMessage], bool] = lambda _: True,
        timeout: float = 5.0,  # noqa: ASYNC109 -- reads better in a test than a block around it
    ) -> BotMessage:
        """Wait until the bot has written a message like this, and return the first such.

        Raises:
            TimeoutError: none came in time; the message lists what did.
        """
        await self.wait_until(lambda: any(map(predicate, self._state.messages)), timeout, what="such a message")
        return next(filter(predicate, self._state.messages))

    async def wait_until(
        self,
        is_reached: Callable[[], bool],
        timeout: float = 5.0,  # noqa: ASYNC109 -- reads better in a test than a block around it
        *,
        what: str = "the awaited state",
    ) -> None:
        """Wait until something holds; it is looked at after every call and every update.

        Raises:
            TimeoutError: it did not come to hold in time.
        """
        if not await self._state.wait_until(is_reached, timeout):
            seen = [message.text for message in self._state.messages]
            raise TimeoutError(f"{what} did not come within {timeout} s; the bot wrote {seen}")

    async def _agent_message(
        self, content: JsonDict, topic_id: int | None, reply_to: int | None, agent: str, chat_id: int | None
    ) -> int:
        state = self._state
        answered = state.message(reply_to) if reply_to is not None else None
        if topic_id is None and answered is not None and state.is_forum:
            topic_id = answered.topic_id
        if topic_id is not None and state.topic(topic_id) is None:
            raise ValueError(f"there is no topic {topic_id}")
        message_id = state.new_message_id()
        body = {**state.envelope(message_id, topic_id, chat_id), "from": state.agent_json(agent), **content}
        if reply_to is not None:
            body["reply_to_message"] = state.reply_json(reply_to)
        elif topic_id is not None:
            body["reply_to_message"] = state.topic_reply_json(topic_id)
        state.said[message_id] = body
        await state.add_update("message", body)
        return message_id

    async def _serve(self, request: Request) -> Response:
        try:
            return answer(await self._call(request))
        except ApiError as error:
            return refusal(error)

    async def _call(self, request: Request) -> object:
        method = request.path_params["method"]
        params = await read_params(request)
        await self._check(request, method)
        return await self._api.call(method, params)

    async def _download(self, request: Request) -> Response:
        try:
            await self._check(request, DOWNLOAD)
            return Response(self._api.files.download(request.path_params["path"]))
        except ApiError as error:
            return refusal(error)

    async def _check(self, request: Request, method: str) -> None:
        if not hmac.compare_digest(request.path_params["token"].encode(), self.token.encode()):
            raise ApiError(401, "Unauthorized")
        self.calls.append(method)
        if self.latency:
            await asyncio.sleep(self.latency)
        failures = self._failures.get(method.lower())
        if failures:
            raise failures.popleft()

    async def _post_updates(self) -> None:
        state = self._state
        await state.wait_for(lambda: state.webhook is not None)
        async with httpx.AsyncClient(trust_env=False, timeout=WEBHOOK_TIMEOUT_SECONDS) as client:
            while True:
                await state.wait_for(lambda: state.webhook is not None and bool(state.updates))
                update = state.updates[0]
                await self._post_update(client, update)
                if state.webhook is not None and update in state.updates:
                    state.updates.remove(update)
                await state.announce()

    async def _post_update(self, client: httpx.AsyncClient, update: JsonDict) -> None:
        for attempt in range(1, self._attempts + 1):
            hook = self._state.webhook
            if hook is None:
                return
            headers = {"X-Telegram-Bot-Api-Secret-Token": hook.secret} if hook.secret else {}
            try:
                response = await client.post(hook.url, json=update, headers=headers)
            except httpx.HTTPError as error:
                self._state.last_webhook_error = f"Connection failed: {type(error).__name__}"
            else:
                if response.is_success:
                    return
                self._state.last_webhook_error = f"Wrong response from the webhook: {response.status_code}"
            await asyncio.sleep(self._retry_delay * attempt)
