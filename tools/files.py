"""What a file is by its first bytes, and what it is called: names and vendors' words prove nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tools.messages import MediaKind

FILE_BYTES = 20 * 1024 * 1024
"""The largest file that goes either way: 微信客服 takes no larger one (doc 96484), and Telegram gives bots none."""

Format = Literal["jpg", "png", "gif", "webp", "mp4", "m4a", "ogg", "mp3", "amr", "pdf", ""]

_STARTS: Mapping[bytes, Format] = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"\xff\xfb": "mp3",
    b"\xff\xf3": "mp3",
    b"#!AMR": "amr",
    b"%PDF-": "pdf",
}
_USUAL: Mapping[MediaKind, Format] = {"image": "jpg", "voice": "amr", "video": "mp4", "file": ""}


def format_of(content: bytes) -> Format:
    """Return the format of a file, empty when it is none that matters here."""
    if content[4:8] == b"ftyp":
        return "m4a" if content[8:11] == b"M4A" else "mp4"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((found for start, found in _STARTS.items() if content.startswith(start)), "")


def file_name(kind: MediaKind, name: str, content: bytes) -> str:
    """Return a name to send a file under: its own, or one that says what it is."""
    # A path or a line break in it would reach into the header it is sent in.
    own = "".join(char for char in name.replace("\\", "/").rpartition("/")[2] if char.isprintable()).strip()
    if own:
        return own
    ending = format_of(content) or _USUAL[kind]
    return f"{kind}.{ending}" if ending else kind
