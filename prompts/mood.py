"""How a customer sounds, by a lexicon: for turns that no model reads."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from prompts.errors import PromptError
from prompts.negation import is_denied, offers_both

FILE = "mood.yaml"
MAX_CHARACTERS = 2000
"""Of one turn; who writes more has said how they feel by then."""

Mood = Literal["negative", "neutral", "positive"]
MOOD_WORDS: Mapping[str, Mood] = {"负面": "negative", "中性": "neutral", "正面": "positive"}
"""What authors of rules and models write."""

_SENTENCE_ENDS = re.compile(r"(?<=[?？])|[,，。!！;；…~～\n]+|\.(?=\s|$)")
_BEFORE = 4
"""Characters before a word in which what strengthens or weakens it stands."""

Word = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
Words = tuple[Word, ...]
Group = Literal["bad", "topical", "good", "courtesy", "nothing"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Negative(_Strict):
    """Words of displeasure."""

    strong: Words
    plain: Words
    topical: Words


class Positive(_Strict):
    """Words of pleasure."""

    strong: Words
    plain: Words
    courtesy: Words


class Lexicon(_Strict):
    """The whole file."""

    negative: Negative
    positive: Positive
    neutral: Words
    stronger: Words
    weaker: Words
    questions: Words


class MoodLexicon:
    """Tells how a text sounds; total and linear in its length."""

    def __init__(self, raw: str | None = None) -> None:
        """Take the words from `raw`, by default from the shipped file.

        Raises:
            PromptError: the file is faulty; the message lists every fault.
        """
        text = _shipped() if raw is None else raw
        if problems := check(text):
            raise PromptError(f"{FILE}: " + "; ".join(problems))
        lexicon = Lexicon.model_validate(yaml.safe_load(text))
        self._weights = dict(_weights(lexicon))
        self._words = re.compile(_any_of(self._weights))
        self._stronger = re.compile(f"(?:{_any_of(lexicon.stronger)}) ?$")
        self._weaker = re.compile(f"(?:{_any_of(lexicon.weaker)}) ?$")
        self._questions = re.compile(_any_of(lexicon.questions))

    def mood_of(self, text: str) -> Mood:
        """Return how a turn sounds."""
        plain = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).lower()
        said = [each for sentence in _SENTENCE_ENDS.split(plain) for each in self._weigh(sentence)]
        felt = [weight for group, weight in said if group != "courtesy"]
        if not felt and not self._questions.search(plain):
            felt = [weight for _, weight in said]
        score = sum(felt)
        if score <= -1:
            return "negative"
        return "positive" if score >= 1 else "neutral"

    def _weigh(self, sentence: str) -> Iterator[tuple[Group, float]]:
        is_question = self._questions.search(sentence) is not None
        for match in self._words.finditer(sentence):
            word, start = match.group(), match.start()
            group, weight = self._weights[word]
            if group == "nothing" or (group == "topical" and is_question) or offers_both(sentence, start, word):
                continue
            if is_denied(sentence, start, word):
                if group == "good":
                    yield "bad", -abs(weight)
                continue
            before = sentence[max(0, start - _BEFORE) : start]
            if self._weaker.search(before):
                weight /= 2
            elif self._stronger.search(before):
                weight *= 1.5
            yield group, weight


def check(raw: str) -> list[str]:
    """Return what is wrong with a mood file, one line each."""
    try:
        lexicon = Lexicon.model_validate(yaml.safe_load(raw))
    except yaml.YAMLError as error:
        return [f"is not YAML: {' '.join(str(error).split())}"]
    except ValidationError as error:
        return [f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
    seen: dict[str, str] = {}
    return [
        f"{place}: {word!r} is also in {seen[word]}; keep one"
        for place, _, _, words in _groups(lexicon)
        for word in map(_tidy, words)
        if seen.setdefault(word, place) != place
    ]


def _groups(lexicon: Lexicon) -> Iterator[tuple[str, Group, float, Words]]:
    yield "negative.strong", "bad", -2, lexicon.negative.strong
    yield "negative.plain", "bad", -1, lexicon.negative.plain
    yield "negative.topical", "topical", -1, lexicon.negative.topical
    yield "positive.strong", "good", 2, lexicon.positive.strong
    yield "positive.plain", "good", 1, lexicon.positive.plain
    yield "positive.courtesy", "courtesy", 1, lexicon.positive.courtesy
    yield "neutral", "nothing", 0, lexicon.neutral


def _weights(lexicon: Lexicon) -> Iterator[tuple[str, tuple[Group, float]]]:
    for _, group, weight, words in _groups(lexicon):
        for word in words:
            yield _tidy(word), (group, weight)


def _tidy(word: str) -> str:
    return unicodedata.normalize("NFKC", word).lower()


def _any_of(words: Mapping[str, object] | Words) -> str:
    """Return an alternation, longest first; a Latin word stands alone."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    return "|".join(
        rf"(?<![a-z]){re.escape(word)}(?![a-z])" if word.isascii() and word[0].isalpha() else re.escape(word)
        for word in ordered
    )


@cache
def _shipped() -> str:
    return files("prompts").joinpath(FILE).read_text(encoding="utf-8")
