"""The 客户联系 calls this service makes, typed: friends of the staff, their tags, and the ways to become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tools.errors import BadRequestError, ChannelSetupError, ChannelUnavailableError
from tools.wecom.transport import WecomTransport, rows_of

WELCOME_BYTES = 4000
"""The longest welcome (doc 92137)."""
STATE_CHARACTERS = REMARK_OF_WAY_CHARACTERS = 30
REMARK_CHARACTERS = 20
TAG_CHARACTERS = 30

CODE_INVALID = 41050
CODE_USED = 41051
CODE_BUSY = 41096
"""Another app is sending a welcome with the same code; whether it arrives is open."""
NOT_A_FRIEND = 84061
"""Nobody of the staff is this customer's friend, or only half of one."""
WAYS_SINCE = 1_625_846_400
"""2021-07-10: older ways are not listed; unless asked otherwise WeCom begins 90 days ago."""

TIMEOUT = httpx.Timeout(5, connect=2)
"""Shorter than elsewhere: a welcome has 20 seconds, so an answer that does not come must leave time to ask again."""

PAGE = 100

MENDS: Mapping[int, str] = {
    40001: "wrong secret; compare WECOM_CONTACT_SECRET or WECOM_AGENT_SECRET with the console",
    40098: "the member has not verified their real name; let them do so in the WeCom client",
    41054: "the member has not activated WeCom; let them log in once",
    48002: "the app may not call this API; add it to 客户联系 → 可调用接口的应用",
    60011: "the member is outside the app's visible range; add them",
    60111: "there is no such member; use the userid shown in the address book of the console",
    84074: "the member may not have 客户联系; add them under 客户联系 → 使用范围",
}
"""What an operator can do about a refusal; some codes mean another page of the console here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactWay:
    """A QR code by which customers become friends of the staff."""

    config_id: str
    state: str
    staff_ids: tuple[str, ...]
    remark: str = ""
    qr_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag of the corp."""

    tag_id: str
    name: str
    group: str


