"""Slips of the pen, corrected against the words of the base: 退宽 and tuikuan are 退款 where the base knows 退款 only.

Careful on purpose: text that the base knows is never touched, and a word of the dictionary hardly ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from string import ascii_lowercase
from typing import Any

import numpy as np
import rjieba
from numpy.typing import NDArray
from pypinyin import lazy_pinyin

from kb.lexical import STOP_WORDS

LONGEST = 4
"""Characters of the longest word looked for by sound."""

LEAST_LETTERS = 5
"""Letters from which on an English word is corrected; shorter ones are too close to each other."""

_STRETCH = re.compile(r"(?:[A-Za-z]+(?: [A-Za-z]+)*|[\u3400-\u9fff])+")
_PIECE = re.compile(r"[A-Za-z]+| |[\u3400-\u9fff]")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")
_WORD = re.compile(rf"w:[\u3400-\u9fff]{{2,{LONGEST}}}")
_LATIN = re.compile(r"[a-z]+")
_READ_OTHERWISE = {"卷": "券"}
"""Characters many people read, and so type, as another one."""

_WORDS_OF_ONE = frozenset(
    "的了着过地得吗呢吧啊呀啦哦嘛哈嗯哎咱我你您他她它们这那哪谁啥咋怎么是有无在不没别要想能会可该让给把被和跟与或及而但就才也都还再又"
    "很太真好最更多少大小高低长短新旧快慢早晚一二三四五六七八九十百千万亿零两半几第个件只条张双台把箱包盒袋瓶套份次遍种样块元角分毛"
    "年月日天号点时周岁来去到上下里外前后中内间边从向对为以因所之其于做作用看见说问听写读吃喝穿住走坐开关拿放送寄收发退换买卖付钱"
    "花试找等打改选点加减查取存学用人家男女老货单票店钟事字水手头面心口车门路床机色码架柜"
)
"""Characters that are often words by themselves, so that they are no slip."""

_NUMBERS = "一二三四五六七八九十百千万个"
_KEYBOARD = " qwertyuiop asdfghjkl zxcvbnm "
_VOWELS = "aeiou"


class Speller:
    """Corrects queries by the words of one base."""

    def __init__(self, known: Mapping[str, int], found_in: NDArray[np.integer[Any]]) -> None:
        """Take the words and pairs of characters of a base, see `kb.word_table.units`, and how often each is found."""
        self._known = known
        self._by_sound: dict[tuple[str, ...], str] = {}
        frequency: dict[tuple[str, ...], int] = {}
        for unit, place in known.items():
            if not _WORD.fullmatch(unit):
                continue
            word, count = unit[2:], int(found_in[place])
            sound = sound_of(word)
            if count > frequency.get(sound, 0):
                frequency[sound], self._by_sound[sound] = count, word
            elif count == frequency[sound]:
                # Which of the two is meant, nobody can tell.
                self._by_sound[sound] = ""
        self._syllables = {syllable for sound in self._by_sound for syllable in sound}
        self.correct = lru_cache(1024)(self._correct)

    def _correct(self, text: str) -> str:
        """Return the text with its slips replaced; most texts stay as they are."""
        words = _LATIN.findall(text.lower())
        is_english = any(word in STOP_WORDS or word in self._known for word in words) and not _CHINESE.search(text)
        if is_english:
            return re.sub(r"[A-Za-z]+", lambda found: self._english(found[0]), text)
        return _STRETCH.sub(lambda found: "".join(self._by_ear(_PIECE.findall(found[0]))), text)

    def _by_ear(self, pieces: list[str]) -> Iterator[str]:
        owners = _owners("".join(pieces))
        place, letters = 0, 0
        while place < len(pieces):
            taken, word = self._heard(pieces[place:], owners[letters : letters + LONGEST + 2])
            if not taken:
                # An unknown foreign word may still be a slip of a known one.
                taken, word = 1, self._english(pieces[place]) if pieces[place].isascii() else pieces[place]
            yield word
            letters += sum(map(len, pieces[place : place + taken]))
            place += taken

    def _heard(self, pieces: list[str], owners: list[int]) -> tuple[int, str]:
        """Return how many of the first pieces sound like words of the base, and those words; 0 when none do."""
        for width in range(min(2 * LONGEST, len(pieces)), 0, -1):
            window = pieces[:width]
            if window[0] == " " or window[-1] == " ":
                continue
            if any(piece.isascii() for piece in window):
                word = self._spelt_out([piece for piece in window if piece != " "])
            else:
                word = self._same_sound("".join(window), owners)
            if word:
                return width, word
        return 0, ""

    def _same_sound(self, text: str, owners: list[int]) -> str:
        """Return the word that was meant; `owners` begin with the character before the text."""
        size = len(text)
        if not 2 <= size <= LONGEST or all(text[i : i + 2] in self._known for i in range(size - 1)):
            return ""
        if _is_one_word(owners[0:2]) or _is_one_word(owners[size : size + 2]):
            return ""
        word = self._by_sound.get(sound_of(text), "")
        changed = [i for i in range(size) if word and text[i] != word[i]]
        # A single other character in a long word is a slip even where the dictionary has both.
        is_loose = all(owners[i + 1] < 0 for i in changed) or (size > 2 and len(changed) == 1)
        # Where every character differs, it is a name that happens to sound alike.
        is_slip = len(changed) < size and all(self._is_odd(text[i], word[i]) for i in changed)
        return word if is_loose and is_slip else ""

    def _is_odd(self, letter: str, meant: str) -> bool:
        return letter not in _WORDS_OF_ONE and f"w:{letter}" not in self._known and meant not in _NUMBERS

    def _spelt_out(self, window: list[str]) -> str:
        if any(piece.isascii() and piece.lower() in self._known for piece in window):
            return ""
        for sounds in self._readings(window):
            word = self._words_for(sounds)
            if word and all(piece.isascii() or piece in word for piece in window):
                return word
        return ""

    def _words_for(self, sounds: tuple[str, ...]) -> str:
        """Return the words these syllables spell, all of them used."""
        for width in range(min(LONGEST, len(sounds)), 1, -1):
            word = self._by_sound.get(sounds[:width], "")
            rest = self._words_for(sounds[width:]) if word else ""
            if word and (rest or width == len(sounds)):
                return word + rest
        return ""

    def _readings(self, window: list[str]) -> Iterator[tuple[str, ...]]:
        if not window:
            yield ()
            return
        first = self._split(window[0].lower()) if window[0].isascii() else [sound_of(window[0])]
        for head in first:
            for tail in self._readings(window[1:]):
                yield head + tail

    def _split(self, letters: str) -> Iterator[tuple[str, ...]]:
        """Cut letters into the syllables the base knows, in every way; few ways exist."""
        if not letters:
            yield ()
        for end in range(min(6, len(letters)), 0, -1):
            if letters[:end] in self._syllables:
                for rest in self._split(letters[end:]):
                    yield (letters[:end], *rest)

    def _english(self, given: str) -> str:
        word = given.lower()
        if len(word) < LEAST_LETTERS or word in self._known or word in STOP_WORDS:
            return given
        near = {each for each in _edits(word) if each in self._known and len(each) >= LEAST_LETTERS}
        # The first letter is seldom wrong.
        return near.pop() if len(near) == 1 and min(near)[0] == word[0] else given


@lru_cache(16_384)
def sound_of(text: str) -> tuple[str, ...]:
    """Return the syllables of Chinese characters, without tones."""
    return tuple(lazy_pinyin([_READ_OTHERWISE.get(letter, letter) for letter in text]))


def _owners(text: str) -> list[int]:
    """Number the longer words of the dictionary by character, with one before and one behind the text; -1: none."""
    owners = [-1]
    for number, word in enumerate(rjieba.cut(text)):
        owners += [number if len(word) > 1 and rjieba.has_word(word) else -1] * len(word)
    return [*owners, -1]


def _is_one_word(owners: list[int]) -> bool:
    return owners[0] == owners[-1] >= 0


def _edits(word: str) -> Iterator[str]:
    """Return what a finger may have meant: swapped, missing or doubled letters, another vowel, the key beside."""
    for place, letter in enumerate(word):
        head, tail = word[:place], word[place + 1 :]
        yield from (head + added + letter + tail for added in ascii_lowercase)
        yield from (head + other + tail for other in _confused(letter))
        if tail:
            yield head + tail
            yield head + tail[0] + letter + tail[1:]


def _confused(letter: str) -> str:
    place = _KEYBOARD.index(letter)
    return (_VOWELS if letter in _VOWELS else "") + _KEYBOARD[place - 1] + _KEYBOARD[place + 1]
