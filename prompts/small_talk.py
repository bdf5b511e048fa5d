"""What customers say that needs no knowledge: courtesies, chatter, and the wish for a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from prompts.errors import PromptError
from prompts.wording import Wording

FILE = "small_talk.yaml"
MAX_REPLY_BYTES = 2048
"""The longest text the customers' channel sends whole, in UTF-8."""
EMOJI_KIND = "ack"
"""How a message of nothing but emoji is read."""

STICKER = re.compile(r"[\[【](?:动画)?(?:表情|贴图|sticker|emoji)[\]】]", re.IGNORECASE)
"""What stands for a picture that is an emoji."""

Word = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(_Strict):
    """One sort of small talk."""

    reply: Word
    frames: tuple[Word, ...] = ()
    phrases: tuple[Word, ...] = ()
    patterns: tuple[Word, ...] = ()
    statements_only: bool = False


class HumanRequest(_Strict):
    """How customers ask for a person."""

    max_characters: int = Field(gt=0)
    phrases: tuple[Word, ...]
    patterns: tuple[Word, ...]
    unless: tuple[Word, ...] = ()


class Table(_Strict):
    """The whole file."""

    kinds: dict[Word, Kind]
    human_request: HumanRequest
    openers: tuple[Word, ...]
    particles: Word
    emoticons: tuple[Word, ...]

    @property
    def wording(self) -> Wording:
        """The words without meaning of their own."""
        return Wording(
            particles=self.particles,
            emoticons=self.emoticons,
            openers=self.openers,
            frames=[phrase for kind in self.kinds.values() for phrase in kind.frames],
        )


class SmallTalk:
    """Recognises small talk by tables, never by guessing: what is not listed is a question."""

    def __init__(self, raw: str | None = None) -> None:
        """Take the tables from `raw`, by default from the shipped file.

        Raises:
            PromptError: the tables are faulty; the message lists every fault.
        """
        text = _shipped() if raw is None else raw
        if problems := check(text):
            raise PromptError(f"{FILE}: " + "; ".join(problems))
        table = Table.model_validate(yaml.safe_load(text))
        self._kinds = table.kinds
        self._wording = table.wording
        self._phrases = _phrases(table)
        self._patterns = {
            name: [re.compile(pattern) for pattern in kind.patterns] for name, kind in table.kinds.items()
        }
        request = table.human_request
        self._request_phrases = {self._wording.tidy(phrase) for phrase in request.phrases}
        self._request_patterns = [re.compile(pattern) for pattern in request.patterns]
        self._unless = [re.compile(pattern) for pattern in request.unless]
        self._max_characters = request.max_characters

    def reply_to(self, text: str) -> str | None:
        """Return the reply when the message is small talk and nothing else, else None."""
        kind = self._kind_of(text)
        return None if kind is None else self._kinds[kind].reply.strip()

    def wants_human(self, text: str) -> bool:
        """Whether the customer asks for a person; a question about the service's hours is no such wish."""
        return any(self._is_request(sentence) for sentence in self._wording.sentences(text))

    def strip_pleasantries(self, text: str) -> str:
        """Return the question without greetings and thanks around it; small talk alone is left as it is."""
        return self._wording.strip_pleasantries(text)

    def is_wordless(self, text: str) -> bool:
        """Whether the message is nothing but emoji, stickers and punctuation."""
        return bool(text.strip()) and not self._wording.tidy(STICKER.sub(" ", text))

    def _kind_of(self, text: str) -> str | None:
        if self._wording.is_emoji_only(text):
            return EMOJI_KIND
        core = self._wording.strip_pleasantries(text)
        candidates = [
            self._by_phrase(text),
            self._by_phrase(core),
            self._by_pattern(core),
            self._by_pattern(text),
            self._by_sentences(text),
        ]
        is_question = text.rstrip().endswith(("?", "？"))
        for kind in filter(None, candidates):
            if not (is_question and self._kinds[kind].statements_only):
                return kind
        return None

    def _by_phrase(self, text: str) -> str | None:
        phrase = self._phrases.get(self._wording.tidy(text))
        if phrase is not None or len(text) > self._max_characters:
            return phrase
        last = self._wording.last_of_row(text, self._phrases.keys())
        return None if last is None else self._phrases[last]

    def _by_pattern(self, text: str) -> str | None:
        tidy = self._wording.tidy(text)
        if len(tidy) > self._max_characters:
            return None
        matching = (name for name, patterns in self._patterns.items() if any(p.fullmatch(tidy) for p in patterns))
        return next(matching, None)

    def _by_sentences(self, text: str) -> str | None:
        kinds = [self._by_phrase(part) or self._by_pattern(part) for part in self._wording.sentences(text)]
        return kinds[-1] if kinds and all(kinds) else None

    def _is_request(self, sentence: str) -> bool:
        if sentence in self._request_phrases:
            return True
        if len(sentence) > self._max_characters or any(pattern.search(sentence) for pattern in self._unless):
            return False
        return any(pattern.search(sentence) for pattern in self._request_patterns)


def check(raw: str) -> list[str]:
    """Return what is wrong with a small-talk file, one line each."""
    try:
        table = Table.model_validate(yaml.safe_load(raw))
    except yaml.YAMLError as error:
        return [f"is not YAML: {' '.join(str(error).split())}"]
    except ValidationError as error:
        return [f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
    problems = [] if EMOJI_KIND in table.kinds else [f"kinds.{EMOJI_KIND}: missing; emoji are answered with it"]
    for name, kind in table.kinds.items():
        if not (kind.frames or kind.phrases or kind.patterns):
            problems.append(f"kinds.{name}: has neither frames, phrases nor patterns; it can never match")
        if len(kind.reply.encode()) > MAX_REPLY_BYTES:
            problems.append(f"kinds.{name}.reply: is longer than {MAX_REPLY_BYTES} bytes; shorten it")
    return problems + _bad_patterns(table) + _bad_phrases(table)


def _bad_patterns(table: Table) -> list[str]:
    places = {f"kinds.{name}.patterns": kind.patterns for name, kind in table.kinds.items()}
    places["human_request.patterns"] = table.human_request.patterns
    places["human_request.unless"] = table.human_request.unless
    places["openers"] = table.openers
    problems = []
    for place, patterns in places.items():
        for pattern in patterns:
            try:
                is_greedy = re.compile(pattern).search("") is not None
            except re.error as error:
                problems.append(f"{place}: {pattern!r} is not a regular expression: {error}")
                continue
            if is_greedy:
                problems.append(f"{place}: {pattern!r} matches an empty message; make something in it required")
    return problems


def _bad_phrases(table: Table) -> list[str]:
    tidy, seen, problems = table.wording.tidy, dict[str, str](), []
    for name, kind in table.kinds.items():
        for phrase in (*kind.frames, *kind.phrases):
            key = tidy(phrase)
            if not key:
                problems.append(f"kinds.{name}: phrase {phrase!r} is empty after tidying; remove it")
            elif seen.setdefault(key, name) != name:
                problems.append(f"kinds.{name}: phrase {phrase!r} is also in {seen[key]}; keep one")
    return problems


def _phrases(table: Table) -> Mapping[str, str]:
    tidy: Callable[[str], str] = table.wording.tidy
    return {tidy(phrase): name for name, kind in table.kinds.items() for phrase in (*kind.frames, *kind.phrases)}


@cache
def _shipped() -> str:
    return files("prompts").joinpath(FILE).read_text(encoding="utf-8")
