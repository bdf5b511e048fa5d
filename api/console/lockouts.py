"""Guessing gets slower: after a few wrong passwords an account waits, and an address, longer each time.

An attempt is counted before it is tried, so that a hundred at once are a hundred. Names that nobody has are counted
like all others: who is told to wait learns nothing from it. From where somebody logged in before their attempts are
counted apart, so that nobody who guesses elsewhere keeps them out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from api.client_address import IpAddress, neighbours
from api.database import Connection

Kind = Literal["account", "address"]

FREE: Mapping[Kind, int] = {"account": 5, "address": 20}
"""Wrong attempts without a wait. Several people may sit behind one address."""

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT: Mapping[Kind, timedelta] = {"account": timedelta(minutes=15), "address": timedelta(hours=1)}
"""Not longer for an account: whoever wants to keep out somebody who comes from a new place has only to guess."""

FORGOTTEN_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=30)
"""How long it is remembered from where somebody logged in."""

COUNT = """
insert into console_lockouts as l (key, failures, last_failed_at) values (%(key)s, 1, %(now)s)
on conflict (key) do update set
    failures = case when l.last_failed_at < %(forgotten)s then 1 else l.failures + 1 end,
    last_failed_at = %(now)s
where l.locked_until is null or l.locked_until <= %(now)s
returning failures
"""
LOCK = "update console_lockouts set locked_until = %s where key = %s"
CLEAN = """
delete from console_lockouts where key in (
    select key from console_lockouts
    where last_failed_at < case when starts_with(key, 'known:') then %(unknown)s else %(forgotten)s end
    for update skip locked
)
"""
KNOW = """
insert into console_lockouts (key, failures, last_failed_at) values (%(key)s, 0, %(now)s)
on conflict (key) do update set failures = 0, last_failed_at = excluded.last_failed_at, locked_until = null
"""
IS_KNOWN = "select 1 from console_lockouts where key = %s"
FORGIVE = "update console_lockouts set failures = greatest(failures - 1, 0), locked_until = null where key = %s"


class LockedError(Exception):
    """Too many wrong attempts; holds until when nothing is tried."""

    def __init__(self, until: datetime) -> None:
        super().__init__("too many wrong attempts")
        self.until = until


async def count_attempt(conn: Connection, name: str, address: IpAddress | None, *, now: datetime) -> None:
    """Count an attempt as wrong until it turns out right; within the caller's transaction.

    Raises:
        LockedError: it may not be tried now; nothing was counted if the transaction is rolled back.
    """
    known = _known(name, address)
    is_known = await (await conn.execute(IS_KNOWN, (known,))).fetchone() is not None
    keys: tuple[tuple[Kind, str], ...] = (
        ("account", known if is_known else _account(name)),
        ("address", _address(address)),
    )
    for kind, key in keys:
        values = {"key": key, "now": now, "forgotten": now - FORGOTTEN_AFTER}
        row = await (await conn.execute(COUNT, values)).fetchone()
        if row is None:
            locked = await (
                await conn.execute("select locked_until from console_lockouts where key = %s", (key,))
            ).fetchone()
            raise LockedError(locked["locked_until"] if locked else now + FIRST_WAIT)
        if wait := wait_after(row["failures"], kind):
            await conn.execute(LOCK, (now + wait, key))


def wait_after(failures: int, kind: Kind) -> timedelta:
    """Return how long to wait after so many wrong attempts: nothing, then twice as long each time."""
    over = failures - FREE[kind]
    if over < 0:
        return timedelta()
    return min(FIRST_WAIT * (1 << min(over, 20)), LONGEST_WAIT[kind])


async def was_right(conn: Connection, name: str, address: IpAddress | None, *, now: datetime) -> None:
    """Take back what was counted, all of the account's, this one of the address's; and remember that it is theirs."""
    await conn.execute("delete from console_lockouts where key = %s", (_account(name),))
    await conn.execute(KNOW, {"key": _known(name, address), "now": now})
    # The address last, as when an attempt is counted: two at once would wait for each other.
    await conn.execute(FORGIVE, (_address(address),))


async def forget_old(conn: Connection, *, now: datetime) -> None:
    """Delete what counts no more; what somebody else is just counting is left to them."""
    await conn.execute(CLEAN, {"forgotten": now - FORGOTTEN_AFTER, "unknown": now - KNOWN_FOR})


async def forget_account(conn: Connection, name: str) -> None:
    """Let an account be tried again; from where somebody logged in with the password before is forgotten too."""
    statement = "delete from console_lockouts where key = %s or starts_with(key, %s)"
    await conn.execute(statement, (_account(name), f"known:{_hash(name)}@"))


def _account(name: str) -> str:
    return f"account:{_hash(name)}"


def _known(name: str, address: IpAddress | None) -> str:
    return f"known:{_hash(name)}@{neighbours(address)}"


def _hash(name: str) -> str:
    # People type their password where their name belongs.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _address(address: IpAddress | None) -> str:
    return f"address:{neighbours(address)}"
