"""Tokens of programs that use the API: each has a name, scopes and an end."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from psycopg.errors import UniqueViolation

from api.audit import record
from api.database import Pool, Row
from api.errors import AccessError

Scope = Literal["kb:read", "metrics:read"]
SCOPES: tuple[Scope, ...] = ("kb:read", "metrics:read")
"""What a token may open: `/api/test_kb`; `/metrics`."""

PREFIX = "kefu_"
"""Makes a token that lies about known for what it is, to people and to programs that look for secrets."""

NAME = re.compile(r"[\w.-]{1,64}")

USE_NOTED_EVERY = timedelta(minutes=1)

FIND = """
select name, token_hash, last_used_at from api_tokens
where token_hash = %(hash)s and %(scope)s = any(scopes) and (expires_at is null or expires_at > %(now)s)
"""
NOTE_USE = "update api_tokens set last_used_at = %s where name = %s and token_hash = %s"
IS_ANY = """
select exists (
    select 1 from api_tokens where %(scope)s = any(scopes) and (expires_at is null or expires_at > %(now)s)
) as found
"""
LIST = "select name, scopes, created_by, created_at, expires_at, last_used_at from api_tokens order by name"


class ApiTokens:
    """Makes, knows and revokes tokens.

    Only a SHA-256 of a token is stored. That is enough because nobody chose it: of 256 random bits no more can be
    guessed from a fast hash than from a slow one, and every request would wait for the slow one.
    """

    def __init__(self, pool: Pool, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._pool = pool
        self._clock = clock

    async def create(self, name: str, scopes: Sequence[str], *, days: int | None, actor: str) -> str:
        """Make a token and return it: it is not to be had a second time.

        Raises:
            AccessError: the name is taken or none, or a scope is unknown.
        """
        if not NAME.fullmatch(name):
            raise AccessError(
                f"{name!r} is no name for a token: letters, digits, . _ - and at most 64; example: grafana"
            )
        if unknown := sorted(set(scopes) - set(SCOPES)):
            raise AccessError(f"there is no scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
        token = PREFIX + secrets.token_urlsafe(32)
        expires_at = self._clock() + timedelta(days=days) if days else None
        wanted = sorted(set(scopes))
        try:
            async with self._pool.connection() as conn, conn.transaction():
                await conn.execute(
                    "insert into api_tokens (name, token_hash, scopes, created_by, expires_at)"
                    " values (%s, %s, %s, %s, %s)",
                    (name, _hash(token), wanted, actor, expires_at),
                )
                detail = {"scopes": wanted, "expires_at": expires_at.isoformat() if expires_at else None}
                await record(conn, actor=actor, action="token.created", subject=name, detail=detail)
        except UniqueViolation:
            raise AccessError(f"there is a token {name} already: revoke it first, or take another name") from None
        return token

    async def revoke(self, name: str, *, actor: str) -> None:
        """End a token at once.

        Raises:
            AccessError: there is none of this name.
        """
        async with self._pool.connection() as conn, conn.transaction():
            gone = await conn.execute("delete from api_tokens where name = %s", (name,))
            if not gone.rowcount:
                raise AccessError(f"there is no token {name}; kefu token list shows them")
            await record(conn, actor=actor, action="token.revoked", subject=name)

    async def list(self) -> Sequence[Row]:
        """Return the tokens, without what opens."""
        async with self._pool.connection() as conn:
            return await (await conn.execute(LIST)).fetchall()

    async def admits(self, token: str, scope: Scope) -> bool:
        """Tell whether a token opens this scope now, and note that it was used."""
        if not token.startswith(PREFIX):
            return False
        now, given = self._clock(), _hash(token)
        async with self._pool.connection() as conn:
            row = await (await conn.execute(FIND, {"hash": given, "scope": scope, "now": now})).fetchone()
            if row is None or not hmac.compare_digest(bytes(row["token_hash"]), given):
                return False
            if row["last_used_at"] is None or now - row["last_used_at"] > USE_NOTED_EVERY:
                await conn.execute(NOTE_USE, (now, row["name"], given))
        return True

    async def is_any(self, scope: Scope) -> bool:
        """Tell whether some token opens this scope."""
        async with self._pool.connection() as conn:
            row = await (await conn.execute(IS_ANY, {"scope": scope, "now": self._clock()})).fetchone()
        return row is not None and bool(row["found"])


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
