"""Fences around text that a model must read as data, never as instructions."""

from __future__ import annotations

import re

from prompts.errors import PromptError

INVISIBLE = "\\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
OPENING = "<\uff1c\ufe64\u226a\u22d8"
CLOSING = ">\uff1e\ufe65\u226b\u22d9"
"""The delimiter's characters and those a model may take for them."""

_RUN = re.compile(
    f"[{OPENING}](?:[{INVISIBLE}]*[{OPENING}])+|[\u226a\u22d8]|[{CLOSING}](?:[{INVISIBLE}]*[{CLOSING}])+|[\u226b\u22d9]"
)
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,31}")


def fence(label: str, text: str) -> str:
    """Wrap a text in a labelled fence that the text itself cannot close or open.

    Raises:
        PromptError: the label is not a plain lower-case word.
    """
    if not _LABEL.fullmatch(label):
        raise PromptError(f"fence label {label!r} must be lower-case letters, digits and _, at most 32; example: hits")
    return f"<<<DATA {label}>>>\n{_RUN.sub(_neutral, text)}\n<<<END {label}>>>"


def _neutral(run: re.Match[str]) -> str:
    return "\u2039" if run.group()[0] in OPENING else "\u203a"
