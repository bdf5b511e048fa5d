"""When a person shall have a conversation, as rules in a file: total, in linear time, the first that fits counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from prompts.loader import EXPECTED
from prompts.mood import MOOD_WORDS, Mood
from prompts.negation import is_denied

FILE = "escalation_rules.yaml"
MAX_CHARACTERS = 4000
"""Of a turn, its beginning and its end: nobody threatens with a lawyer in the middle of a novel only."""

_SENTENCE_ENDS = re.compile(r"[。!！?？,，、;；…\n]+|\.(?=\s|$)")
_END_IN_PATTERN = re.compile(r"[。!,、;\n]|\.\s")
"""What no pattern can have in it, once it is written half-width; a question mark is a wildcard."""

Priority = Literal["normal", "high"]
RuleChannel = Literal["telegram", "wecom"]

Word = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _mood(value: object) -> object:
    if isinstance(value, str) and value not in MOOD_WORDS:
        raise ValueError(f"{value!r} is no mood; use {', '.join(MOOD_WORDS)}")
    return MOOD_WORDS[value] if isinstance(value, str) else value


Words = Annotated[tuple[Word, ...], BeforeValidator(_one_or_many)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """What rules look at."""

    text: str = ""
    """Everything the customer wrote in this turn."""
    moods: Sequence[Mood] = ()
    """Of the latest turns, this one last."""
    tags: Collection[str] = ()
    source: str = ""
    repeats: int = 1
    """How often this question was asked, this time included."""
    unsure_turns: int = 0
    """Turns in a row, this one included, in which the bot was not sure."""
    amount: float = 0
    """The largest sum in 元 in the text."""
    is_open: bool = True
    """Whether people are there."""
    account: str = ""


class When(_Strict):
    """The conditions of a rule; all that are given must hold."""

    keywords: Words = ()
    patterns: Words = ()
    not_in: Words = ()
    """Words around a keyword or pattern in which it does not count."""
    mood: Annotated[Mood | None, BeforeValidator(_mood)] = None
    mood_turns: int = Field(default=1, ge=1, le=10)
    tags: Words = ()
    vip: bool | None = None
    sources: Words = ()
    repeats: int | None = Field(default=None, ge=2, le=10)
    low_confidence_turns: int | None = Field(default=None, ge=1, le=10)
    amount_over: float | None = Field(default=None, ge=0)
    office_hours: Literal["open", "closed"] | None = None
    accounts: Words = ()

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not self.model_fields_set - {"mood_turns", "not_in"}:
            raise ValueError("has no condition and would fit everything; name one, for example keywords: [投诉]")
        if "mood_turns" in self.model_fields_set and self.mood is None:
            raise ValueError("mood_turns needs a mood; example: mood: 负面")
        if self.not_in and not (self.keywords or self.patterns):
            raise ValueError("not_in needs keywords or patterns; example: keywords: [报警], not_in: [报警器]")
        for pattern in self.patterns:
            if not re.sub(r"[*?\uff1f\s]", "", pattern):
                raise ValueError(f"patterns: {pattern!r} fits everything; write the words around the wildcards")
            if found := _END_IN_PATTERN.search(normalised(pattern)):
                raise ValueError(
                    f"patterns: {pattern!r} never fits, because a pattern ends at {found[0].strip() or 'a new line'!r};"
                    " keep the words on one side of it"
                )
        return self


class Then(_Strict):
    """What follows when a rule fits."""

    escalate: bool = True
    priority: Priority = "normal"
    channel: RuleChannel | None = None
    words: str = ""
    """The prompt the customer reads; empty: the usual one."""

    @model_validator(mode="after")
    def _can_be_said(self) -> Then:
        if self.words and (self.words not in EXPECTED or EXPECTED[self.words].required):
            plain = "a prompt without placeholders, for example hold_rule"
            raise ValueError(f"words: {self.words!r} cannot be said to customers as it is; name {plain}")
        return self


class Rule(_Strict):
    """One rule."""

    name: Word
    when: When
    then: Then

    def fits(self, facts: RuleFacts) -> bool:
        """Tell whether all conditions hold."""
        return self._fits_text(facts.text) and self._fits_customer(facts) and self._fits_course(facts)

    def reasons(self, facts: RuleFacts) -> list[str]:
        """Say what made the rule fit, a condition each."""
        when, plain = self.when, self._looked_at(facts.text)
        found: dict[str, object] = {
            "keywords": [word for word in self._keywords if _stands_in(word, plain)],
            "patterns": [raw for raw, each in zip(when.patterns, self._patterns, strict=True) if each.is_in(plain)],
            "mood": when.mood and f"{when.mood}, {when.mood_turns} in a row",
            "tags": sorted(facts.tags) if when.tags or when.vip is not None else None,
            "source": facts.source if when.sources else None,
            "account": facts.account if when.accounts else None,
            "repeats": facts.repeats if when.repeats else None,
            "low_confidence_turns": facts.unsure_turns if when.low_confidence_turns else None,
            "amount": facts.amount if when.amount_over is not None else None,
            "office_hours": when.office_hours,
        }
        shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in found.items()}
        return [f"{name}: {value}" for name, value in shown.items() if value not in (None, "")]

    def _fits_text(self, text: str) -> bool:
        if not self.when.keywords and not self.when.patterns:
            return True
        plain = self._looked_at(text)
        has_keyword = not self.when.keywords or any(_stands_in(word, plain) for word in self._keywords)
        return has_keyword and (not self.when.patterns or any(each.is_in(plain) for each in self._patterns))

    def _looked_at(self, text: str) -> str:
        """Return the text with nothing where a word of `not_in` stood."""
        plain = normalised(text)
        for word in map(normalised, self.when.not_in):
            plain = plain.replace(word, "\0" * len(word))
        return plain

    def _fits_customer(self, facts: RuleFacts) -> bool:
        when, tags = self.when, {tag.casefold() for tag in facts.tags}
        is_vip = any("vip" in tag for tag in tags)
        return (
            (not when.tags or bool(tags & {tag.casefold() for tag in when.tags}))
            and when.vip in {None, is_vip}
            and (not when.sources or facts.source in when.sources)
            and (not when.accounts or facts.account in when.accounts)
        )

    def _fits_course(self, facts: RuleFacts) -> bool:
        when, last = self.when, list(facts.moods)[-self.when.mood_turns :]
        return (
            (when.mood is None or last == [when.mood] * when.mood_turns)
            and facts.repeats >= (when.repeats or 0)
            and facts.unsure_turns >= (when.low_confidence_turns or 0)
            and (when.amount_over is None or facts.amount > when.amount_over)
            and (when.office_hours is None or facts.is_open == (when.office_hours == "open"))
        )

    @cached_property
    def _keywords(self) -> tuple[str, ...]:
        return tuple(map(normalised, self.when.keywords))

    @cached_property
    def _patterns(self) -> tuple[Wildcards, ...]:
        return tuple(map(Wildcards, self.when.patterns))


class Wildcards:
    """A pattern of words, `*` and `?`; found in linear time, because its parts are looked for one after the other."""

    def __init__(self, pattern: str) -> None:
        parts = filter(None, normalised(pattern).split("*"))
        self._parts = [re.compile(re.escape(part).replace(r"\?", ".")) for part in parts]

    def is_in(self, text: str) -> bool:
        """Tell whether one part of the text, up to a comma or a full stop, has all parts in their order."""
        return any(self._is_in_sentence(sentence) for sentence in _SENTENCE_ENDS.split(text))

    def _is_in_sentence(self, sentence: str) -> bool:
        at = 0
        for part in self._parts:
            found = part.search(sentence, at)
            if found is None:
                return False
            at = found.end()
        return True


class _File(_Strict):
    rules: tuple[Rule, ...]


def parse(raw: str) -> tuple[tuple[Rule, ...], list[str]]:
    """Read a rules file; return its rules, and what is wrong with it, one line each."""
    try:
        loaded = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        return (), [f"is not YAML: {' '.join(str(error).split())}"]
    try:
        rules = _File.model_validate(loaded).rules
    except ValidationError as error:
        return (), [_problem(fault["loc"], fault["msg"], loaded) for fault in error.errors()]
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    return rules, [f"rule {name!r}: there are two of this name; rename one" for name in twice]


def first_match(rules: Sequence[Rule], facts: RuleFacts) -> Rule | None:
    """Return the first rule that fits, None when none does."""
    return next((rule for rule in rules if rule.fits(facts)), None)


def normalised(text: str) -> str:
    """Return it half-width, lower case and single-spaced; of a long text the beginning and the end."""
    if len(text) > MAX_CHARACTERS:
        half = MAX_CHARACTERS // 2
        text = f"{text[:half]}\n{text[-half:]}"
    lines = unicodedata.normalize("NFKC", text).casefold().splitlines()
    return "\n".join(" ".join(line.split()) for line in lines)


def _stands_in(word: str, text: str) -> bool:
    """Tell whether a word stands in the text at least once without being denied."""
    return any(not is_denied(text, start, word) for start in _places(word, text))


def _places(word: str, text: str) -> Iterator[int]:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        # Latin words stand alone: "sue" is not in "issue".
        if not (_is_latin(word[0]) and _is_latin(text[start - 1 : start])) and not (
            _is_latin(word[-1]) and _is_latin(text[end : end + 1])
        ):
            yield start
        start = text.find(word, end)


def _is_latin(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _problem(place: Sequence[Any], message: str, loaded: object) -> str:
    """Say which rule, which field and what; rules go by their names as far as they have one."""
    where = list(place)
    text = message.removeprefix("Value error, ")
    if len(where) < 2 or where[0] != "rules" or not isinstance(where[1], int):
        return "is no list of rules; write rules: in the first line, and each rule below it after a -"
    raw = loaded["rules"][where[1]] if isinstance(loaded, dict) else None
    name = raw.get("name") if isinstance(raw, dict) else None
    field = ".".join(map(str, where[2:]))
    return f"rule {name or where[1] + 1!r}: " + (f"{field}: {text}" if field else text)
