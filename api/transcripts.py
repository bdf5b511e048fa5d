"""What customers' voice messages say and their pictures show, found out once and kept with the message."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from api.channels import Channels
from api.database import Pool, personal
from api.inbox import Batch, InboxRow
from tools.errors import BadRequestError, ChannelError, ModelUnavailableError
from tools.messages import Media, MediaKind
from tools.ports import Transcriber

logger = logging.getLogger(__name__)

AT_MOST = 3
"""Files of one turn that are put into words: the latest."""

READABLE: tuple[MediaKind, ...] = ("voice", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcripts:
    """Puts the files of a turn into words; callers hold the conversation's lock."""

    pool: Pool
    channels: Channels
    transcriber: Transcriber | None = None
    """None: files stay what they are."""

    async def read(self, batch: Batch) -> Batch:
        """Return the turn with what its files say; what could not be found out stays as it is."""
        waiting = [row for row in batch.rows if _media_of(row) and "words" not in row.payload]
        chosen = [row for row in waiting if self.transcriber and self.transcriber.can_read(row.kind)][-AT_MOST:]
        words = await asyncio.gather(*(self._words(batch.thread_id, row) for row in chosen))
        found = dict(zip([row.id for row in chosen], words, strict=True))
        return replace(batch, rows=tuple(_with_words(row, found.get(row.id)) for row in batch.rows))

    async def _words(self, thread_id: str, row: InboxRow) -> str | None:
        """Return what a file says, and keep it, so that a turn that is tried again does not pay again."""
        media = _media_of(row)
        assert media is not None, "chosen for its file"
        assert self.transcriber is not None, "chosen because it can be read"
        try:
            words = await self.transcriber.transcribe(await self.channels.of(thread_id).fetch(media))
        except BadRequestError as error:
            # For good: it is not asked for again.
            logger.info("A file is not read", extra={"action": "transcript_refused", "error": str(error)})
            words = ""
        except (ChannelError, ModelUnavailableError) as error:
            logger.warning("A file was not read", extra={"action": "transcript_failed", "error": str(error)})
            return None
        async with self.pool.connection() as conn:
            # Whole: a row that is sealed in part looks sealed to whoever seals what was written without a key.
            payload = personal({**row.payload, "words": words})
            await conn.execute("update inbox set payload = %s where id = %s", (payload, row.id))
        return words


def _media_of(row: InboxRow) -> Media | None:
    media = row.payload.get("media")
    kind = next((known for known in READABLE if known == row.kind), None)
    if kind is None or not isinstance(media, dict) or not isinstance(media.get("ref"), str):
        return None
    return Media(kind=kind, ref=media["ref"], name=str(media.get("name") or ""))


def _with_words(row: InboxRow, words: str | None) -> InboxRow:
    return row if words is None else replace(row, payload={**row.payload, "words": words})
