"""Passwords of people: argon2id, a few at a time, and as much work for a name nobody has."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.errors import AccessError

SHORTEST, LONGEST = 8, 1024

AT_ONCE = 2
"""Each hash takes 64 MiB and a processor for some fifty milliseconds: many at once would be an attack of their own."""


def check_password(text: str) -> str:
    """Return the password when it may be one.

    Raises:
        AccessError: it is too short or too long.
    """
    if not SHORTEST <= len(text) <= LONGEST:
        raise AccessError(f"a password has {SHORTEST} to {LONGEST} characters")
    return text


class Passwords:
    """Hashes and compares; its default cost is the second choice of RFC 9106."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Compare; with nothing stored it takes as long and is wrong."""
        if self._nobodys is None:
            self._nobodys = await self.hash(secrets.token_urlsafe(32))
        async with self._slots:
            is_right = await asyncio.to_thread(self._verify, stored or self._nobodys, password)
        return is_right and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
