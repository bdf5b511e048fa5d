"""The people of the console, and the one of CONSOLE_PASSWORD."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from api.audit import record
from api.console.lockouts import forget_account
from api.console.passwords import Passwords, check_password
from api.database import Connection, Pool, Row
from api.errors import AccessError

ADMIN = "admin"
"""Whose password is CONSOLE_PASSWORD."""

NAME = re.compile(r"[\w.@-]{1,64}")

ADD = "insert into console_users (name, password_hash) values (%s, %s) on conflict do nothing"
CHANGE = "update console_users set password_hash = %s, changed_at = now() where name = %s"
LIST = """
select u.name, u.created_at, u.changed_at, count(s.name)::int as sessions
from console_users u left join console_sessions s using (name) group by u.name order by u.name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleUsers:
    """Adds, changes and removes people."""

    pool: Pool
    passwords: Passwords

    async def add(self, name: str, password: str, *, actor: str) -> None:
        """Let somebody log in.

        Raises:
            AccessError: the name is taken or none, or the password is none.
        """
        _check_name(name)
        stored = await self.passwords.hash(check_password(password))
        async with self.pool.connection() as conn, conn.transaction():
            if not (await conn.execute(ADD, (name, stored))).rowcount:
                raise AccessError(f"there is a user {name} already; kefu console user password {name} changes theirs")
            await record(conn, actor=actor, action="console.user_added", subject=name)

    async def change_password(self, name: str, password: str, *, actor: str) -> None:
        """Give somebody another password; every session of theirs ends, and what locked them out.

        Raises:
            AccessError: there is nobody of this name, or the password is none.
        """
        _check_name(name)
        stored = await self.passwords.hash(check_password(password))
        async with self.pool.connection() as conn, conn.transaction():
            if not (await conn.execute(CHANGE, (stored, name))).rowcount:
                raise AccessError(f"there is no user {name}; kefu console user list shows them")
            await _end_sessions(conn, name)
            await forget_account(conn, name)
            await record(conn, actor=actor, action="console.password_changed", subject=name)

    async def remove(self, name: str, *, actor: str) -> None:
        """Let somebody in no more; their sessions end.

        Raises:
            AccessError: there is nobody of this name.
        """
        _check_name(name)
        async with self.pool.connection() as conn, conn.transaction():
            if not (await conn.execute("delete from console_users where name = %s", (name,))).rowcount:
                raise AccessError(f"there is no user {name}; kefu console user list shows them")
            await forget_account(conn, name)
            await record(conn, actor=actor, action="console.user_removed", subject=name)

    async def list(self) -> Sequence[Row]:
        """Return everybody, without what opens."""
        async with self.pool.connection() as conn:
            return await (await conn.execute(LIST)).fetchall()

    async def sync_admin(self, password: SecretStr | None) -> None:
        """Make the database say what CONSOLE_PASSWORD says; a changed one ends the sessions opened with the old one."""
        async with self.pool.connection() as conn:
            row = await (
                await conn.execute("select password_hash from console_users where name = %s", (ADMIN,))
            ).fetchone()
        if password is None:
            if row is not None:
                async with self.pool.connection() as conn, conn.transaction():
                    await conn.execute("delete from console_users where name = %s", (ADMIN,))
                    await record(conn, actor="settings", action="console.user_removed", subject=ADMIN)
            return
        text = password.get_secret_value()
        if row is not None and await self.passwords.matches(row["password_hash"], text):
            return
        stored = await self.passwords.hash(text)
        async with self.pool.connection() as conn, conn.transaction():
            # Two processes that start together may both come here: the second one writes the same once more.
            if not (await conn.execute(CHANGE, (stored, ADMIN))).rowcount:
                await conn.execute(ADD, (ADMIN, stored))
            await _end_sessions(conn, ADMIN)
            await forget_account(conn, ADMIN)
            await record(conn, actor="settings", action="console.password_changed", subject=ADMIN)


async def _end_sessions(conn: Connection, name: str) -> None:
    await conn.execute("delete from console_sessions where name = %s", (name,))


def _check_name(name: str) -> None:
    if name == ADMIN:
        raise AccessError(f"{ADMIN} is who logs in with CONSOLE_PASSWORD: change that setting, or take another name")
    if not NAME.fullmatch(name):
        raise AccessError(f"{name!r} is no name: letters, digits, . _ @ - and at most 64; example: xiaowang")
