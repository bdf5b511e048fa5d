"""Whether a word in a sentence is denied: `不投诉`, `不太满意`, `not happy`, but not `满不满意`."""

from __future__ import annotations

import re

REACH = 12
"""Characters before a word in which its negation stands."""

_FILLERS = (
    "的?(?:是|太|很|怎么|那么|够|算|想|要|会|去|来|打算|准备|特别|十分|非常|再|能|用|需要|必|得|是在|有"
    "|[让令叫使][我人])"
)
_DENIED = re.compile(
    r"(?:不|没|(?<![特分个区级类差告])别(?!的)|勿|未|无需|并非|没有"
    r"|(?<![a-z])(?:not|no|never|don'?t|won'?t|isn'?t|wasn'?t|didn'?t)(?![a-z])) ?"
    rf"(?:{_FILLERS}|(?:very|really|so|too|going to|a|any|that) ?){{0,3}}$"
)
_TWICE = re.compile(r"(?:不(?:得|会|能|可能|可以|是)|没有?)$")
"""In front of a negation: `不得不`, `不会不`."""
_INSISTED = re.compile(r"[\u3400-\u9fff]{0,4}?(?:(?<!行)不行|(?<!可)不可|(?<!成)不成)")
"""After the word: `不投诉不行`, `不投诉你们不可`."""
_EITHER = re.compile(r"([\u3400-\u9fff])[不没]\1$")
"""`要不要`, `能不能` in front of the word."""


def is_denied(sentence: str, start: int, word: str) -> bool:
    """Tell whether the word that begins at `start` is denied by what stands right before it.

    The sentence is in lower case. A question that offers both (`满不满意`, `要不要投诉`) denies nothing, and
    neither do two negations (`不得不投诉`, `不投诉不行`).
    """
    before = sentence[max(0, start - REACH) : start]
    denial = _DENIED.search(before)
    if denial is None or offers_both(sentence, start, word):
        return False
    return not _is_twice(before[: denial.start()]) and not _INSISTED.match(sentence, start + len(word))


def _is_twice(before: str) -> bool:
    """Tell whether a negation that follows is denied itself; `能不能` denies nothing."""
    return _TWICE.search(before) is not None and _EITHER.search(before) is None


def offers_both(sentence: str, start: int, word: str) -> bool:
    """Tell whether the word is one half of `A不A`."""
    before = sentence[max(0, start - REACH) : start]
    is_split = len(before) >= 2 and before[-1] in "不没" and before[-2] == word[0]
    return is_split or _EITHER.search(before) is not None
