"""Whether a word in a sentence is denied: `不投诉`, `不太满意`, `not happy`, but not `满不满意`."""

from __future__ import annotations

import re

REACH = 12
"""Characters before a word in which its negation stands."""

_FILLERS = "的?(?:是|太|很|怎么|那么|够|算|想|要|会|去|来|打算|准备|特别|十分|非常|再|能|用|需要|必|得|是在|有)"
_DENIED = re.compile(
    rf"(?:不|没|别|勿|未|无需|并非|没有|(?<![a-z])(?:not|no|never|don'?t|won'?t|isn'?t|wasn'?t|didn'?t)(?![a-z])) ?"
    rf"(?:{_FILLERS}|(?:very|really|so|too|going to|a|any|that) ?){{0,3}}$"
)
_EITHER = re.compile(r"([\u3400-\u9fff])[不没]\1$")
"""`要不要`, `能不能` in front of the word."""


def is_denied(sentence: str, start: int, word: str) -> bool:
    """Tell whether the word that begins at `start` is denied by what stands right before it.

    The sentence is in lower case. A question that offers both (`满不满意`, `要不要投诉`) denies nothing.
    """
    before = sentence[max(0, start - REACH) : start]
    return bool(_DENIED.search(before)) and not offers_both(sentence, start, word)


def offers_both(sentence: str, start: int, word: str) -> bool:
    """Tell whether the word is one half of `A不A`."""
    before = sentence[max(0, start - REACH) : start]
    is_split = len(before) >= 2 and before[-1] in "不没" and before[-2] == word[0]
    return is_split or _EITHER.search(before) is not None
