"""What a reader must say, and how it is found in what it does say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from prompts.mood import MOOD_WORDS
from tools.messages import Mood

MAX_ANSWER = 600
"""Characters of an answer: one message, whatever the script."""

MAX_TOLD = 8

_THOUGHT = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_MAX_OBJECTS = 20


class UnusableVerdictError(Exception):
    """The reader did not say what it must; the text tells it why."""

    def __init__(self, why: str, *, reply: str) -> None:
        super().__init__(why)
        self.reply = reply


class ToldFact(BaseModel):
    """Something the customer tells about themselves, as a reader puts it."""

    kind: str
    value: str


class Verdict(BaseModel):
    """A reader's judgement and its answer."""

    is_answered: bool
    cited: list[int] = Field(default_factory=list)
    """Numbers of the entries, from 1."""
    answer: str = ""
    mood: Mood | None = None
    """How the customer sounds; None when the reader does not say."""
    told: list[ToldFact] = Field(default_factory=list)

    @field_validator("mood", mode="before")
    @classmethod
    def _is_a_mood(cls, value: object) -> object:
        # What is said beside the verdict must never cost it.
        if not isinstance(value, str):
            return None
        return MOOD_WORDS.get(value, value if value in MOOD_WORDS.values() else None)

    @field_validator("told", mode="before")
    @classmethod
    def _are_facts(cls, value: object) -> object:
        facts = value if isinstance(value, list) else []
        return [
            fact
            for fact in facts[:MAX_TOLD]
            if isinstance(fact, dict) and all(isinstance(fact.get(name), str) for name in ("kind", "value"))
        ]

    @model_validator(mode="after")
    def _is_complete(self, info: ValidationInfo) -> Self:
        if not self.is_answered:
            return self
        if not self.answer.strip():
            raise ValueError("is_answered is true, but answer is empty")
        if len(self.answer) > MAX_ANSWER:
            raise ValueError(f"answer is longer than {MAX_ANSWER} characters")
        if not self.cited:
            raise ValueError("is_answered is true, but cited is empty")
        count = (info.context or {}).get("count", 0)
        if unknown := [number for number in self.cited if not 1 <= number <= count]:
            raise ValueError(f"cited names {unknown}, but the entries are numbered 1 to {count}")
        return self


def verdict_of(text: str, count: int) -> Verdict:
    """Find the verdict on `count` entries in a model's reply, whatever stands around it.

    Raises:
        UnusableVerdictError: there is none, or it is incomplete.
    """
    for found in _objects(_THOUGHT.sub("", text)):
        if "is_answered" in found:
            try:
                return Verdict.model_validate(found, context={"count": count})
            except ValidationError as error:
                raise UnusableVerdictError(_listed(error), reply=text) from error
    raise UnusableVerdictError("there is no JSON object with the field is_answered", reply=text)


def _objects(text: str) -> Iterator[dict[str, object]]:
    decoder, start = json.JSONDecoder(strict=False), 0
    for _ in range(_MAX_OBJECTS):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            found, start = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
        else:
            yield found


def _listed(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'object'}: {problem['msg']}"
        for problem in error.errors(include_input=False)
    )
