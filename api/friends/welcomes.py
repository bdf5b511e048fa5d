"""Welcoming friends within the 20 seconds a code lives; the table says who is still to be welcomed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from api.database import Pool, Row
from api.friends.states import Outcome
from tools.errors import ChannelError, ChannelUnavailableError
from tools.wecom.contacts import CODE_BUSY, CODE_INVALID, CODE_USED
from tools.wecom.transport import CONCURRENT_CALLS

logger = logging.getLogger(__name__)

AT_ONCE = 5 * CONCURRENT_CALLS
"""Friends one round takes: few, so that other workers have their share and no claim grows old."""

SEND_SECONDS = 5
"""The longest one try may take; the code lives 20."""

# A claim is written before the call: whoever finds it after a crash knows that the outcome is open. It ends by itself,
# and a try too many does no harm, because WeCom takes each code once.
CLAIM = b"""
with due as (
    select id, in_doubt from friends
    where welcome_outcome is null and welcome_code <> '' and welcome_after <= now() and welcome_until > now()
        and left_at is null
    order by welcome_until limit %(limit)s for update skip locked
)
update friends f
set welcome_attempts = f.welcome_attempts + 1, in_doubt = true, welcome_after = now() + interval '5 seconds'
from due where f.id = due.id
returning f.id, f.staff_id, f.external_userid as customer_id, f.source, f.welcome_code, f.welcome_attempts,
    due.in_doubt as was_in_doubt
"""
# Only if it is still about the code that was tried: the customer may have left and come back meanwhile.
RECORD = b"""
update friends f
set welcome_outcome = r.outcome, welcome_error = nullif(r.error, ''), in_doubt = r.in_doubt,
    welcomed_at = case when r.outcome = 'sent' then now() end,
    welcome_after = now() + make_interval(secs => r.delay)
from unnest(%(ids)s::bigint[], %(codes)s::text[], %(outcomes)s::text[], %(errors)s::text[], %(doubts)s::bool[],
    %(delays)s::float8[]) as r (id, code, outcome, error, in_doubt, delay)
where f.id = r.id and f.welcome_code = r.code and f.welcome_outcome is null
"""
GIVE_UP = b"""
update friends
set welcome_outcome = case when spare_until > now() then null when in_doubt then 'unknown' else 'expired' end,
    welcome_code = case when spare_until > now() then spare_code else welcome_code end,
    welcome_until = case when spare_until > now() then spare_until else welcome_until end,
    welcome_attempts = case when spare_until > now() then 0 else welcome_attempts end,
    in_doubt = in_doubt and not coalesce(spare_until > now(), false),
    spare_code = '', spare_until = null, welcome_after = now()
where welcome_code <> '' and ((welcome_outcome is null and welcome_until <= now())
    or (welcome_outcome in ('expired', 'refused', 'unknown') and spare_until > now()))
returning id, welcome_outcome
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one try."""

    outcome: Outcome | None
    """None: it is tried again."""
    error: str = ""
    in_doubt: bool = False
    delay: float = 0
    """Seconds until the next try."""


class WelcomeSender(Protocol):
    """What sends welcomes: `tools.wecom.contacts.WecomContacts`."""

    async def send_welcome(self, code: str, text: str) -> None:
        """Greet a new friend."""
        ...


class WelcomeText(Protocol):
    """What a friend is told."""

    async def __call__(self, *, customer_id: str, staff_id: str, source: str) -> str:
        """Return the welcome."""
        ...


class Welcomes:
    """Sends the welcomes that are due."""

    def __init__(self, pool: Pool, sender: WelcomeSender, text: WelcomeText) -> None:
        self._pool = pool
        self._sender = sender
        self._text = text
        self._slots = asyncio.Semaphore(CONCURRENT_CALLS)

    async def send_due(self) -> int:
        """Welcome everybody who is due now; return how many were tried."""
        total = 0
        while rows := await self._claim():
            tried = await asyncio.gather(*map(self._try, rows))
            await self._record(rows, tried)
            total += len(rows)
        return total

    async def give_up(self) -> None:
        """Record whose codes died; a second code that came meanwhile is tried instead."""
        async with self._pool.connection() as conn:
            rows = await (await conn.execute(GIVE_UP)).fetchall()
        for row in rows:
            if row["welcome_outcome"] is not None:
                extra = {"action": "friend_not_welcomed", "friend": row["id"], "outcome": row["welcome_outcome"]}
                logger.warning("A friend's welcome code died", extra=extra)

    async def _claim(self) -> list[Row]:
        async with self._pool.connection() as conn:
            return await (await conn.execute(CLAIM, {"limit": AT_ONCE})).fetchall()

    async def _try(self, row: Row) -> Tried:
        async with self._slots:
            text = await self._text(customer_id=row["customer_id"], staff_id=row["staff_id"], source=row["source"])
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._sender.send_welcome(row["welcome_code"], text)
            except TimeoutError:
                return _judge(row, ChannelUnavailableError("WeCom welcome: no answer in time"))
            except ChannelError as error:
                return _judge(row, error)
        return Tried(outcome="sent")

    async def _record(self, rows: Sequence[Row], tried: Sequence[Tried]) -> None:
        values = {
            "ids": [row["id"] for row in rows],
            "codes": [row["welcome_code"] for row in rows],
            "outcomes": [each.outcome for each in tried],
            "errors": [each.error for each in tried],
            "doubts": [each.in_doubt for each in tried],
            "delays": [each.delay for each in tried],
        }
        async with self._pool.connection() as conn:
            await conn.execute(RECORD, values)


def _judge(row: Row, error: ChannelError) -> Tried:
    """Say what a failed try means for this friend."""
    told = _judged(row, error)
    if told.outcome != "sent":
        extra = {"action": "friend_welcome_failed", "friend": row["id"], "code": error.code, "outcome": told.outcome}
        logger.warning("A friend was not welcomed at this try", extra=extra)
    return told


def _judged(row: Row, error: ChannelError) -> Tried:
    words = str(error)[:300]
    if error.code == CODE_USED:
        # An earlier try of ours whose outcome was open has arrived; else it was somebody else, or they chat already.
        return Tried(outcome="sent" if row["was_in_doubt"] else "already", error=words)
    if error.code == CODE_INVALID:
        return Tried(outcome="unknown" if row["was_in_doubt"] else "expired", error=words)
    delay = min(0.5 * 2 ** (row["welcome_attempts"] - 1), 3)
    if error.code == CODE_BUSY:
        return Tried(outcome=None, error=words, in_doubt=row["was_in_doubt"], delay=delay)
    if error.transient:
        is_open = row["was_in_doubt"] or isinstance(error, ChannelUnavailableError)
        return Tried(outcome=None, error=words, in_doubt=is_open, delay=delay)
    return Tried(outcome="refused", error=words, in_doubt=row["was_in_doubt"])
