"""Who wants no messages they did not ask for: recorded with the message that says so, before anything answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from api import audit
from api.database import Connection, Pool, Row, storable
from api.outreach.errors import OutreachError
from prompts.consent import Direction, consent_in
from tools.messages import Inbound
from tools.wecom.channel import CHANNEL

KEY = "consent"
"""What the stored message carries when it changed something."""


ACTIONS: Mapping[Direction, str] = {"out": "outreach.opted_out", "in": "outreach.opted_in"}
"""In the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A customer changes their mind."""

    direction: Direction
    words: str


async def change_by(conn: Connection, message: Inbound) -> Change | None:
    """Tell whether a message changes whether its customer is written to; who wants what holds already says nothing new.

    Wanting messages means something only to somebody who refused them before: to others it is a question. A refusal
    counts however late it comes in.
    """
    is_said = message.sender == "customer" and message.kind == "text" and message.channel == CHANNEL
    said = consent_in(message.text) if is_said else None
    if said is None or not message.customer_id:
        return None
    direction, words = said
    latest = await _latest(conn, message.customer_id)
    holds = latest["direction"] if latest else "in"
    # Another account's messages may be read much later than they were written.
    is_overtaken = direction == "in" and latest is not None and message.sent_at < latest["said_at"].timestamp()
    return Change(direction=direction, words=words) if direction != holds and not is_overtaken else None


async def is_opted_out(conn: Connection, customer_id: str) -> bool:
    """Tell whether a customer refused messages they did not ask for."""
    latest = await _latest(conn, customer_id)
    return latest is not None and latest["direction"] == "out"


async def record_message(conn: Connection, message: Inbound, change: Change) -> None:
    """Record what a customer's message changes, within the caller's transaction."""
    await _add(conn, message.customer_id, change, how="message", message=message)
    await audit.record(
        conn, actor="bot", action=ACTIONS[change.direction], thread_id=message.thread_id, detail={"how": "message"}
    )


async def record_by_hand(
    pool: Pool, customer_id: str, direction: Literal["out", "in"], *, words: str, actor: str
) -> None:
    """Record what a customer said elsewhere.

    Raises:
        OutreachError: it holds already, or the reason is missing.
    """
    if not words.strip():
        raise OutreachError("say by --words how the customer said so")
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 16))", (customer_id,))
        if await is_opted_out(conn, customer_id) == (direction == "out"):
            state = "opted out" if direction == "out" else "not opted out"
            raise OutreachError(f"{customer_id} is {state} already")
        change = Change(direction=direction, words=storable(words.strip())[:200])
        row = await _add(conn, customer_id, change, how="operator", by=actor)
        # By the row and not by the customer: they may ask to be forgotten.
        await audit.record(
            conn, actor=actor, action=ACTIONS[direction], subject=f"consent {row}", detail={"how": "operator"}
        )


async def _latest(conn: Connection, customer_id: str) -> Row | None:
    cursor = await conn.execute(
        "select direction, said_at from outreach_consents where customer_id = %s order by id desc limit 1",
        (customer_id,),
    )
    return await cursor.fetchone()


async def _add(
    conn: Connection, customer_id: str, change: Change, *, how: str, by: str = "", message: Inbound | None = None
) -> int:
    said_at = datetime.fromtimestamp(message.sent_at, UTC) if message else datetime.now(UTC)
    cursor = await conn.execute(
        "insert into outreach_consents (customer_id, direction, how, words, recorded_by, message_id, said_at)"
        " values (%s, %s, %s, %s, %s, %s, %s) returning id",
        (customer_id, change.direction, how, change.words, by, message.message_id if message else None, said_at),
    )
    row = await cursor.fetchone()
    assert row is not None, "an insert returns its row"
    return int(row["id"])
