"""Files in rows: only where the vendor has them; the bytes are fetched right before they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from api.database import Connection
from tools.messages import DeskEvent, Media, MediaKind

LABELS: Mapping[MediaKind, str] = {"image": "[图片]", "voice": "[语音]", "video": "[视频]", "file": "[文件]"}

LATEST = 5
"""Earlier files that a ticket's card brings along at most; WeCom keeps them for three days (doc 96484)."""

# The rows of the turn itself, however many; of what came before it the latest, as far as no ticket had them.
FILES = b"""
select * from (
    select id, message_id, payload ->> 'text' as text, payload -> 'media' as media from inbox
    where turn_id = %(turn)s and thread_id = %(thread)s and origin = 'customer' and payload ? 'media'
    and outcome is distinct from 'recalled'
    union all
    (select id, message_id, payload ->> 'text', payload -> 'media' from inbox
    where %(with_earlier)s and thread_id = %(thread)s and origin = 'customer' and payload ? 'media'
    and outcome is distinct from 'recalled' and turn_id is distinct from %(turn)s
    and id < coalesce((select min(id) from inbox where turn_id = %(turn)s), 9223372036854775807)
    and received_at > now() - interval '3 days' and received_at > coalesce((
        select max(closed_at) from tickets where thread_id = %(thread)s and ticket_id <> %(turn)s
    ), '-infinity') order by id desc limit %(latest)s)
) files order by id
"""

DESK_FILE = b"""
select payload from inbox where turn_id = %s and thread_id = %s and origin = 'desk' and payload ? 'media' limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFile:
    """One message of a customer that is a file."""

    name: str
    """Names it in keys; the vendor's id of the message."""
    text: str
    media: Mapping[str, Any]

    @property
    def payload(self) -> dict[str, Any]:
        """What its row for the desk says."""
        return {"kind": "customer", "text": self.text, "media": dict(self.media)}


def stored(media: Media) -> dict[str, Any]:
    """Return what a row keeps of a file."""
    return asdict(media)


def media_in(payload: Mapping[str, Any]) -> Media | None:
    """Return the file a row is about; None when it is about none."""
    kept = payload.get("media")
    if not isinstance(kept, Mapping):
        return None
    return Media(kind=kept["kind"], ref=kept["ref"], name=str(kept.get("name") or ""), size=kept.get("size"))


def words(payload: Mapping[str, Any]) -> str:
    """Return what a person sent in words: the file by its kind, and what was written."""
    media, text = media_in(payload), str(payload.get("text") or "")
    return text if media is None else " ".join(filter(None, [LABELS[media.kind], text]))


def said(event: DeskEvent) -> str:
    """Return what a person did in words, for whoever is asked about it."""
    payload = {"text": event.text} | ({"media": stored(event.media)} if event.media else {})
    return words(payload) or f"/{event.action}"


def sent_in(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person wrote or sent, out of the row that held it back."""
    return {name: held[name] for name in ("text", "message_id", "media") if name in held}


async def customer_files(
    conn: Connection, thread_id: str, turn_id: str, *, with_earlier: bool = False
) -> Sequence[CustomerFile]:
    """Return the files of a customer's turn, oldest first; with those before it that no ticket had."""
    values = {"turn": turn_id, "thread": thread_id, "with_earlier": with_earlier, "latest": LATEST}
    cursor = await conn.execute(FILES, values)
    return [
        CustomerFile(name=row["message_id"], text=str(row["text"] or ""), media=row["media"])
        for row in await cursor.fetchall()
    ]


async def desk_file(conn: Connection, thread_id: str, turn_id: str) -> Mapping[str, Any] | None:
    """Return what a person at the desk sent in a turn when it is a file: `media`, and in `text` what was written."""
    cursor = await conn.execute(DESK_FILE, (turn_id, thread_id))
    row = await cursor.fetchone()
    return row["payload"] if row else None
