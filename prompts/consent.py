"""How customers refuse messages they did not ask for, and want them again: whole messages, nothing guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from prompts.errors import PromptError

FILE = "consent.yaml"

Direction = Literal["out", "in"]

_AROUND = re.compile(r"[\W_]+")


@cache
def consent_phrases() -> Mapping[Direction, frozenset[str]]:
    """Return the phrases of each direction, tidied.

    Raises:
        PromptError: the file is faulty.
    """
    return read_phrases(files("prompts").joinpath(FILE).read_text(encoding="utf-8"))


def read_phrases(text: str) -> Mapping[Direction, frozenset[str]]:
    """Read the phrases.

    Raises:
        PromptError: the text is not two lists of phrases.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PromptError("is not YAML; compare it with the shipped file") from error
    if not isinstance(document, dict) or set(document) != {"out", "in"}:
        raise PromptError("should have exactly two lists, out and in")
    phrases: dict[Direction, frozenset[str]] = {}
    for direction in ("out", "in"):
        lines = document[direction]
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) and _tidy(line) for line in lines):
            raise PromptError(f"{direction}: should be a list of phrases")
        phrases[direction] = frozenset(map(_tidy, lines))
    if both := sorted(phrases["out"] & phrases["in"]):
        raise PromptError(f"{both[0]} stands in both lists")
    return phrases


def check(raw: str) -> list[str]:
    """Return what is wrong with such a file, one line each."""
    try:
        read_phrases(raw)
    except PromptError as error:
        return [str(error)]
    return []


def consent_in(text: str) -> tuple[Direction, str] | None:
    """Tell whether a message refuses, or wants again, and by which phrase; None for every other message."""
    said = _tidy(text)
    for direction, phrases in consent_phrases().items():
        if said in phrases:
            return direction, said
    return None


def tells_how_to_refuse(text: str) -> bool:
    """Tell whether a text asks to reply with a phrase that refuses; to name one, or another letter, is not enough."""
    return _reply_that_refuses().search(_tidy(text)) is not None


@cache
def _reply_that_refuses() -> re.Pattern[str]:
    phrases = "|".join(map(re.escape, sorted(consent_phrases()["out"])))
    return re.compile(f"回复?(?:{phrases})(?![a-z0-9])")


def _tidy(text: str) -> str:
    return _AROUND.sub("", unicodedata.normalize("NFKC", text).lower())
