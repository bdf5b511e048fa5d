"""Telegram's HTML parse mode: what people see of a text, or why Telegram would refuse it."""

from __future__ import annotations

import re
from html import unescape

TAGS = frozenset(
    {"a", "b", "blockquote", "code", "del", "em", "i", "ins", "pre", "s", "span", "strike", "strong", "tg-emoji"}
    | {"tg-spoiler", "u"}
)
PIECE = re.compile(
    r"</(?P<end>[a-zA-Z][\w-]*)\s*>"
    r"|<(?P<start>[a-zA-Z][\w-]*)(?:\s[^<>]*)?>"
    r"|(?P<stray><[^>]{0,20})"
    r"|(?P<entity>&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});)"
    r"|(?P<text>[^<&]+|&)"
)


class MarkupError(ValueError):
    """The text is not valid Telegram HTML; the message says where."""


def visible_text(source: str) -> str:
    """Return a text without its markup.

    Raises:
        MarkupError: a tag Telegram does not know, or one that is not closed in order.
    """
    open_tags: list[str] = []
    pieces: list[str] = []
    for piece in PIECE.finditer(source):
        kind, value = piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "stray" or (kind == "start" and value.lower() not in TAGS):
            raise MarkupError(f'unsupported start tag "{value.lstrip("<")}" at offset {piece.start()}')
        if kind == "start":
            open_tags.append(value.lower())
        elif kind == "end":
            if not open_tags or open_tags.pop() != value.lower():
                raise MarkupError(f'unexpected end tag "{value}" at offset {piece.start()}')
        else:
            pieces.append(unescape(value) if kind == "entity" else value)
    if open_tags:
        raise MarkupError(f'can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    return "".join(pieces)
