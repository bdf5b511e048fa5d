"""What is done for a friend after the welcome: tags and a remark; what WeCom refuses of half friends waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from api.database import Pool, Row
from api.friends.remarks import Remark
from api.friends.states import CONFIRM_DELAYS
from api.friends.tags import TagBook
from tools.errors import BadRequestError, ChannelError, ChannelSetupError
from tools.wecom.contacts import NOT_A_FRIEND

logger = logging.getLogger(__name__)

AT_ONCE = 20
ROUNDS = 10
"""Rounds of one run: then other jobs have their turn."""
SLOTS = 3
"""Calls at once; fewer than the limit, welcomes go first."""

DELAYS = (2, 10, 60, 600, 3600, 6 * 3600)
"""Seconds until the next try; after the last one it is given up."""
SETUP_DELAY = 600
"""Seconds until the next try of what waits for an operator; those tries are not counted."""

CLAIM = b"""
with due as (
    select id from friends where tend_after <= now() and left_at is null
    order by tend_after limit %(limit)s for update skip locked
)
update friends f set tend_after = now() + interval '1 minute'
from due where f.id = due.id
returning f.id, f.staff_id, f.external_userid as customer_id, f.source, f.state, f.confirmed_at, f.tend_attempts,
    f.added_at, coalesce((select w.tags from contact_ways w where w.state = f.state), '{}') as way_tags
"""
DONE = b"""
update friends set tend_after = null, tend_error = null, tended_at = now(), tags = %(tags)s, has_remark = %(has_remark)s
where id = %(id)s and added_at = %(added_at)s and left_at is null
"""
FAILED = b"""
update friends
set tend_attempts = %(attempts)s, tend_error = %(error)s,
    tend_after = case when %(delay)s::float8 is null then null else now() + make_interval(secs => %(delay)s::float8) end
where id = %(id)s and added_at = %(added_at)s and left_at is null
    -- The confirmation may have come meanwhile: that one is not waited for.
    and (confirmed_at is null or %(was_confirmed)s)
"""


class FriendKeeper(Protocol):
    """What changes friends: `tools.wecom.contacts.WecomContacts`."""

    async def mark_tags(self, userid: str, external_userid: str, tag_ids: Sequence[str]) -> None:
        """Put tags on a friend."""
        ...

    async def set_remark(self, userid: str, external_userid: str, remark: str) -> None:
        """Write what a member sees as a friend's name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tending:
    """Tags friends and names them, each friendship once."""

    pool: Pool
    keeper: FriendKeeper
    book: TagBook
    tags: tuple[str, ...]
    """What every friend gets."""
    remark: Remark | None

    async def tend_due(self) -> int:
        """Tend who is due now; return how many were tried."""
        slots, total = asyncio.Semaphore(SLOTS), 0
        for _ in range(ROUNDS):
            async with self.pool.connection() as conn:
                rows = await (await conn.execute(CLAIM, {"limit": AT_ONCE})).fetchall()
            await asyncio.gather(*(self._tend(row, slots) for row in rows))
            total += len(rows)
            if len(rows) < AT_ONCE:
                break
        return total

    async def _tend(self, row: Row, slots: asyncio.Semaphore) -> None:
        names = [*self.tags, row["source"], *row["way_tags"]]
        try:
            async with slots:
                tagged = await self._tag(row, names)
                remark = await self._name(row)
        except ChannelError as error:
            await self._put_off(row, error)
            return
        values = {"id": row["id"], "added_at": row["added_at"], "tags": tagged, "has_remark": bool(remark)}
        async with self.pool.connection() as conn:
            await conn.execute(DONE, values)

    async def _tag(self, row: Row, names: Sequence[str]) -> list[str]:
        ids = await self.book.ids(names)
        if not ids:
            return []
        try:
            await self.keeper.mark_tags(row["staff_id"], row["customer_id"], list(ids.values()))
        except ChannelSetupError:
            raise
        except BadRequestError as error:
            if error.code == NOT_A_FRIEND:
                raise
            # A tag may have been deleted since it was read.
            renewed = await self.book.ids(names, fresh=True)
            if renewed == ids:
                raise
            await self.keeper.mark_tags(row["staff_id"], row["customer_id"], list(renewed.values()))
            ids = renewed
        return list(ids)

    async def _name(self, row: Row) -> str | None:
        if self.remark is None:
            return None
        text = await self.remark(customer_id=row["customer_id"], staff_id=row["staff_id"], source=row["source"])
        if text:
            await self.keeper.set_remark(row["staff_id"], row["customer_id"], text)
        return text or None

    async def _put_off(self, row: Row, error: ChannelError) -> None:
        is_half = error.code == NOT_A_FRIEND and row["confirmed_at"] is None
        delays = CONFIRM_DELAYS[1:] if is_half else DELAYS
        attempts = row["tend_attempts"]
        if isinstance(error, ChannelSetupError):
            delay: float | None = SETUP_DELAY
        else:
            delay = delays[attempts] if attempts < len(delays) else None
            attempts += 1
        values = {
            "id": row["id"],
            "added_at": row["added_at"],
            "attempts": attempts,
            "error": str(error)[:300],
            "delay": delay,
            "was_confirmed": row["confirmed_at"] is not None,
        }
        async with self.pool.connection() as conn:
            await conn.execute(FAILED, values)
        extra = {"action": "friend_not_tended", "friend": row["id"], "code": error.code, "next_in": delay}
        logger.warning("A friend was not tagged at this try", extra=extra)
