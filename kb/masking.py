"""Personal numbers and addresses on their way to a model, and back: it sees marks, the customer the values."""

from __future__ import annotations

import json
import re

from kb.redaction import MARKS, Kind, find_personal

MASKED: frozenset[Kind] = frozenset({"phone", "id_card", "bank_card", "address", "email"})
"""What a model needs to know of is that it is there. Order numbers stay: answers are about them."""

_OBJECT = re.compile(r'\{\s*"')


class Mask:
    """The marks of one request: a value has the same one wherever it stands."""

    def __init__(self) -> None:
        self._marks: dict[tuple[Kind, str], str] = {}

    def hide(self, text: str) -> str:
        """Return the text with marks such as 〔电话1〕 for what is personal in it."""
        pieces, at = [], 0
        for span in find_personal(text):
            if span.kind in MASKED:
                pieces += [text[at : span.start], self._mark(span.kind, text[span.start : span.end])]
                at = span.end
        return "".join([*pieces, text[at:]])

    def restore(self, text: str) -> str:
        """Return a reply with the values back in the places of their marks, also of marks in other brackets."""
        is_json = _OBJECT.search(text) is not None
        for (_, value), mark in self._marks.items():
            if mark[1:-1] not in text:
                continue
            # In an object of JSON a quotation mark of the value would end the string it stands in.
            shown = json.dumps(value, ensure_ascii=False)[1:-1] if is_json else value
            template = shown.replace("\\", r"\\")
            text = re.sub(rf"[〔【\[]\s*{mark[1:-1]}\s*[〕】\]]", template, text)
        return text

    def _mark(self, kind: Kind, value: str) -> str:
        # Numbers of its own for each kind, and closed: 〔电话1〕 is no part of 〔电话12〕.
        number = sum(known == kind for known, _ in self._marks) + 1
        return self._marks.setdefault((kind, value), f"〔{MARKS[kind]}{number}〕")
