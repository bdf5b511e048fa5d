"""Ways to become a friend of the staff: a QR code whose state comes back with everybody who uses it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import httpx

from api.audit import cli_actor, record
from api.database import Connection, Pool, Row
from api.errors import ApiError
from tools.errors import BadRequestError, ChannelError
from tools.wecom.client import WecomClient
from tools.wecom.contacts import STATE_CHARACTERS, TAG_CHARACTERS, ContactWay, WecomContacts

USERS_AT_MOST = 100
PICTURE_SECONDS = 15
PICTURE_BYTES = 5 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"

SCENE = re.compile(r"[0-9A-Za-z_-]{1,32}")
PARAM_BYTES = 128

COLUMNS = "config_id, state, source, staff_ids, tags, qr_code, created_at"


class ContactWayError(ApiError):
    """A way cannot be made, changed or shown; the message says which and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWay:
    """A way as we have it."""

    config_id: str | None
    """None: it is not known whether WeCom made it."""
    state: str
    source: str
    """Empty: it was made elsewhere."""
    staff_ids: tuple[str, ...]
    tags: tuple[str, ...]
    qr_code: str
    created_at: str
    is_stored: bool = True
    is_at_wecom: bool | None = None
    """None: not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactWays:
    """Makes, changes and lists ways; every change is in the audit log."""

    pool: Pool
    contacts: WecomContacts

    async def create(self, *, staff_ids: Sequence[str], source: str, tags: Sequence[str] = ()) -> StoredWay:
        """Make a way; its row is there before WeCom is asked.

        Raises:
            ContactWayError: what was given cannot be used, or it is open whether WeCom made it.
            ChannelError: WeCom refuses.
        """
        staff, names = _staff(staff_ids), _tags(tags)
        if not source.strip():
            raise ContactWayError("--source is empty; say where the QR code will hang, for example --source 官网")
        state = state_for(source.strip())
        async with self.pool.connection() as conn:
            await conn.execute(
                "insert into contact_ways (state, source, staff_ids, tags) values (%s, %s, %s, %s)",
                (state, source.strip(), staff, names),
            )
        try:
            made = await self.contacts.add_way(staff_ids=staff, state=state, remark=source.strip())
        except BadRequestError:
            async with self.pool.connection() as conn:
                await conn.execute("delete from contact_ways where state = %s and config_id is null", (state,))
            raise
        except ChannelError as error:
            raise ContactWayError(
                f"{error}; it is open whether the way was made: `kefu contact-way list` finds it by its state {state}"
            ) from error
        async with self.pool.connection() as conn, conn.transaction():
            return await _adopt(conn, made)

    async def list_all(self) -> list[StoredWay]:
        """List our ways and those of WeCom we do not have; ways that got lost on the way here are found again.

        Raises:
            ChannelError: WeCom does not answer or refuses.
        """
        there = await self.contacts.way_ids()
        known = {way.config_id: way for way in await self._stored() if way.config_id is not None}
        strangers = [await self.contacts.way(config_id) for config_id in there if config_id not in known]
        lost = {way.state for way in await self._stored() if way.config_id is None}
        for way in strangers:
            if way.state in lost:
                async with self.pool.connection() as conn, conn.transaction():
                    await _adopt(conn, way)
        ours = await self._stored()
        found = {way.config_id for way in ours}
        return [
            *(replace(way, is_at_wecom=way.config_id in there) for way in ours),
            *(_elsewhere(way) for way in strangers if way.config_id not in found),
        ]

    async def update(
        self,
        config_id: str,
        *,
        staff_ids: Sequence[str] | None = None,
        source: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> StoredWay:
        """Change whom a way leads to, what its source is called, or its tags; the QR code and the state stay.

        Raises:
            ContactWayError: there is no such way.
            ChannelError: WeCom refuses.
        """
        way = await self.get(config_id)
        staff = _staff(staff_ids) if staff_ids else list(way.staff_ids)
        names = _tags(tags) if tags is not None else list(way.tags)
        called = (source or "").strip() or way.source
        if (staff, called) != (list(way.staff_ids), way.source):
            await self.contacts.update_way(config_id, staff_ids=staff, state=way.state, remark=called)
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute(
                "update contact_ways set staff_ids = %s, source = %s, tags = %s, updated_at = now()"
                " where config_id = %s",
                (staff, called, names, config_id),
            )
            await record(conn, actor=cli_actor(), action="contact_way.updated", subject=config_id)
        return await self.get(config_id)

    async def delete(self, config_id: str) -> None:
        """Let a QR code lead nowhere; who came by it keeps source and tags.

        Raises:
            ContactWayError: there is no such way.
            ChannelError: WeCom refuses.
        """
        await self.get(config_id)
        await self.contacts.delete_way(config_id)
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute("update contact_ways set deleted_at = now() where config_id = %s", (config_id,))
            await record(conn, actor=cli_actor(), action="contact_way.deleted", subject=config_id)

    async def get(self, config_id: str) -> StoredWay:
        """Return one of our ways.

        Raises:
            ContactWayError: there is none.
        """
        found = next((way for way in await self._stored() if way.config_id == config_id), None)
        if found is None:
            raise ContactWayError(f"there is no way {config_id!r} here; `kefu contact-way list` shows those there are")
        return found

    async def _stored(self) -> list[StoredWay]:
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                f"select {COLUMNS} from contact_ways where deleted_at is null order by id".encode()  # noqa: S608 -- ours
            )
            return [_stored(row) for row in await cursor.fetchall()]


async def make_link(client: WecomClient, *, account: str, scene: str, param: str = "") -> str:
    """Return a link that opens the chat with a kf account and says where the customer came from.

    Raises:
        ContactWayError: scene or param cannot be used.
        ChannelError: WeCom refuses.
    """
    if not SCENE.fullmatch(scene):
        raise ContactWayError(f"--scene {scene!r} cannot be used; take 1 to 32 of 0-9 a-z A-Z _ -, for example website")
    if len(param.encode()) > PARAM_BYTES:
        raise ContactWayError(f"--param is {len(param.encode())} bytes long, at most {PARAM_BYTES} are possible")
    url = await client.add_link(account, scene)
    return f"{url}&scene_param={quote(param, safe='')}" if param else url


async def save_picture(url: str, place: Path) -> None:
    """Save a QR code's picture.

    Raises:
        ContactWayError: there is none, or it cannot be fetched or written.
    """
    if not url:
        raise ContactWayError("WeCom told no address of the QR code")
    try:
        async with httpx.AsyncClient(timeout=PICTURE_SECONDS, follow_redirects=True) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ContactWayError(f"the QR code cannot be fetched ({type(error).__name__})") from None
    if answer.status_code != 200:
        raise ContactWayError(f"the QR code cannot be fetched (HTTP {answer.status_code})")
    if not answer.content.startswith(PNG) or len(answer.content) > PICTURE_BYTES:
        raise ContactWayError("what stands at the QR code's address is no PNG picture")
    try:
        await asyncio.to_thread(place.write_bytes, answer.content)
    except OSError as error:
        raise ContactWayError(f"{place} cannot be written ({error.strerror})") from error


def state_for(source: str) -> str:
    """Name a way: the source as a short key, and what makes it one of its kind."""
    key = re.sub(r"[^\w-]+", "_", source).strip("_") or "way"
    suffix = f"_{secrets.token_hex(3)}"
    return key[: STATE_CHARACTERS - len(suffix)] + suffix


def _staff(staff_ids: Sequence[str]) -> list[str]:
    staff = list(dict.fromkeys(staff_id.strip() for staff_id in staff_ids if staff_id.strip()))
    if not staff:
        raise ContactWayError("--user is empty; give the userid of who gets the friends, for example --user zhangsan")
    if len(staff) > USERS_AT_MOST:
        raise ContactWayError(f"{len(staff)} users are too many, a way leads to at most {USERS_AT_MOST}")
    return staff


def _tags(tags: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    if long := [name for name in names if len(name) > TAG_CHARACTERS]:
        raise ContactWayError(f"the tag {long[0]!r} is longer than {TAG_CHARACTERS} characters; shorten it")
    return names


async def _adopt(conn: Connection, way: ContactWay) -> StoredWay:
    cursor = await conn.execute(
        "update contact_ways set config_id = %s, qr_code = %s, updated_at = now() where state = %s returning *",
        (way.config_id, way.qr_code, way.state),
    )
    row = await cursor.fetchone()
    assert row is not None, "its row was written before WeCom was asked"
    await record(conn, actor=cli_actor(), action="contact_way.created", subject=way.config_id)
    return _stored(row)


def _stored(row: Row) -> StoredWay:
    return StoredWay(
        config_id=row["config_id"],
        state=row["state"],
        source=row["source"],
        staff_ids=tuple(row["staff_ids"]),
        tags=tuple(row["tags"]),
        qr_code=row["qr_code"],
        created_at=row["created_at"].isoformat(),
    )


def _elsewhere(way: ContactWay) -> StoredWay:
    return StoredWay(
        config_id=way.config_id,
        state=way.state,
        source="",
        staff_ids=way.staff_ids,
        tags=(),
        qr_code=way.qr_code,
        created_at="",
        is_stored=False,
        is_at_wecom=True,
    )
