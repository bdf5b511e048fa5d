"""Forms with files, read byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a form."""

    name: str
    content: bytes = field(repr=False)
    file_name: str = ""
    """Empty when it is no file."""


def read_parts(content_type: str, body: bytes) -> list[Part]:
    """Read a form.

    Raises:
        ValueError: it is none.
    """
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_boundary()
    if not boundary:
        raise ValueError("the form has no boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    return [_part(piece) for piece in pieces[1:] if not piece.startswith(b"--")]


def _part(piece: bytes) -> Part:
    lines, separator, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("a part of the form has no content")
    headers = Message()
    for line in lines.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip()] = value.strip()
    field_name = headers.get_param("name", header="content-disposition")
    return Part(
        name=field_name if isinstance(field_name, str) else "",
        content=content,
        file_name=headers.get_filename() or "",
    )
