"""企业群发 (docs 92135, 93338): messages to friends that a member of staff confirms in the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tools.errors import BadRequestError, ChannelUnavailableError
from tools.wecom.contacts import WecomContacts
from tools.wecom.transport import rows_of

TEXT_BYTES = 4000
CUSTOMERS_AT_MOST = 10_000
"""In one task."""
WINDOW_AT_MOST = timedelta(days=30)
"""Of the list of tasks."""

STILL_DISPATCHING = 41063
"""Just created: ask again later."""
NOBODY_TO_SEND_TO = 41048

MADE_BY_CORP = 0
"""`create_type` of what was not made by a member for themselves."""

PAGE = 100
RESULT_PAGE = 500

SendState = Literal["pending", "sent", "not_a_friend", "other_message"]
_STATES: Mapping[int, SendState] = {0: "pending", 1: "sent", 2: "not_a_friend", 3: "other_message"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedTask:
    """What WeCom made of a call."""

    msgid: str
    refused: tuple[str, ...]
    """Customers it cannot be sent to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTask:
    """A task as WeCom lists it."""

    msgid: str
    text: str
    creator: str
    """Empty for those an API made."""
    is_personal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """What became of one customer."""

    customer_id: str
    state: SendState
    sent_at: datetime | None


class StaffMessages:
    """The calls of 企业群发."""

    def __init__(self, contacts: WecomContacts) -> None:
        self._contacts = contacts

    async def check_access(self) -> None:
        """Make sure of a token.

        Raises:
            ChannelError: there is none now.
        """
        await self._contacts.tokens.get()

    async def create(self, *, staff_id: str, customers: Sequence[str], text: str) -> CreatedTask:
        """Ask a member to send a text. It has no key: after an unknown outcome, look for it and do not call again."""
        if len(text.encode("utf-8", "replace")) > TEXT_BYTES:
            raise BadRequestError(f"WeCom add_msg_template: longer than {TEXT_BYTES} bytes; shorten it")
        body = {
            "chat_type": "single",
            "external_userid": list(customers),
            "sender": staff_id,
            "allow_select": False,
            "text": {"content": text},
        }
        answer = await self._contacts.call("externalcontact/add_msg_template", body)
        msgid, refused = answer.get("msgid"), answer.get("fail_list")
        if not isinstance(msgid, str) or not msgid:
            raise ChannelUnavailableError("WeCom externalcontact/add_msg_template: the answer has no msgid")
        return CreatedTask(msgid=msgid, refused=tuple(map(str, refused)) if isinstance(refused, list) else ())

    async def tasks_between(self, start: datetime, end: datetime) -> tuple[ListedTask, ...]:
        """List the tasks for single customers made in a time; at most a month (doc 93338)."""
        body = {
            "chat_type": "single",
            "start_time": int(max(start, end - WINDOW_AT_MOST).timestamp()),
            "end_time": int(end.timestamp()),
            "limit": PAGE,
        }
        rows = await self._pages("externalcontact/get_groupmsg_list_v2", body, "group_msg_list", "msgid")
        return tuple(
            ListedTask(
                msgid=row["msgid"],
                text=_content(row),
                creator=str(row.get("creator") or ""),
                is_personal=row.get("create_type") not in {None, MADE_BY_CORP},
            )
            for row in rows
        )

    async def senders(self, msgid: str) -> Mapping[str, bool]:
        """Tell which members have a task, and whether they confirmed it."""
        body = {"msgid": msgid, "limit": RESULT_PAGE}
        rows = await self._pages("externalcontact/get_groupmsg_task", body, "task_list", "userid")
        return {row["userid"]: row.get("status") == 2 for row in rows}

    async def results(self, msgid: str, staff_id: str) -> tuple[SendResult, ...]:
        """Tell what became of every customer of a member's task."""
        body = {"msgid": msgid, "userid": staff_id, "limit": RESULT_PAGE}
        rows = await self._pages("externalcontact/get_groupmsg_send_result", body, "send_list", "external_userid")
        return tuple(
            SendResult(
                customer_id=row["external_userid"],
                state=_STATES.get(row.get("status", 0), "pending"),
                sent_at=_moment(row.get("send_time")),
            )
            for row in rows
        )

    async def _pages(self, path: str, body: Mapping[str, Any], name: str, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            asked = {**body, "cursor": cursor} if cursor else body
            answer = await self._contacts.call(path, asked, repeatable=True)
            found += rows_of(answer, name, key)
            following = answer.get("next_cursor")
            if not isinstance(following, str) or following in {"", cursor}:
                return found
            cursor = following


def _content(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    return str(text.get("content") or "") if isinstance(text, dict) else ""


def _moment(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None
