"""Sessions of the console: kept by the server, so that ending one ends it."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from api.audit import record
from api.client_address import IpAddress
from api.console.lockouts import LockedError, count_attempt, forget_old, was_right
from api.console.passwords import Passwords
from api.database import Connection, Pool

logger = logging.getLogger(__name__)

LIFETIME = timedelta(hours=12)
IDLE = timedelta(minutes=30)

SEE = """
update console_sessions set last_seen_at = %(now)s
where id_hash = %(hash)s and created_at > %(born)s and last_seen_at > %(seen)s
returning name, created_at
"""
CLEAN = "delete from console_sessions where created_at <= %(born)s or last_seen_at <= %(seen)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSession:
    """Somebody who is logged in."""

    name: str
    session_id: str = field(repr=False)
    """What the browser keeps; the database has a hash of it."""
    expires_at: datetime

    @property
    def csrf_token(self) -> str:
        """What a page of ours sends along with everything that changes something; no other page can know it."""
        return hmac.new(self.session_id.encode(), b"csrf", "sha256").hexdigest()

    def is_csrf_token(self, given: str) -> bool:
        """Compare, in a time that tells nothing."""
        return hmac.compare_digest(given.encode(), self.csrf_token.encode())


@dataclass(frozen=True, slots=True)
class WrongLogin:
    """Name or password is wrong; it is not said which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedLogin:
    """Not tried: there were too many wrong attempts."""

    seconds: int


class Console:
    """Logs people in and out."""

    def __init__(
        self,
        pool: Pool,
        passwords: Passwords,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._passwords = passwords
        self._clock = clock

    async def log_in(
        self, name: str, password: str, address: IpAddress | None, *, replaces: str = ""
    ) -> ConsoleSession | WrongLogin | LockedLogin:
        """Open a session; the one the browser had before, `replaces`, ends."""
        now = self._clock()
        try:
            async with self._pool.connection() as conn, conn.transaction():
                await count_attempt(conn, name, address, now=now)
                stored = await _stored(conn, name)
        except LockedError as error:
            return LockedLogin(seconds=max(1, math.ceil((error.until - now).total_seconds())))
        if not await self._passwords.matches(stored, password):
            await self._note_wrong(name if stored is not None else None, address)
            return WrongLogin()
        session_id = secrets.token_urlsafe(32)
        async with self._pool.connection() as conn, conn.transaction():
            if await _stored(conn, name, is_kept=True) != stored:
                # Changed or removed while it was compared: what was right is right no more.
                return WrongLogin()
            await was_right(conn, name, address, now=now)
            await conn.execute(CLEAN, _limits(now))
            await forget_old(conn, now=now)
            await _end(conn, replaces)
            await conn.execute(
                "insert into console_sessions (id_hash, name, created_at, last_seen_at) values (%s, %s, %s, %s)",
                (_hash(session_id), name, now, now),
            )
            await record(conn, actor=f"console:{name}", action="console.logged_in", detail={"address": str(address)})
        return ConsoleSession(name=name, session_id=session_id, expires_at=now + LIFETIME)

    async def session(self, session_id: str) -> ConsoleSession | None:
        """Return whose session this is, None when it is nobody's, or over."""
        if not session_id:
            return None
        now = self._clock()
        async with self._pool.connection() as conn:
            values = {"hash": _hash(session_id), "now": now, **_limits(now)}
            row = await (await conn.execute(SEE, values)).fetchone()
        if row is None:
            return None
        return ConsoleSession(name=row["name"], session_id=session_id, expires_at=row["created_at"] + LIFETIME)

    async def log_out(self, session: ConsoleSession) -> None:
        """End a session."""
        async with self._pool.connection() as conn, conn.transaction():
            await _end(conn, session.session_id)
            await record(conn, actor=f"console:{session.name}", action="console.logged_out")

    async def _note_wrong(self, name: str | None, address: IpAddress | None) -> None:
        # A name that nobody has is not written down: it may be a password in the wrong field.
        logger.warning("Login refused", extra={"action": "console_refused", "address": str(address)})
        async with self._pool.connection() as conn:
            detail = {"address": str(address)}
            await record(conn, actor="stranger", action="console.login_refused", subject=name, detail=detail)
            await forget_old(conn, now=self._clock())


async def _stored(conn: Connection, name: str, *, is_kept: bool = False) -> str | None:
    statement = "select password_hash from console_users where name = %s"
    row = await (await conn.execute(statement + " for share" if is_kept else statement, (name,))).fetchone()
    return str(row["password_hash"]) if row else None


async def _end(conn: Connection, session_id: str) -> None:
    await conn.execute("delete from console_sessions where id_hash = %s", (_hash(session_id),))


def _limits(now: datetime) -> dict[str, datetime]:
    return {"born": now - LIFETIME, "seen": now - IDLE}


def _hash(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).digest()
