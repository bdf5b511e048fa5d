"""The calls of the self-built app: messages to members, and what their cards show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis
from tenacity.wait import wait_base

from tools.errors import BadRequestError, ChannelSetupError, ChannelUnavailableError
from tools.messages import File, MediaKind
from tools.wecom.transport import TIMEOUT, Downloaded, WecomTransport

TEXT_BYTES = 2048
"""Longer texts are cut by WeCom without a word (doc 90236)."""

FILE_BYTES = 20 * 1024 * 1024

CARD_SECONDS = 1800

NO_SUCH_MEMBER = frozenset({60011, 60111, 81013})
"""Codes for receivers that do not exist, or are outside the app's visible range."""

UNKNOWN_AGENT = 301002

_REPEATED_TASK = re.compile(r"(?i)task[ _-]?id.*(?:duplicat|repeat|already|exist|重复|已存在)")
_UNKNOWN_TASK = re.compile(r"(?i)(?:not|n't|non)[ -]?exist|不存在")


def _says_shown(words: str) -> bool:
    """Tell whether a card is refused because one of the same task id was sent before."""
    return _REPEATED_TASK.search(words) is not None and _UNKNOWN_TASK.search(words) is None


class WecomApp(WecomTransport):
    """The app with this agent id; its secret is not that of the 微信客服 calls."""

    def __init__(
        self,
        *,
        api_base: str,
        corp_id: str,
        secret: SecretStr,
        agent_id: int,
        redis: Redis | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        wait: wait_base | None = None,
    ) -> None:
        super().__init__(api_base=api_base, corp_id=corp_id, secret=secret, redis=redis, timeout=timeout, wait=wait)
        self.agent_id = agent_id

    async def send_text(self, members: Sequence[str], text: str, *, once_in: int = 0) -> Sequence[str]:
        """Send a text; return the members that WeCom did not find.

        The same text is shown once in `once_in` seconds; 0: however often it is sent.
        """
        return await self._send(members, "text", {"content": text}, once_in=once_in)

    async def send_card(self, members: Sequence[str], card: Mapping[str, Any]) -> Sequence[str]:
        """Send a card; the same one is shown once however often it is sent within half an hour.

        Whether WeCom takes a task id twice is not documented. If it refuses, saying so, the card is there already; a
        refusal in other words is tried under another id, so that an earlier attempt cannot cost the card.
        """
        try:
            return await self._send_card(members, card)
        except BadRequestError as error:
            if isinstance(error, ChannelSetupError) or error.code in NO_SUCH_MEMBER:
                raise
        return await self._send_card(members, {**card, "task_id": f"{card['task_id']}-again"})

    async def _send_card(self, members: Sequence[str], card: Mapping[str, Any]) -> Sequence[str]:
        try:
            return await self._send(members, "template_card", card, once_in=CARD_SECONDS)
        except BadRequestError as error:
            if _says_shown(str(error)):
                return ()
            raise

    async def send_file(self, members: Sequence[str], file: File) -> Sequence[str]:
        """Upload a file and send it as what it is; return the members that WeCom did not find."""
        return await self.send_media(members, *await self.upload_file(file))

    async def upload_file(self, file: File) -> tuple[MediaKind, str]:
        """Upload a file; return as what WeCom took it, and its id."""
        try:
            return file.kind, await self._uploaded(file, file.kind)
        except BadRequestError:
            # Too large for a picture or a recording, or of a format those do not take.
            return "file", await self._uploaded(file, "file")

    async def send_media(
        self, members: Sequence[str], kind: MediaKind, media_id: str, *, once_in: int = 0
    ) -> Sequence[str]:
        """Send what was uploaded; return the members that WeCom did not find. `once_in` as for `send_text`."""
        return await self._send(members, kind, {"media_id": media_id}, once_in=once_in)

    async def download_media(self, media_id: str) -> Downloaded:
        """Return what a member sent."""
        return await self.download("media/get", {"media_id": media_id}, at_most=FILE_BYTES)

    async def update_card(self, response_code: str, member: str, label: str) -> None:
        """Let a member's card show this instead of its buttons; a code is good for once, within 72 hours."""
        body = {
            "userids": [member],
            "agentid": self.agent_id,
            "response_code": response_code,
            "button": {"replace_name": label},
        }
        await self.call("message/update_template_card", body)

    async def _uploaded(self, file: File, kind: MediaKind) -> str:
        answer = await self.upload("media/upload", {"type": kind}, name=file.name or kind, content=file.content)
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise ChannelUnavailableError("WeCom media/upload: the answer has no media_id")
        return media_id

    async def _send(
        self, members: Sequence[str], msgtype: str, payload: Mapping[str, Any], *, once_in: int
    ) -> Sequence[str]:
        body: dict[str, Any] = {
            "touser": "|".join(members),
            "msgtype": msgtype,
            "agentid": self.agent_id,
            msgtype: payload,
        }
        check = {"enable_duplicate_check": 1, "duplicate_check_interval": once_in} if once_in else {}
        answer = await self.call("message/send", body | check, repeatable=bool(check))
        missing = {name.lower() for name in str(answer.get("invaliduser") or "").split("|") if name}
        return [member for member in members if member.lower() in missing]
