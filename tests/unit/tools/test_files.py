"""What a file is by its first bytes, and what it is called."""

from __future__ import annotations

import pytest

from tools.files import file_name, format_of
from tools.messages import MediaKind


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"\x89PNG\r\n\x1a\n\0", "png"),
        (b"GIF89a", "gif"),
        (b"RIFF\0\0\0\0WEBPVP8", "webp"),
        (b"RIFF\0\0\0\0WAVEfmt", ""),
        (b"\0\0\0\x18ftypmp42", "mp4"),
        (b"\0\0\0\x18ftypM4A ", "m4a"),
        (b"OggS\0", "ogg"),
        (b"ID3\x04", "mp3"),
        (b"#!AMR\n", "amr"),
        (b"", ""),
    ],
)
def test_a_format_is_told_by_how_a_file_begins(content: bytes, found: str) -> None:
    assert format_of(content) == found


@pytest.mark.parametrize(
    ("kind", "name", "content", "shown"),
    [
        ("image", "杯子.png", b"", "杯子.png"),
        ("image", "", b"\x89PNG\r\n\x1a\n", "image.png"),
        ("image", "", b"?", "image.jpg"),
        ("voice", "", b"OggS", "voice.ogg"),
        ("file", "", b"?", "file"),
        ("file", "../../etc/passwd", b"", "passwd"),
        ("file", "C:\\账单\\一月.xlsx", b"", "一月.xlsx"),
        ("file", 'a\r\nX-Evil: 1".pdf', b"", 'aX-Evil: 1".pdf'),
        ("video", " / ", b"\0\0\0\x18ftypisom", "video.mp4"),
    ],
)
def test_a_file_has_a_name_that_can_be_sent(kind: MediaKind, name: str, content: bytes, shown: str) -> None:
    assert file_name(kind, name, content) == shown
