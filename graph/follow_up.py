"""Follow-up questions without a model: a rule that puts the previous topic back in."""

from __future__ import annotations

import re

REFERS_BACK = re.compile(r"^(那么?|这个?|它|他们?|还有|另外|然后|如果|要是|and|what about|how about)", re.IGNORECASE)
ASKING = re.compile(
    r"请问|想问一?下|我想|我要|如何|怎么样?|怎样|什么|多少|哪里|哪儿|为什么|是不是|有没有|能不能|可不可以|可以|吗|呢|么|啊|[\s，。？！、,.?!]"
)
LEADING = re.compile(r"^(那么?|这个?|它|还有|另外|然后)[,，\s]*")
SHORT = 6
"""Characters up to which a question can hardly stand alone (多久到账, 要运费吗)."""


def is_follow_up(text: str) -> bool:
    """Tell whether a question leans on the one before it."""
    return bool(REFERS_BACK.match(text)) or len(ASKING.sub("", text)) <= SHORT


def in_context(text: str, previous: str) -> str:
    """Put the topic of the previous question in front of a follow-up."""
    return f"{ASKING.sub('', previous)}{LEADING.sub('', text)}"
