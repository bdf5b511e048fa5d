"""Cuts a text into parts of a limited number of bytes, where a reader would pause."""

from __future__ import annotations

import re
import unicodedata

# An ASCII mark ends a sentence only before a space or a wide character: links and numbers are full of them.
_SENTENCE_END = re.compile(r"(?:[。！？；\n]|[!?;](?=\s|[^\x00-\x7f]|$))+[”’」』）》)\"']*")
_PAUSE = re.compile(r"[，、：]|,(?=\D|$)|\s")
_ZWJ = "\u200d"
_LONGEST_CLUSTER = 32


def split_text(text: str, limit: int) -> list[str]:
    """Cut at sentence ends, else at commas and spaces, else between characters.

    No part is empty or longer than `limit` bytes of UTF-8; only white space around the cuts is lost.
    """
    # Half an emoji cannot be sent, and would fail at every later step.
    rest = text.encode("utf-8", "replace").decode().strip()
    parts: list[str] = []
    while rest:
        cut = _fitting(rest, limit)
        if cut < len(rest):
            cut = _last_end(_SENTENCE_END, rest, cut) or _last_end(_PAUSE, rest, cut) or _between_clusters(rest, cut)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return parts


def shorten(text: str, limit: int, *, mark: str = "…") -> str:
    """Return the text on one line of at most `limit` bytes; `mark` ends a shortened one."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    if len(text.encode()) <= limit:
        return text
    return text[: _between_clusters(text, _fitting(text, limit - len(mark.encode())))].rstrip() + mark


def _fitting(text: str, limit: int) -> int:
    """Count the characters that fit into `limit` bytes, one at least."""
    return max(1, len(text[:limit].encode()[:limit].decode(errors="ignore")))


def _last_end(pattern: re.Pattern[str], text: str, cut: int) -> int:
    """Return where the last match ends that leaves at most `cut` characters before it; 0 without one."""
    # One character further, so that what follows a mark is seen.
    ends = [match.end() for match in pattern.finditer(text, 0, cut + 1)]
    return next((end for end in reversed(ends) if end <= cut and not _is_joined(text, end)), 0)


def _between_clusters(text: str, cut: int) -> int:
    for end in range(cut, max(0, cut - _LONGEST_CLUSTER), -1):
        if not _is_joined(text, end):
            return end
    return cut


def _is_joined(text: str, at: int) -> bool:
    """Whether the characters around `at` are seen as one: accents, emoji with parts, flags, CR LF."""
    if at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if _ZWJ in (before, after) or before + after == "\r\n":
        return True
    if unicodedata.category(after) in {"Mn", "Mc", "Me"} or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if "\U000e0020" <= after <= "\U000e007f":
        return True
    return _is_flag_half(after) and _flag_halves_before(text, at) % 2 == 1


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, at: int) -> int:
    count = 0
    while count < at and _is_flag_half(text[at - 1 - count]):
        count += 1
    return count
