"""Texts that are too long to be searched for or shown whole."""

from __future__ import annotations

import re

LONG = 2000
"""Characters above which a text is searched by its question and kept shortened."""

QUERY = 300
"""Characters of what is searched for instead."""

LINE = 300
"""Characters of one line of a conversation, for a model and for the desk."""

GAP = "…"

_SENTENCE = re.compile(r"[^。!！?？;；\n]+[。!！?？;；]?")
_ASKS = re.compile(
    r"[?？]|请问|怎么|如何|怎样|什么|多少|多久|哪|为什么|吗|呢|能不能|可不可以|可以.{0,6}吗|是否|有没有"
    r"|\b(?:how|what|when|where|which|why|who|can|could|do|does|is|are)\b",
    re.IGNORECASE,
)


def question_part(text: str) -> str:
    """Return the last sentences that ask something, else the beginning and the end: at most `QUERY` characters."""
    asking = [match.group().strip() for match in _SENTENCE.finditer(text) if _ASKS.search(match.group())]
    kept, room = list[str](), QUERY
    for sentence in reversed(asking):
        if len(sentence) > room:
            break
        kept.insert(0, sentence)
        room -= len(sentence)
    return "\n".join(kept) or shortened(text, QUERY)


def shortened(text: str, limit: int = LINE) -> str:
    """Return at most `limit` characters: the beginning and the end of what is longer."""
    if len(text) <= limit:
        return text
    head = (limit - len(GAP) + 1) // 2
    return f"{text[:head]}{GAP}{text[len(text) - (limit - len(GAP) - head) :]}"
