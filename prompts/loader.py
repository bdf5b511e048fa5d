"""The texts of this package: loaded once, filled in literally, checked against what the code gives them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Formatter

from prompts import small_talk
from prompts.errors import PromptError

__all__ = ["EXPECTED", "Expected", "Prompt", "PromptError", "check_all", "load", "names", "read"]

MAX_BYTES = 2048
"""The longest text the customers' channel sends whole, in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the code gives a prompt."""

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    """May be missing from the text and from the values; missing values are empty."""
    max_bytes: int | None = MAX_BYTES
    """None for texts only a model reads."""

    @property
    def allowed(self) -> frozenset[str]:
        """Every placeholder the text may use."""
        return self.required | self.optional


EXPECTED: Mapping[str, Expected] = {
    "clarify": Expected(max_bytes=300),
    "clarify_none": Expected(max_bytes=128),
    "clarify_none_no_desk": Expected(max_bytes=128),
    "clarify_tail": Expected(max_bytes=300),
    "desk_assign": Expected(),
    "desk_assisted": Expected(required=frozenset({"text"})),
    "desk_awake": Expected(),
    "desk_cancelled": Expected(),
    "desk_closed": Expected(),
    "desk_edited": Expected(),
    "desk_entry": Expected(required=frozenset({"agent"})),
    "desk_failure": Expected(required=frozenset({"turn_id", "text"})),
    "desk_given": Expected(required=frozenset({"agent", "target"})),
    "desk_held": Expected(required=frozenset({"agent", "minutes", "since"})),
    "desk_help": Expected(),
    "desk_history": Expected(required=frozenset({"lines"})),
    "desk_kb": Expected(required=frozenset({"hits"})),
    "desk_kb_down": Expected(),
    "desk_kb_none": Expected(required=frozenset({"query"})),
    "desk_muted": Expected(required=frozenset({"agent"})),
    "desk_no_ticket": Expected(),
    "desk_not_open": Expected(),
    "desk_not_waiting": Expected(),
    "desk_noted": Expected(),
    "desk_parts": Expected(required=frozenset({"left", "parts"})),
    "desk_released": Expected(required=frozenset({"agent"})),
    "desk_reminder": Expected(required=frozenset({"minutes"})),
    "desk_reminder_taken": Expected(required=frozenset({"agent", "minutes"})),
    "desk_resumed": Expected(required=frozenset({"minutes"})),
    "desk_sent": Expected(required=frozenset({"left"})),
    "desk_sent_for": Expected(required=frozenset({"agent"})),
    "desk_snoozed": Expected(required=frozenset({"agent", "time"})),
    "desk_stale": Expected(),
    "desk_taken": Expected(required=frozenset({"agent"})),
    "desk_told": Expected(required=frozenset({"minutes", "text"})),
    "desk_too_long": Expected(required=frozenset({"left", "parts"})),
    "desk_undelivered": Expected(required=frozenset({"error", "text"})),
    "desk_unknown": Expected(),
    "desk_unmuted": Expected(required=frozenset({"agent"})),
    "desk_unsupported": Expected(),
    "desk_who": Expected(required=frozenset({"bot", "budget", "holder", "window"})),
    "desk_yours": Expected(),
    "draft_entry": Expected(max_bytes=None),
    "greeting": Expected(optional=frozenset({"customer_name"})),
    "handed_back": Expected(),
    "handoff_summary": Expected(max_bytes=None),
    "hold": Expected(),
    "hold_closed": Expected(required=frozenset({"back"})),
    "no_desk": Expected(),
    "rate_limited": Expected(),
    "rate_limited_closed": Expected(required=frozenset({"back"})),
    "read": Expected(max_bytes=None),
    "read_repair": Expected(required=frozenset({"error"}), max_bytes=None),
    "resumed": Expected(),
    "shortened": Expected(max_bytes=300),
    "still_waiting": Expected(),
    "still_waiting_closed": Expected(required=frozenset({"back"})),
    "unsupported": Expected(required=frozenset({"kind"})),
}
"""Every prompt there is; a file not named here is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One text with its placeholders."""

    name: str
    text: str
    """The template as written; `{{` and `}}` stand for braces."""
    placeholders: frozenset[str]
    optional: frozenset[str]
    """Placeholders that may be left out when rendering."""
    version: str
    """The first 12 hexadecimal digits of the text's SHA-256."""

    def render(self, **values: str) -> str:
        """Fill the placeholders in; values are inserted as they are, braces included.

        Raises:
            PromptError: a value is missing, or no placeholder takes it.
        """
        if missing := self.placeholders - self.optional - values.keys():
            raise PromptError(f"prompt {self.name!r}: no value for {_listed(missing)}")
        if unknown := values.keys() - self.placeholders - self.optional:
            raise PromptError(f"prompt {self.name!r} has no placeholder {_listed(unknown)}")
        parts = Formatter().parse(self.text)
        return "".join(literal + (values.get(field, "") if field else "") for literal, field, _, _ in parts)


