"""What became of calls to staff: lost ones are looked for, known ones are asked about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.database import Connection, Pool, Row
from api.outreach.staff_tasks import adopt, doubt
from tools.errors import ChannelError
from tools.wecom.outreach import (
    NOBODY_TO_SEND_TO,
    STILL_DISPATCHING,
    CreatedTask,
    ListedTask,
    SendResult,
    StaffMessages,
)

logger = logging.getLogger(__name__)

CALL_AT_MOST = timedelta(minutes=3)
"""Whoever began a call longer ago than this is dead: no call takes as long."""

CLAIM_FOR = timedelta(minutes=5)
SOON, LATER = timedelta(minutes=5), timedelta(hours=1)
SOON_UNTIL = timedelta(hours=2)
SEARCH_UNTIL = timedelta(days=2)
"""A task that WeCom does not list by then is left to a person."""
CONFIRM_UNTIL = timedelta(days=30)
"""Members who have not confirmed by then will not."""

CLOCKS_DIFFER = timedelta(minutes=10)

AT_ONCE = 20

CLAIM = """
with due as (
    select id from outreach_tasks
    where state in ('unknown', 'created') and look_at <= %(now)s or state = 'calling' and called_at <= %(dead)s
    order by coalesce(look_at, called_at) limit %(limit)s for update skip locked
)
update outreach_tasks t set look_at = %(again)s from due where t.id = due.id
returning t.id, t.state, t.staff_id, t.text, t.msgid, t.called_at
"""
# `unsent` is no news; what is final stays.
RESULTS = """
update outreach_targets t
set state = case r.state when 'sent' then 'staff_sent' else 'failed' end,
    reason = case r.state when 'sent' then '' else r.state end, sent_at = r.sent_at
from unnest(%s::text[], %s::text[], %s::timestamptz[]) as r (customer_id, state, sent_at)
where t.task_id = %s and t.customer_id = r.customer_id and t.state = 'staff_pending'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Asks WeCom about tasks that are not finished."""

    pool: Pool
    messages: StaffMessages
    clock: Callable[[], datetime]

    async def look(self) -> int:
        """Look after the tasks that are due; return how many."""
        now = self.clock()
        values = {"now": now, "dead": now - CALL_AT_MOST, "again": now + CLAIM_FOR, "limit": AT_ONCE}
        async with self.pool.connection() as conn:
            rows = await (await conn.execute(CLAIM.encode(), values)).fetchall()
        for row in rows:
            try:
                await self._look(row)
            except ChannelError as error:
                await self._told(row, error)
        return len(rows)

    async def _look(self, row: Row) -> None:
        if row["state"] == "calling":
            async with self.pool.connection() as conn, conn.transaction():
                await doubt(conn, row["id"], "the worker ended during the call", look_at=self.clock())
        if row["state"] != "created":
            await self._search(row)
        elif (await self.messages.senders(row["msgid"])).get(row["staff_id"], False):
            await self._take_in(row, await self.messages.results(row["msgid"], row["staff_id"]))
        else:
            await self._put_off(row, CONFIRM_UNTIL)

    async def _told(self, row: Row, error: ChannelError) -> None:
        if error.code == NOBODY_TO_SEND_TO and row["state"] == "created":
            async with self.pool.connection() as conn, conn.transaction():
                await _finish(conn, row["id"], "skipped", "nobody_to_send_to")
            return
        if error.code != STILL_DISPATCHING:
            extra = {"action": "outreach_look_failed", "task": row["id"], "code": error.code}
            logger.warning("WeCom did not tell about a task", extra=extra)
        await self._put_off(row, CONFIRM_UNTIL if row["state"] == "created" else SEARCH_UNTIL)

    async def _search(self, row: Row) -> None:
        """Look for the task of a lost call: this text, made by no member, for these people, and not known here."""
        called_at: datetime = row["called_at"]
        until = min(self.clock(), called_at + LATER) + CLOCKS_DIFFER
        listed = await self.messages.tasks_between(called_at - CLOCKS_DIFFER, until)
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                "select msgid from outreach_tasks where msgid = any(%s)", ([task.msgid for task in listed],)
            )
            known = {each["msgid"] for each in await cursor.fetchall()}
            cursor = await conn.execute("select customer_id from outreach_targets where task_id = %s", (row["id"],))
            customers = {each["customer_id"] for each in await cursor.fetchall()}
        found = [task for task in listed if _fits(task, row) and task.msgid not in known]
        ours = [task for task in found if await self._is_for(task.msgid, row["staff_id"], customers)]
        if len(ours) == 1:
            logger.info("A lost call was found", extra={"action": "outreach_task_found", "task": row["id"]})
            await adopt(self.pool, row["id"], CreatedTask(msgid=ours[0].msgid, refused=()), look_at=self.clock() + SOON)
        else:
            await self._put_off(row, SEARCH_UNTIL)

    async def _is_for(self, msgid: str, staff_id: str, customers: Collection[str]) -> bool:
        """Tell whether a task is this member's, and for our customers as far as WeCom names any."""
        if staff_id not in await self.messages.senders(msgid):
            return False
        named = {result.customer_id for result in await self.messages.results(msgid, staff_id)}
        # Some of ours may be forgotten by now.
        return not named or not named.isdisjoint(customers)

    async def _take_in(self, row: Row, results: tuple[SendResult, ...]) -> None:
        told = [result for result in results if result.state != "pending"]
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute(
                RESULTS.encode(),
                (
                    [result.customer_id for result in told],
                    [result.state for result in told],
                    [result.sent_at or self.clock() if result.state == "sent" else None for result in told],
                    row["id"],
                ),
            )
            cursor = await conn.execute(
                "select 1 from outreach_targets where task_id = %s and state = 'staff_pending' limit 1", (row["id"],)
            )
            if await cursor.fetchone() is None:
                await _finish(conn, row["id"], "failed", "")
                return
        await self._put_off(row, CONFIRM_UNTIL)

    async def _put_off(self, row: Row, at_most: timedelta) -> None:
        now, age = self.clock(), self.clock() - row["called_at"]
        async with self.pool.connection() as conn, conn.transaction():
            if age < at_most:
                look_at = now + (SOON if age < SOON_UNTIL else LATER)
                await conn.execute("update outreach_tasks set look_at = %s where id = %s", (look_at, row["id"]))
            elif row["state"] == "created":
                await _finish(conn, row["id"], "failed", "not_confirmed")
            else:
                await conn.execute("update outreach_tasks set look_at = null where id = %s", (row["id"],))


def _fits(task: ListedTask, row: Row) -> bool:
    """Tell whether a listed task may be the one; WeCom names no creator of what an API made."""
    return task.text.strip() == row["text"].strip() and not task.is_personal and task.creator in {"", row["staff_id"]}


async def _finish(conn: Connection, task_id: int, state: str, reason: str) -> None:
    await conn.execute("update outreach_tasks set state = 'finished', look_at = null where id = %s", (task_id,))
    await conn.execute(
        "update outreach_targets set state = %s, reason = %s where task_id = %s and state = 'staff_pending'",
        (state, reason, task_id),
    )
