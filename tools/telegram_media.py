"""The file in a Telegram message, as a reference: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.messages import Media, MediaKind

_FIELDS: tuple[tuple[str, MediaKind, str], ...] = (
    # An animation is a document as well.
    ("animation", "video", "animation.mp4"),
    ("document", "file", ""),
    ("video", "video", "video.mp4"),
    ("video_note", "video", "video.mp4"),
    # 微信客服 takes no voice but AMR, which Telegram never has.
    ("voice", "file", "voice.ogg"),
    ("audio", "file", ""),
)
"""Field, what it is to a customer, and a name where Telegram tells none."""

_Fields = Mapping[str, Any]


def media_of(message: _Fields) -> Media | None:
    """Return the file a message carries; None when it carries none, or one that cannot be fetched."""
    photo = _largest(message.get("photo"))
    if photo is not None:
        return _media("image", photo, "")
    for field, kind, name in _FIELDS:
        found = message.get(field)
        if isinstance(found, Mapping):
            own = _text(found, "file_name")
            if kind == "video" and _text(found, "mime_type") not in {"", "video/mp4"}:
                return _media("file", found, own)
            return _media(kind, found, own or name)
    return None


def _largest(sizes: object) -> _Fields | None:
    """Return the largest size of a photo that a bot may fetch; Telegram lists the smallest first."""
    known = [size for size in sizes if isinstance(size, Mapping)] if isinstance(sizes, list) else []
    return max(known, key=lambda size: (_integer(size, "width") or 0) * (_integer(size, "height") or 0), default=None)


def _media(kind: MediaKind, fields: _Fields, name: str) -> Media | None:
    ref = _text(fields, "file_id")
    return Media(kind=kind, ref=ref, name=name, size=_integer(fields, "file_size")) if ref else None


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _integer(fields: _Fields, name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