def names() -> list[str]:
    """List the prompts."""
    return sorted(EXPECTED)


@cache
def load(name: str) -> Prompt:
    """Load a prompt by its name; the file is read once.

    Raises:
        PromptError: there is no such prompt, or its text is faulty.
    """
    return read(name, files("prompts"))


def read(name: str, folder: Traversable) -> Prompt:
    """Read a prompt from a folder.

    Raises:
        PromptError: the name is unknown, the file is missing, or its text is faulty.
    """
    if name not in EXPECTED:
        raise PromptError(f"no prompt {name!r}; there are {_listed(EXPECTED)}")
    prompt = _parse(name, folder)
    if problems := _problems(prompt):
        raise PromptError("; ".join(problems))
    return prompt


def check_all(folder: Traversable | None = None) -> list[str]:
    """Return what is wrong with the texts, one line each; nothing when all is well.

    Args:
        folder: where the texts are; the shipped ones by default.
    """
    folder = folder or files("prompts")
    problems = [problem for name in names() for problem in _check(name, folder)]
    strays = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name.endswith(".md") and entry.name.removesuffix(".md") not in EXPECTED
    )
    problems += [f"{name}: no prompt has this name; there are {_listed(EXPECTED)}" for name in strays]
    try:
        raw = _file_text(folder, small_talk.FILE)
    except PromptError as error:
        return [*problems, str(error)]
    return problems + [f"{small_talk.FILE}: {problem}" for problem in small_talk.check(raw)]


def _check(name: str, folder: Traversable) -> list[str]:
    try:
        return _problems(_parse(name, folder))
    except PromptError as error:
        return [str(error)]


def _parse(name: str, folder: Traversable) -> Prompt:
    text = _file_text(folder, f"{name}.md").strip()
    return Prompt(
        name=name,
        text=text,
        placeholders=_placeholders(f"{name}.md", text),
        optional=EXPECTED[name].optional,
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def _problems(prompt: Prompt) -> list[str]:
    expected, problems = EXPECTED[prompt.name], []
    if not prompt.text:
        problems.append("is empty; write the text")
    if unknown := prompt.placeholders - expected.allowed:
        known = _listed(expected.allowed) or "none"
        problems.append(f"unknown placeholder {_listed(unknown)}; known: {known}. A literal brace is {{{{")
    if missing := expected.required - prompt.placeholders:
        problems.append(f"placeholder {_listed(missing)} is missing; the text needs it")
    size = len(prompt.text.encode())
    if expected.max_bytes is not None and size > expected.max_bytes:
        problems.append(f"is {size} bytes long, at most {expected.max_bytes} can be sent; shorten it")
    return [f"{prompt.name}.md: {problem}" for problem in problems]


def _placeholders(file_name: str, text: str) -> frozenset[str]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise PromptError(f"{file_name}: {error}; a literal brace is {{{{ or }}}}") from error
    found = set()
    for _, field, spec, conversion in parts:
        if field is None:
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", field) or spec or conversion:
            shown = " ".join(field.split())[:40]
            raise PromptError(
                f"{file_name}: {{{shown}}} is not a plain placeholder like {{name}}; a literal brace is {{{{"
            )
        found.add(field)
    return frozenset(found)


def _file_text(folder: Traversable, file_name: str) -> str:
    try:
        return folder.joinpath(file_name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise PromptError(f"{file_name}: missing; restore the file") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{file_name}: is not UTF-8; save it as UTF-8") from error


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))
