"""The customers' channel over the self-built app: members of the company write to it and are answered in its chat."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.errors import BadRequestError, ChannelError, ChannelSetupError, StaffUnavailableError
from tools.files import FILE_BYTES, file_name
from tools.messages import File, Inbound, Media, MediaKind, Menu, Outbound, Page, SendLimits, Session
from tools.wecom.app import NO_SUCH_MEMBER, TEXT_BYTES, UNKNOWN_AGENT, WecomApp
from tools.wecom.message_words import words_for
from tools.wecom.splitting import split_text

CHANNEL = "wecom-app"

ONCE_IN = 4 * 3600
"""Seconds within which WeCom can tell a repeated attempt at most (doc 90236)."""

TRAVEL = 300
"""Seconds an attempt may last at most: WeCom counts from when a text came in, rows from when it was sent off."""

MEDIA: Mapping[str, MediaKind] = {"image": "image", "voice": "voice", "video": "video", "file": "file"}
KINDS = frozenset({"text", "location", "link", "shortvideo", "emotion", "miniprogram", *MEDIA})
"""What members write; all else they cause in the app's chat are events."""

_DETAILS: Mapping[str, Mapping[str, str]] = {
    "location": {"address": "Label", "latitude": "Location_X", "longitude": "Location_Y"},
    "link": {"title": "Title", "url": "Url"},
    "miniprogram": {"title": "Title"},
}
"""What is kept of a card, under the names that the 微信客服 messages have for it."""

UPLOADS = 100
"""Files remembered, so that a repeated attempt is the same message."""


def to_inbound(fields: Mapping[str, Any], *, agent_id: int) -> Inbound | None:
    """Read a callback as what a member wrote to this app; None when it is anything else."""
    kind, sender, message_id = (_text(fields, name) for name in ("MsgType", "FromUserName", "MsgId"))
    if kind not in KINDS or not sender or not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", message_id):
        return None
    if _text(fields, "AgentID") not in {"", str(agent_id)}:
        return None
    extra: dict[str, Any] = {name: _text(fields, field) for name, field in _DETAILS.get(kind, {}).items()}
    if kind in MEDIA and (ref := _text(fields, "MediaId")):
        extra["media"] = {"kind": MEDIA[kind], "ref": ref, "name": _text(fields, "FileName")}
    created = _text(fields, "CreateTime")
    return Inbound(
        channel=CHANNEL,
        account_id=str(agent_id),
        customer_id=sender,
        message_id=message_id,
        sender="customer",
        kind=kind,
        text=_text(fields, "Content") if kind == "text" else words_for(kind, extra),
        sent_at=float(created) if re.fullmatch(r"[0-9]{1,10}", created) else 0.0,
        extra=extra,
    )


class WecomAppChannel:
    """`tools.ports.Channel` over the app's messages; nothing is pulled, callbacks bring what members write.

    Whoever is in `agents` answers at the desk in the same chat, and is nobody's customer.
    """

    limits = SendLimits(units=1000, window_seconds=float("inf"), a_minute=16, same_text_seconds=ONCE_IN + TRAVEL)
    """WeCom loses what is beyond 30 a minute or 1000 an hour without a word (doc 90236): this is below both."""

    def __init__(self, app: WecomApp, *, agents: Sequence[str] = ()) -> None:
        self._app = app
        self._agents = frozenset(agent.lower() for agent in agents)
        self._uploads: OrderedDict[str, tuple[MediaKind, str]] = OrderedDict()

    def read(self, fields: Mapping[str, Any]) -> Inbound | None:
        """Return what a member who is no agent wrote; None when the callback is anything else."""
        inbound = to_inbound(fields, agent_id=self._app.agent_id)
        return None if inbound is None or inbound.customer_id.lower() in self._agents else inbound

    async def pull(self, account_id: str, *, cursor: str, token: str) -> Page:
        """Return an empty page: there is no list to read."""
        del account_id, token
        return Page(messages=(), next_cursor=cursor, has_more=False)

    async def send(self, outbound: Outbound) -> None:
        """Send a text, a menu as its numbered list, or a file.

        There are no keys here: WeCom knows a repeated attempt by its being the same, for four hours. What
        `is_said_again` goes out unchecked; only then, or after a restart a file, could an attempt of unknown outcome
        arrive twice.

        Raises:
            BadRequestError: WeCom does not find the member.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        member, once_in = (outbound.customer_id,), 0 if outbound.is_said_again else ONCE_IN
        with self._explained():
            if outbound.file is not None:
                uploaded = await self._uploaded(outbound.key, outbound.file)
                missing = await self._app.send_media(member, *uploaded, once_in=once_in)
            else:
                missing = await self._app.send_text(member, self.split(outbound.text)[0], once_in=once_in)
        if missing:
            raise BadRequestError("WeCom message/send: the member is not in the app's 可见范围 any more")

    async def fetch(self, media: Media) -> File:
        """Return a file that a member sent; WeCom keeps it for three days.

        Raises:
            BadRequestError: it is gone, or too large.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        found = await self._app.download_media(media.ref)
        name = file_name(media.kind, media.name or found.name, found.content)
        return File(kind=media.kind, name=name, content=found.content)

    async def welcome(self, code: str, greeting: str | Menu, key: str) -> None:
        """Do nothing: whoever opens the app's chat brings no code to answer."""

    async def account_ids(self) -> Sequence[str]:
        """There is nothing to pull."""
        return ()

    async def customer_name(self, customer_id: str) -> str:
        """Return the userid: it is what colleagues call each other by, and names need a permission of their own."""
        return customer_id

    async def session(self, account_id: str, customer_id: str) -> Session:
        """The bot has every session."""
        del account_id, customer_id
        return "bot"

    async def hand_to_staff(self, account_id: str, customer_id: str, staff_id: str) -> Session:
        """There is no staff in this chat: colleagues answer at the desk.

        Raises:
            StaffUnavailableError: always.
        """
        del account_id, customer_id, staff_id
        raise StaffUnavailableError("nobody receives members in the app's chat; answer them at the desk")

    def split(self, text: str) -> list[str]:
        """Cut a text into parts message/send shows whole."""
        return split_text(text, TEXT_BYTES)

    async def close(self) -> None:
        """Close the connections."""
        await self._app.aclose()

    async def _uploaded(self, key: str, file: File) -> tuple[MediaKind, str]:
        if key not in self._uploads:
            if len(file.content) > FILE_BYTES:
                raise BadRequestError(f"WeCom media/upload: the file is larger than {FILE_BYTES} bytes")
            named = File(kind=file.kind, name=file_name(file.kind, file.name, file.content), content=file.content)
            self._uploads[key] = await self._app.upload_file(named)
            while len(self._uploads) > UPLOADS:
                self._uploads.popitem(last=False)
        return self._uploads[key]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ChannelError as error:
            if error.code in NO_SUCH_MEMBER:
                text = "WeCom message/send: the member is not in the app's 可见范围 any more"
                raise BadRequestError(f"{text} ({error.code})", code=error.code) from error
            if error.code == UNKNOWN_AGENT:
                text = "WECOM_AGENT_ID is not the app of WECOM_AGENT_SECRET: copy both from the same app's page"
                raise ChannelSetupError(f"{text} ({error.code})", code=error.code) from error
            raise


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
