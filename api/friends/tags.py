"""The corp's tags by name: made when missing, once, however many workers want them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from api.database import Pool
from tools.errors import BadRequestError, ChannelSetupError
from tools.wecom.contacts import TAG_CHARACTERS, Tag

logger = logging.getLogger(__name__)

TAGS_AT_MOST = 100
"""Tags that are made by themselves: a state of another system may be a new one for every visitor."""

LOCK = b"select pg_advisory_xact_lock(hashtextextended('kefu.corp_tags', 14))"


class TagStore(Protocol):
    """Where tags are: `tools.wecom.contacts.WecomContacts`."""

    async def tags(self) -> tuple[Tag, ...]:
        """List the tags of the corp."""
        ...

    async def add_tags(self, group: str, names: Sequence[str]) -> tuple[Tag, ...]:
        """Make tags in a group."""
        ...


class TagBook:
    """Tag ids by name, of one group."""

    def __init__(self, pool: Pool, store: TagStore, *, group: str) -> None:
        self._pool = pool
        self._store = store
        self._group = group
        self._ids: dict[str, str] = {}
        self._reading = asyncio.Lock()

    async def ids(self, names: Sequence[str], *, fresh: bool = False) -> dict[str, str]:
        """Return the ids of tags by name; missing ones are made. `fresh` does not trust what was read before.

        Raises:
            ChannelError: see `tools.errors`.
        """
        wanted = list(dict.fromkeys(cut for name in names if (cut := name.strip()[:TAG_CHARACTERS].strip())))
        async with self._reading:
            if fresh or any(name not in self._ids for name in wanted):
                await self._read(wanted)
        return {name: self._ids[name] for name in wanted if name in self._ids}

    async def _read(self, wanted: Sequence[str]) -> None:
        self._ids = await self._known()
        # A full group has no room for what another worker may be making: one look is enough.
        if self._to_make(wanted):
            async with self._pool.connection() as conn, conn.transaction():
                await conn.execute(LOCK)
                # Somebody else may have made them while this one waited.
                self._ids = await self._known()
                if missing := self._to_make(wanted):
                    await self._make(missing)
        left_out = sum(name not in self._ids for name in wanted)
        if left_out and len(self._ids) >= TAGS_AT_MOST:
            extra = {"action": "tags_full", "group": self._group, "left_out": left_out}
            logger.warning("The group of tags is full; no more are made", extra=extra)

    def _to_make(self, wanted: Sequence[str]) -> list[str]:
        missing = [name for name in wanted if name not in self._ids]
        return missing[: max(0, TAGS_AT_MOST - len(self._ids))]

    async def _make(self, names: Sequence[str]) -> None:
        try:
            made = await self._store.add_tags(self._group, names)
        except ChannelSetupError:
            raise
        except BadRequestError as error:
            # An administrator may have made one by hand meanwhile; a name that is refused costs the others nothing.
            self._ids = await self._known()
            missing = [name for name in names if name not in self._ids]
            if len(names) == 1 and missing:
                extra = {"action": "tag_refused", "group": self._group, "code": error.code}
                logger.warning("WeCom refuses a tag; it is left out", extra=extra)
                return
            for name in missing:
                await self._make([name])
            return
        self._ids |= {tag.name: tag.tag_id for tag in made}
        if any(name not in self._ids for name in names):
            self._ids = await self._known()
        logger.info("Tags made", extra={"action": "tags_made", "group": self._group, "count": len(names)})

    async def _known(self) -> dict[str, str]:
        return {tag.name: tag.tag_id for tag in await self._store.tags() if tag.group == self._group}
