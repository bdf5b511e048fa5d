"""Tidying of short customer messages, so that one phrase stands for all its spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import cached_property

EMOJI = "\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\u20e3\U0001f000-\U0001faff"
_BREAKS = ",，.。!！?？~～、;；:：…—"
_TIGHT = re.compile(r"(?<=[^\x00-\x7f]) | (?=[^\x00-\x7f])")
_SENTENCE_ENDS = re.compile(r"[,，。!！?？~～、;；…\n]|\.(?=\s|$)")


class Wording:
    """The words that carry no meaning of their own, and what is left of a message without them."""

    def __init__(
        self, *, particles: str, emoticons: Collection[str], openers: Collection[str], frames: Collection[str]
    ) -> None:
        self._particles = particles
        self._soft = f"[{re.escape(particles)}]*"
        self._emoticon = re.compile(rf"\[(?:{_any_of(emoticons)})\]")
        self._emoji = re.compile(rf"[{EMOJI}]|{self._emoticon.pattern}")
        self._openers = "|".join(f"(?:{opener})" for opener in openers) or "(?!)"
        self._frames = frames

    def tidy(self, text: str) -> str:
        """Return it half-width, lower case, single-spaced, its ends freed of punctuation, emoji and particles."""
        plain = self._emoticon.sub(" ", unicodedata.normalize("NFKC", text).lower())
        plain = _TIGHT.sub("", " ".join(plain.split()))
        start, end = 0, len(plain)
        while start < end and _is_mark(plain[start]):
            start += 1
        while end > start and _is_mark(plain[end - 1]):
            end -= 1
        while end - start > 1 and (plain[end - 1] in self._particles or _is_mark(plain[end - 1])):
            end -= 1
        return plain[start:end]

    def is_emoji_only(self, text: str) -> bool:
        """Whether a message is nothing but emoji and punctuation, with at least one emoji."""
        return bool(self._emoji.search(unicodedata.normalize("NFKC", text).lower())) and not self.tidy(text)

    def sentences(self, text: str) -> list[str]:
        """Cut a message at its punctuation and tidy each part; empty parts are left out."""
        return [part for part in map(self.tidy, _SENTENCE_ENDS.split(text)) if part]

    def last_of_row(self, text: str, phrases: Collection[str]) -> str | None:
        """Return the last phrase when the message is phrases in a row and nothing else."""
        row = _spaced("".join(" " if _is_mark(char) else char for char in self.tidy(text)))
        longest = max(map(len, phrases), default=0)
        last: dict[int, str] = {0: ""}
        for start in range(len(row)):
            if start not in last:
                continue
            if row[start] == " " or (start and row[start] in self._particles):
                last.setdefault(start + 1, last[start])
            for end in range(start + 1, min(start + longest, len(row)) + 1):
                if row[start:end] in phrases and not _splits_word(row, start, end):
                    last[end] = row[start:end]
        return last.get(len(row)) or None

    def strip_pleasantries(self, text: str) -> str:
        """Take courtesies off both ends of a question; a message of nothing else is left alone."""
        rest = self._tail.sub("", self._head.sub("", text, count=1), count=1).strip()
        is_question = self.tidy(rest) and self.last_of_row(rest, self._tidy_frames) is None
        return rest if is_question else text

    @cached_property
    def _tidy_frames(self) -> frozenset[str]:
        return frozenset(map(self.tidy, self._frames))

    @cached_property
    def _gap(self) -> str:
        return rf"(?:[\s{_BREAKS}{EMOJI}]|{self._emoticon.pattern})"

    @cached_property
    def _head(self) -> re.Pattern[str]:
        """Courtesies at the front; a single character is one only with punctuation behind it."""
        long, short = _by_length(self._frames)
        stop = rf"(?:[{_BREAKS}{EMOJI}]|{self._emoticon.pattern})"
        worded = rf"(?:{long}){self._soft}(?:{self._gap}|(?={self._openers}))|(?:{short}){self._soft}{stop}"
        opener = rf"(?:{self._openers}){self._soft}"
        return re.compile(rf"^(?:{self._gap}|{worded}|{opener})+", re.IGNORECASE)

    @cached_property
    def _tail(self) -> re.Pattern[str]:
        """Courtesies at the end, set apart by punctuation, or by a space after Chinese.

        Possessive throughout: a customer's text must not be able to make it backtrack for minutes.
        """
        long, _ = _by_length(self._frames)
        courtesy = rf"(?>{long}){self._soft}+"
        apart = rf"(?:(?<=[{_BREAKS}])\s*+|[,，、~～]++\s*+|(?<=[^\x00-\x7f])\s++)"
        return re.compile(rf"{apart}{courtesy}(?:{self._gap}*+{courtesy})*+{self._gap}*+$", re.IGNORECASE)


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] in "PSZCM"


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _splits_word(row: str, start: int, end: int) -> bool:
    """Tell whether a phrase would begin or end inside a Latin word."""
    return any(
        0 < cut < len(row) and row[cut - 1 : cut + 1].isascii() and row[cut - 1 : cut + 1].isalnum()
        for cut in (start, end)
    )


def _any_of(words: Iterable[str]) -> str:
    """Return an alternation, longest first; of nothing, one that never matches."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) or "(?!)"


def _by_length(words: Collection[str]) -> tuple[str, str]:
    """Return alternations of the long words and of the single characters, which need punctuation behind them."""
    return _any_of(word for word in words if len(word) > 1), _any_of(word for word in words if len(word) == 1)
