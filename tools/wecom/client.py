"""The 微信客服 calls this service makes, typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from tools.errors import BadRequestError, ChannelUnavailableError
from tools.files import FILE_BYTES
from tools.messages import MediaKind
from tools.wecom.transport import Downloaded, WecomTransport, rows_of

TEXT_BYTES = 2048
"""Longer texts are cut by WeCom without a word (doc 94677)."""

STALE_PULL_TOKEN = 95007


class ServiceState(IntEnum):
    """Who has a customer's session, in WeCom's eyes."""

    NEW = 0
    BOT = 1
    QUEUED = 2
    HUMAN = 3
    CLOSED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPage:
    """One answer of kf/sync_msg."""

    items: tuple[Any, ...] = field(repr=False)
    """As the vendor sent them, unchecked."""
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A kf account."""

    open_kfid: str
    name: str
    is_managed: bool = True
    """Whether the app may take and answer this account's messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """Somebody who serves a kf account: a member, or a whole department."""

    name: str
    is_receiving: bool
    """WeCom does not tell it of departments; they count as receiving."""


class WecomClient(WecomTransport):
    """The calls of 微信客服, and of the app that may use it."""

    async def sync_msg(self, open_kfid: str, *, cursor: str = "", token: str = "", limit: int = 1000) -> SyncPage:
        """Return the messages after `cursor`; an empty one starts at the oldest kept."""
        body = {"open_kfid": open_kfid, "limit": limit} | ({"cursor": cursor} if cursor else {})
        try:
            answer = await self.call("kf/sync_msg", body | ({"token": token} if token else {}), repeatable=True)
        except BadRequestError as error:
            if error.code != STALE_PULL_TOKEN or not token:
                raise
            answer = await self.call("kf/sync_msg", body, repeatable=True)
        items, next_cursor = answer.get("msg_list"), answer.get("next_cursor")
        next_cursor = next_cursor if isinstance(next_cursor, str) and next_cursor else cursor
        # An unmoved cursor would bring the same page for ever.
        has_more = answer.get("has_more") in (1, True) and next_cursor != cursor
        return SyncPage(
            items=tuple(items) if isinstance(items, list) else (), next_cursor=next_cursor, has_more=has_more
        )

    async def send_text(self, open_kfid: str, external_userid: str, text: str, *, msgid: str) -> None:
        """Send one text; `msgid` makes a repetition harmless."""
        _check_sendable(text, msgid)
        body = {"touser": external_userid, "open_kfid": open_kfid, "msgid": msgid}
        await self.call("kf/send_msg", body | {"msgtype": "text", "text": {"content": text}})

    async def send_menu(self, open_kfid: str, external_userid: str, menu: Mapping[str, Any], *, msgid: str) -> None:
        """Send one menu (`msgmenu`, within its limits); `msgid` makes a repetition harmless."""
        _check_sendable("", msgid)
        body = {"touser": external_userid, "open_kfid": open_kfid, "msgid": msgid}
        await self.call("kf/send_msg", body | {"msgtype": "msgmenu", "msgmenu": menu})

    async def send_media(
        self, open_kfid: str, external_userid: str, kind: MediaKind, media_id: str, *, msgid: str
    ) -> None:
        """Send a file that was uploaded; `msgid` makes a repetition harmless."""
        _check_sendable("", msgid)
        body = {"touser": external_userid, "open_kfid": open_kfid, "msgid": msgid}
        await self.call("kf/send_msg", body | {"msgtype": kind, kind: {"media_id": media_id}})

    async def upload_media(self, kind: MediaKind, *, name: str, content: bytes) -> str:
        """Upload a file and return its id, which lives three days (doc 96484)."""
        answer = await self.upload("media/upload", {"type": kind}, name=name, content=content)
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise ChannelUnavailableError("WeCom media/upload: the answer has no media_id")
        return media_id

    async def download_media(self, media_id: str) -> Downloaded:
        """Return a file that a customer sent, for three days."""
        return await self.download("media/get", {"media_id": media_id}, at_most=FILE_BYTES)

    async def send_text_on_event(self, code: str, text: str, *, msgid: str) -> None:
        """Answer an event with its one-time code."""
        _check_sendable(text, msgid)
        body = {"code": code, "msgid": msgid, "msgtype": "text", "text": {"content": text}}
        await self.call("kf/send_msg_on_event", body)

    async def send_menu_on_event(self, code: str, menu: Mapping[str, Any], *, msgid: str) -> None:
        """Answer an event with a menu of at most ten items (doc 95122)."""
        _check_sendable("", msgid)
        await self.call("kf/send_msg_on_event", {"code": code, "msgid": msgid, "msgtype": "msgmenu", "msgmenu": menu})

    async def add_link(self, open_kfid: str, scene: str) -> str:
        """Return the address of a link to an account; `scene` comes back with who opens it (doc 94665)."""
        body = {"open_kfid": open_kfid, "scene": scene}
        url = (await self.call("kf/add_contact_way", body, repeatable=True)).get("url")
        if not isinstance(url, str) or not url:
            raise ChannelUnavailableError("WeCom kf/add_contact_way: the answer has no url")
        return url

    async def callback_addresses(self) -> tuple[str, ...]:
        """List the addresses and networks callbacks come from (doc 90930)."""
        answer = await self.call("getcallbackip", {}, repeatable=True, method="GET")
        found = answer.get("ip_list")
        return tuple(part for part in found if isinstance(part, str)) if isinstance(found, list) else ()

    async def accounts(self) -> tuple[Account, ...]:
        """List every kf account this secret may see."""
        found: dict[str, Account] = {}
        limit = 100
        while True:
            answer = await self.call("kf/account/list", {"offset": len(found), "limit": limit}, repeatable=True)
            page = {row["open_kfid"]: row for row in rows_of(answer, "account_list", "open_kfid")}
            is_last = len(page) < limit or page.keys() <= found.keys()
            found |= {kfid: _account(row) for kfid, row in page.items()}
            if is_last:
                return tuple(found.values())

    async def servicers(self, open_kfid: str) -> tuple[Servicer, ...]:
        """List who serves a kf account."""
        answer = await self.call("kf/servicer/list", {"open_kfid": open_kfid}, repeatable=True, method="GET")
        members = [
            # 0 is receiving here; the event servicer_status_change says 1 (doc 94645).
            Servicer(name=row["userid"], is_receiving=row.get("status") == 0)
            for row in rows_of(answer, "servicer_list", "userid")
        ]
        departments = rows_of(answer, "servicer_list", "department_id", int)
        return (*members, *(Servicer(name=str(row["department_id"]), is_receiving=True) for row in departments))

    async def nicknames(self, external_userids: Sequence[str]) -> dict[str, str]:
        """Return the nicknames of those who were here in the last 48 hours."""
        names: dict[str, str] = {}
        for start in range(0, len(external_userids), 100):
            body = {
                "external_userid_list": list(external_userids[start : start + 100]),
                "need_enter_session_context": 0,
            }
            answer = await self.call("kf/customer/batchget", body, repeatable=True)
            for row in rows_of(answer, "customer_list", "external_userid"):
                names[row["external_userid"]] = str(row.get("nickname") or "")
        return names

    async def service_state(self, open_kfid: str, external_userid: str) -> ServiceState:
        """Return who has the customer's session."""
        body = {"open_kfid": open_kfid, "external_userid": external_userid}
        answer = await self.call("kf/service_state/get", body, repeatable=True)
        try:
            return ServiceState(answer["service_state"])
        except (KeyError, ValueError) as error:
            raise ChannelUnavailableError("WeCom kf/service_state/get: the answer names no known state") from error

    async def move(self, open_kfid: str, external_userid: str, to: ServiceState, servicer_userid: str = "") -> None:
        """Give the customer's session to somebody else; `HUMAN` names the servicer (doc 94669).

        A call whose outcome is unknown is not repeated: ask `service_state` first.
        """
        body = {"open_kfid": open_kfid, "external_userid": external_userid, "service_state": int(to)}
        await self.call(
            "kf/service_state/trans", body | ({"servicer_userid": servicer_userid} if servicer_userid else {})
        )


def _check_sendable(text: str, msgid: str) -> None:
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,32}", msgid):
        raise BadRequestError("WeCom msgid: must be 1 to 32 of 0-9 A-Z a-z _ -")
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise BadRequestError(f"WeCom text: longer than {TEXT_BYTES} bytes; split it first")


def _account(row: Mapping[str, Any]) -> Account:
    is_managed = row.get("manage_privilege") is not False
    return Account(open_kfid=row["open_kfid"], name=str(row.get("name", "")), is_managed=is_managed)
