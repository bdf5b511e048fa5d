"""What people are greeted with: the default texts, and others by account and by source."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml

from prompts.errors import PromptError
from prompts.loader import Prompt, load, parse_text, problems_of

logger = logging.getLogger(__name__)

FILE = "welcomes.yaml"

Welcome = Literal["greeting", "welcome"]
"""`greeting` is for who opens the chat, `welcome` for new friends of the staff."""

KINDS: Mapping[Welcome, tuple[str, ...]] = {"greeting": ("sources", "accounts"), "welcome": ("sources",)}
"""By what each may differ, the stronger one first."""

EXAMPLE = "·"
"""How a line begins that is only an example of what may be asked."""


def welcome_prompt(name: Welcome, *, account: str = "", source: str = "", scene: str = "") -> Prompt:
    """Return the text for an account and a source; the default where there is none of their own.

    A `scene` is the wider source: it counts where the source has no text.

    Raises:
        PromptError: the default text is faulty.
    """
    texts = _shipped()
    keys = {"accounts": [account], "sources": [source, scene]}
    found = (texts.get((name, kind, key)) for kind in KINDS[name] for key in keys[kind] if key)
    return next((prompt for prompt in found if prompt is not None), None) or load(name)


def around_examples(text: str) -> tuple[str, str]:
    """Cut a greeting into what stands before its examples and what stands after; without any, all of it is before."""
    lines = text.split("\n")
    examples = [number for number, line in enumerate(lines) if line.lstrip().startswith(EXAMPLE)]
    if not examples:
        return text, ""
    return "\n".join(lines[: examples[0]]).strip(), "\n".join(lines[examples[-1] + 1 :]).strip()


def check_welcomes(folder: Traversable | None = None) -> list[str]:
    """Return what is wrong with the texts by account and source, one line each."""
    try:
        return [
            problem
            for label, text, name in _entries(folder or files("prompts"))
            for problem in _check(label, text, name)
        ]
    except PromptError as error:
        return [str(error)]


def _check(label: str, text: str, name: Welcome) -> list[str]:
    try:
        return problems_of(parse_text(name, label, text), label)
    except PromptError as error:
        return [str(error)]


@cache
def _shipped() -> dict[tuple[Welcome, str, str], Prompt]:
    return _texts(files("prompts"))


def _texts(folder: Traversable) -> dict[tuple[Welcome, str, str], Prompt]:
    """Return the texts that are in order: a slip in one must not cost anybody their greeting."""
    if problems := check_welcomes(folder):
        logger.warning("Texts left out", extra={"action": "welcomes_faulty", "problems": problems})
    texts: dict[tuple[Welcome, str, str], Prompt] = {}
    with contextlib.suppress(PromptError):
        for label, text, name in _entries(folder):
            if not _check(label, text, name):
                _, kind, key = label.removeprefix(f"{FILE}: ").split(" › ", 2)
                texts[name, kind, key] = parse_text(name, label, text)
    return texts


def _entries(folder: Traversable) -> list[tuple[str, str, Welcome]]:
    """Return every text with where it stands and which one it replaces."""
    found: list[tuple[str, str, Welcome]] = []
    document = _document(folder)
    if stray := sorted(set(document) - set(KINDS)):
        raise PromptError(f"{FILE}: {', '.join(map(str, stray))}: no such part; there are {', '.join(KINDS)}")
    for name, kinds in KINDS.items():
        part = document.get(name) or {}
        if not isinstance(part, dict) or set(part) - set(kinds):
            raise PromptError(f"{FILE}: {name}: should hold only {', '.join(kinds)}, each with texts by name")
        for kind in kinds:
            found += [
                (f"{FILE}: {name} › {kind} › {key}", text, name) for key, text in _named(part.get(kind), name, kind)
            ]
    return found


def _named(texts: object, name: str, kind: str) -> list[tuple[str, str]]:
    if texts is None:
        return []
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise PromptError(f"{FILE}: {name} › {kind}: should be texts by name, for example 官网: 您好！")
    return [(str(key), text) for key, text in texts.items()]


def _document(folder: Traversable) -> dict[Any, Any]:
    try:
        document = yaml.safe_load(folder.joinpath(FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise PromptError(f"{FILE}: is not UTF-8; save it as UTF-8") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise PromptError(f"{FILE}: is not YAML{line}; compare it with the shipped file") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise PromptError(f"{FILE}: should have the parts {', '.join(KINDS)}")
    return document
