"""企业群发 in the WeCom simulator: tasks wait until a member of staff confirms them in the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.simulators.wecom_outbound import Json, RefusedError

CUSTOMERS_AT_MOST = 10_000
TEXT_BYTES = 4000
LIST_SECONDS = 31 * 86_400

UNSENT, SENT, NOT_A_FRIEND, OTHER_MESSAGE = range(4)
"""`status` of a customer; a member's task is `UNSENT` or 2."""


@dataclass(slots=True, kw_only=True)
class GroupMessage:
    """One task of one member."""

    msgid: str
    user: str
    text: str
    created: float
    customers: dict[str, int]
    """Customer → status."""
    creator: str = ""
    """Empty for those an API made."""
    confirmed_at: float | None = None


@dataclass(slots=True, kw_only=True)
class GroupMessages:
    """The tasks of the corp."""

    next_id: Callable[[str], str]
    clock: Callable[[], float]
    friendships: Mapping[tuple[str, str], Any]
    """(userid, external_userid) → friendship; half ones have `is_half`."""
    dispatch_seconds: float = 0
    """How long after its creation a task answers 41063."""
    tasks: dict[str, GroupMessage] = field(default_factory=dict)

    def routes(self) -> dict[str, tuple[str, Callable[[Json], Json]]]:
        """Every call with its method and who answers it."""
        return {
            "externalcontact/add_msg_template": ("POST", self.add),
            "externalcontact/get_groupmsg_list_v2": ("POST", self.list),
            "externalcontact/get_groupmsg_task": ("POST", self.members),
            "externalcontact/get_groupmsg_send_result": ("POST", self.results),
        }

    def texts_to(self, customer: str) -> list[str]:
        """What a customer got by these, oldest first."""
        return [task.text for task in self.tasks.values() if task.customers.get(customer) == SENT]

    def confirm(self, user: str, *, but: Mapping[str, int] | None = None) -> int:
        """Let a member confirm every task that waits for them; returns how many customers got one.

        `but` names customers who get none, with their status.
        """
        sent = 0
        for task in self.tasks.values():
            if task.user != user or task.confirmed_at is not None:
                continue
            task.confirmed_at = self.clock()
            for customer in task.customers:
                task.customers[customer] = (but or {}).get(customer, SENT)
                sent += task.customers[customer] == SENT
        return sent

    def make_by_hand(self, user: str, text: str, *customers: str) -> GroupMessage:
        """Let a member make a task for themselves in the client."""
        return self._store(user, text, dict.fromkeys(customers, UNSENT), creator=user)

    def add(self, body: Json) -> Json:
        """`externalcontact/add_msg_template`."""
        if body.get("chat_type", "single") != "single":
            raise RefusedError(40058, "only single chats are simulated")
        asked, user = body.get("external_userid") or [], str(body.get("sender") or "")
        if not asked or not user:
            raise RefusedError(40058, "sender and external_userid are needed here")
        if len(asked) > CUSTOMERS_AT_MOST:
            raise RefusedError(40058, "external_userid has too many items")
        text = str((body.get("text") or {}).get("content") or "")
        if not text:
            raise RefusedError(40058, "text and attachments are both empty")
        if len(text.encode()) > TEXT_BYTES:
            raise RefusedError(45002, "content size out of limit")
        refused = [customer for customer in asked if not self._is_friend(user, customer)]
        if len(refused) == len(asked):
            raise RefusedError(41048, "no customer to send")
        made = self._store(user, text, {customer: UNSENT for customer in asked if customer not in refused})
        return {"fail_list": refused, "msgid": made.msgid}

    def list(self, body: Json) -> Json:
        """`externalcontact/get_groupmsg_list_v2`."""
        start, end = int(body.get("start_time") or 0), int(body.get("end_time") or 0)
        if body.get("chat_type") not in {"single", "group"} or not 0 < end - start <= LIST_SECONDS:
            raise RefusedError(40058, "chat_type, start_time or end_time is invalid")
        rows = [
            {
                "msgid": task.msgid,
                "create_time": int(task.created),
                "create_type": 1 if task.creator else 0,
                "text": {"content": task.text},
                **({"creator": task.creator} if task.creator else {}),
            }
            for task in self.tasks.values()
            if start <= task.created <= end and body["chat_type"] == "single"
        ]
        return _page("group_msg_list", rows, body, most=100, default=50)

    def members(self, body: Json) -> Json:
        """`externalcontact/get_groupmsg_task`."""
        task = self._dispatched(body)
        row: Json = {"userid": task.user, "status": 0 if task.confirmed_at is None else 2}
        if task.confirmed_at is not None:
            row["send_time"] = int(task.confirmed_at)
        return _page("task_list", [row], body, most=1000, default=500)

    def results(self, body: Json) -> Json:
        """`externalcontact/get_groupmsg_send_result`."""
        task = self._dispatched(body)
        if body.get("userid") != task.user:
            raise RefusedError(40058, "userid is not of this task")
        rows = [
            {
                "external_userid": customer,
                "userid": task.user,
                "status": status,
                **({"send_time": int(task.confirmed_at or 0)} if status == SENT else {}),
            }
            for customer, status in task.customers.items()
        ]
        return _page("send_list", rows, body, most=1000, default=500)

    def _store(self, user: str, text: str, customers: dict[str, int], *, creator: str = "") -> GroupMessage:
        made = GroupMessage(
            msgid=self.next_id("GROUPMSG"),
            user=user,
            text=text,
            created=self.clock(),
            customers=customers,
            creator=creator,
        )
        self.tasks[made.msgid] = made
        return made

    def _is_friend(self, user: str, customer: str) -> bool:
        friendship = self.friendships.get((user, customer))
        return friendship is not None and not friendship.is_half

    def _dispatched(self, body: Json) -> GroupMessage:
        task = self.tasks.get(str(body.get("msgid") or ""))
        if task is None:
            raise RefusedError(40058, "invalid msgid")
        if self.clock() - task.created < self.dispatch_seconds:
            raise RefusedError(41063, "group msg is still dispatching")
        return task


def _page(name: str, rows: list[Json], body: Json, *, most: int, default: int) -> Json:
    limit = int(body.get("limit") or default)
    if not 1 <= limit <= most:
        raise RefusedError(40058, f"limit must be 1 to {most}")
    start = int(body.get("cursor") or 0)
    following = {"next_cursor": str(start + limit)} if start + limit < len(rows) else {"next_cursor": ""}
    return {name: rows[start : start + limit], **following}
