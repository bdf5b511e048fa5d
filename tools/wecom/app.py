"""The calls of the self-built app: messages to members, and what their cards show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis
from tenacity.wait import wait_base

from tools.errors import BadRequestError, ChannelUnavailableError
from tools.messages import File, MediaKind
from tools.wecom.transport import TIMEOUT, Downloaded, WecomTransport

TEXT_BYTES = 2048
"""Longer texts are cut by WeCom without a word (doc 90236)."""

FILE_BYTES = 20 * 1024 * 1024

NO_SUCH_MEMBER = frozenset({60011, 60111, 81013})
"""Codes for receivers that do not exist, or are outside the app's visible range."""


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

    async def send_text(self, members: Sequence[str], text: str) -> Sequence[str]:
        """Send a text; return the members that WeCom did not find."""
        return await self._send(members, "text", {"content": text})

    async def send_card(self, members: Sequence[str], card: Mapping[str, Any]) -> Sequence[str]:
        """Send a card; the same one is shown once however often it is sent within half an hour."""
        return await self._send(members, "template_card", card, is_unique=True)

    async def send_file(self, members: Sequence[str], file: File) -> Sequence[str]:
        """Upload a file and send it as what it is; return the members that WeCom did not find."""
        kind, media_id = file.kind, ""
        try:
            media_id = await self._uploaded(file, file.kind)
        except BadRequestError:
            # Too large for a picture or a recording, or of a format those do not take.
            kind, media_id = "file", await self._uploaded(file, "file")
        return await self._send(members, kind, {"media_id": media_id})

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
        self, members: Sequence[str], msgtype: str, payload: Mapping[str, Any], *, is_unique: bool = False
    ) -> Sequence[str]:
        body: dict[str, Any] = {
            "touser": "|".join(members),
            "msgtype": msgtype,
            "agentid": self.agent_id,
            msgtype: payload,
        }
        # Not for texts: two customers' lines may well be the same.
        check = {"enable_duplicate_check": 1, "duplicate_check_interval": 1800} if is_unique else {}
        answer = await self.call("message/send", body | check, repeatable=is_unique)
        missing = {name.lower() for name in str(answer.get("invaliduser") or "").split("|") if name}
        return [member for member in members if member.lower() in missing]