class WecomContacts(WecomTransport):
    """The calls of 客户联系."""

    async def call(
        self, path: str, body: Mapping[str, Any], *, repeatable: bool = False, method: str = "POST"
    ) -> Mapping[str, Any]:
        """Call an API; a refusal that an operator can mend says how."""
        try:
            return await super().call(path, body, repeatable=repeatable, method=method)
        except BadRequestError as error:
            mend = MENDS.get(error.code or 0)
            if mend is None:
                raise
            said = str(error).partition(" — ")[0]
            raise ChannelSetupError(f"{said} — {mend}", code=error.code) from error

    async def send_welcome(self, code: str, text: str) -> None:
        """Greet a new friend; a code is good for one welcome, within 20 seconds."""
        if len(text.encode("utf-8", "replace")) > WELCOME_BYTES:
            raise BadRequestError(f"WeCom welcome: longer than {WELCOME_BYTES} bytes; shorten it")
        await self.call("externalcontact/send_welcome_msg", {"welcome_code": code, "text": {"content": text}})

    async def name_of(self, external_userid: str) -> str:
        """Return how a friend calls themselves; empty when WeCom does not tell."""
        body = {"external_userid": external_userid}
        answer = await self.call("externalcontact/get", body, repeatable=True, method="GET")
        contact = answer.get("external_contact")
        return str(contact.get("name") or "") if isinstance(contact, dict) else ""

    async def mark_tags(self, userid: str, external_userid: str, tag_ids: Sequence[str]) -> None:
        """Put tags on a friend; those they have already stay."""
        body = {"userid": userid, "external_userid": external_userid, "add_tag": list(tag_ids), "remove_tag": []}
        await self.call("externalcontact/mark_tag", body, repeatable=True)

    async def set_remark(self, userid: str, external_userid: str, remark: str) -> None:
        """Write what a member sees as a friend's name."""
        body = {"userid": userid, "external_userid": external_userid, "remark": remark[:REMARK_CHARACTERS]}
        await self.call("externalcontact/remark", body, repeatable=True)

    async def tags(self) -> tuple[Tag, ...]:
        """List the tags of the corp."""
        answer = await self.call("externalcontact/get_corp_tag_list", {"tag_id": [], "group_id": []}, repeatable=True)
        return tuple(tag for group in rows_of(answer, "tag_group", "group_name") for tag in _tags(group))

    async def add_tags(self, group: str, names: Sequence[str]) -> tuple[Tag, ...]:
        """Make tags in a group, which is made with them when it is new; return those WeCom named."""
        body = {"group_name": group, "tag": [{"name": name} for name in names]}
        made = (await self.call("externalcontact/add_corp_tag", body)).get("tag_group")
        return _tags(made) if isinstance(made, dict) else ()

    async def add_way(self, *, staff_ids: Sequence[str], state: str, remark: str) -> ContactWay:
        """Make a way. It has no key: after an unknown outcome, look for its state before making it again."""
        body: dict[str, Any] = {"type": 1 if len(staff_ids) == 1 else 2, "scene": 2, "skip_verify": True}
        body |= {"state": state, "remark": remark[:REMARK_OF_WAY_CHARACTERS], "user": list(staff_ids)}
        answer = await self.call("externalcontact/add_contact_way", body)
        config_id, qr_code = answer.get("config_id"), answer.get("qr_code")
        if not isinstance(config_id, str) or not config_id:
            raise ChannelUnavailableError("WeCom externalcontact/add_contact_way: the answer has no config_id")
        return ContactWay(
            config_id=config_id,
            state=state,
            staff_ids=tuple(staff_ids),
            remark=remark,
            qr_code=qr_code if isinstance(qr_code, str) else "",
        )

    async def way(self, config_id: str) -> ContactWay:
        """Return a way as WeCom has it."""
        answer = await self.call("externalcontact/get_contact_way", {"config_id": config_id}, repeatable=True)
        way = answer.get("contact_way")
        if not isinstance(way, dict):
            raise ChannelUnavailableError("WeCom externalcontact/get_contact_way: the answer has no way")
        users = way.get("user")
        return ContactWay(
            config_id=config_id,
            state=str(way.get("state") or ""),
            staff_ids=tuple(map(str, users)) if isinstance(users, list) else (),
            remark=str(way.get("remark") or ""),
            qr_code=str(way.get("qr_code") or ""),
        )

    async def way_ids(self) -> tuple[str, ...]:
        """List the config_ids of every way this app made."""
        found: dict[str, None] = {}
        cursor = ""
        while True:
            body: dict[str, Any] = {"start_time": WAYS_SINCE, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
            answer = await self.call("externalcontact/list_contact_way", body, repeatable=True)
            found |= dict.fromkeys(row["config_id"] for row in rows_of(answer, "contact_way", "config_id"))
            following = answer.get("next_cursor")
            if not isinstance(following, str) or following in {"", cursor}:
                return tuple(found)
            cursor = following

    async def update_way(self, config_id: str, *, staff_ids: Sequence[str], state: str, remark: str) -> None:
        """Change whom a way leads to and what it is called; its QR code stays."""
        body = {"config_id": config_id, "skip_verify": True, "state": state, "user": list(staff_ids)}
        body["remark"] = remark[:REMARK_OF_WAY_CHARACTERS]
        await self.call("externalcontact/update_contact_way", body, repeatable=True)

    async def delete_way(self, config_id: str) -> None:
        """Let a way's QR code lead nowhere."""
        await self.call("externalcontact/del_contact_way", {"config_id": config_id})


def _tags(group: Mapping[str, Any]) -> tuple[Tag, ...]:
    name = str(group.get("group_name") or "")
    return tuple(
        Tag(tag_id=row["id"], name=str(row.get("name") or ""), group=name)
        for row in rows_of(group, "tag", "id")
        if not row.get("deleted")
    )
