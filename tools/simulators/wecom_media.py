"""Files in the WeCom simulator: what was uploaded and what customers sent, for three days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.responses import Response

from tools.simulators.multipart import read_parts
from tools.simulators.wecom_outbound import Json, RefusedError

LIFE_SECONDS = 3 * 24 * 3600
LEAST_BYTES = 6
KINDS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "image": (10 * 1024 * 1024, (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")),
    "voice": (2 * 1024 * 1024, (b"#!AMR",)),
    "video": (10 * 1024 * 1024, ()),
    "file": (20 * 1024 * 1024, ()),
}
"""Size in bytes at most, and how such a file begins (doc 96484)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file with WeCom."""

    media_id: str
    kind: str
    name: str
    content: bytes = field(repr=False)
    born: float


class MediaStore:
    """Every file there is; ids are good for all apps of the corp."""

    def __init__(self, *, clock: Callable[[], float], next_id: Callable[[str], str]) -> None:
        self.uploads: list[StoredFile] = []
        """What the service uploaded, oldest first."""
        self._clock = clock
        self._next_id = next_id
        self._files: dict[str, StoredFile] = {}

    def add(self, kind: str, content: bytes, name: str = "") -> str:
        """Keep a file that somebody sends from their client; returns its id."""
        media_id = self._next_id("media")
        self._files[media_id] = StoredFile(media_id=media_id, kind=kind, name=name, content=content, born=self._clock())
        return media_id

    def find(self, media_id: object) -> StoredFile:
        """The file of that id; 40007 when there is none, or none any more."""
        found = self._files.get(media_id) if isinstance(media_id, str) else None
        if found is None or self._clock() - found.born > LIFE_SECONDS:
            raise RefusedError(40007, "invalid media_id")
        return found

    def check(self, body: Json) -> None:
        """Raise `RefusedError` when a message names a file that is not there, or is another kind's."""
        msgtype = str(body.get("msgtype"))
        payload = body.get(msgtype)
        if msgtype not in KINDS or not isinstance(payload, dict):
            return
        if self.find(payload.get("media_id")).kind != msgtype:
            raise RefusedError(40004, "invalid media type")

    def upload(self, kind: str, content_type: str, body: bytes) -> Json:
        """`media/upload`."""
        if kind not in KINDS:
            raise RefusedError(40004, "invalid media type")
        try:
            part = next(part for part in read_parts(content_type, body) if part.name == "media" and part.file_name)
        except (ValueError, StopIteration):
            raise RefusedError(41005, "missing media data") from None
        most, starts = KINDS[kind]
        if not LEAST_BYTES <= len(part.content) <= most:
            raise RefusedError(40009 if kind == "image" else 40006, "invalid media size")
        is_mp4 = kind != "video" or part.content[4:8] == b"ftyp"
        if not is_mp4 or (starts and not part.content.startswith(starts)):
            raise RefusedError(40005, "invalid file type")
        media_id = self.add(kind, part.content, part.file_name)
        self.uploads.append(self._files[media_id])
        # A string, as the vendor has it.
        return {"type": kind, "media_id": media_id, "created_at": str(int(self._clock()))}

    def download(self, media_id: str | None) -> Response:
        """`media/get`."""
        found = self.find(media_id)
        disposition = f"attachment; filename*=utf-8''{quote(found.name or found.kind)}"
        return Response(
            found.content,
            media_type="application/octet-stream",
            headers={"Content-Disposition": disposition} if found.name else {},
        )
