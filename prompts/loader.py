"""The texts of this package: loaded once, filled in literally, checked against what the code gives them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Formatter

from prompts import consent, mood, small_talk
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
    "card_seen": Expected(required=frozenset({"kind"})),
    "clarify": Expected(max_bytes=300),
    "clarify_none": Expected(max_bytes=128),
    "clarify_none_no_desk": Expected(max_bytes=128),
    "clarify_tail": Expected(max_bytes=300),
    "conversation_summary": Expected(max_bytes=None),
    "describe_picture": Expected(max_bytes=None),
    "desk_anyone": Expected(),
    "desk_assign": Expected(),
    "desk_assisted": Expected(required=frozenset({"text"})),
    "desk_awake": Expected(),
    "desk_button_assign": Expected(max_bytes=30),
    "desk_button_cancel": Expected(max_bytes=30),
    "desk_button_close": Expected(max_bytes=30),
    "desk_button_confirm": Expected(max_bytes=30),
    "desk_button_done": Expected(max_bytes=30),
    "desk_button_draft": Expected(max_bytes=30),
    "desk_button_entry": Expected(max_bytes=30),
    "desk_button_send": Expected(required=frozenset({"number"}), max_bytes=30),
    "desk_button_snooze": Expected(max_bytes=30),
    "desk_button_take": Expected(max_bytes=30),
    "desk_button_transfer": Expected(max_bytes=30),
    "desk_cancelled": Expected(),
    "desk_closed": Expected(),
    "desk_draft": Expected(required=frozenset({"answer", "number", "question"})),
    "desk_draft_anyway": Expected(max_bytes=40),
    "desk_draft_approve": Expected(max_bytes=40),
    "desk_draft_busy": Expected(),
    "desk_draft_changed": Expected(),
    "desk_draft_claimed": Expected(),
    "desk_draft_closed": Expected(required=frozenset({"count"})),
    "desk_draft_contradicts": Expected(required=frozenset({"answer", "differences", "question"})),
    "desk_draft_decided": Expected(required=frozenset({"agent"})),
    "desk_draft_empty": Expected(),
    "desk_draft_gaps": Expected(required=frozenset({"texts"})),
    "desk_draft_hint": Expected(required=frozenset({"number"})),
    "desk_draft_known": Expected(required=frozenset({"agent", "number"})),
    "desk_draft_live": Expected(required=frozenset({"agent", "number"})),
    "desk_draft_merge": Expected(max_bytes=40),
    "desk_draft_merged": Expected(required=frozenset({"agent", "number"})),
    "desk_draft_near": Expected(required=frozenset({"questions"})),
    "desk_draft_offered": Expected(required=frozenset({"count"})),
    "desk_draft_open": Expected(required=frozenset({"count"})),
    "desk_draft_other": Expected(required=frozenset({"count"})),
    "desk_draft_others": Expected(required=frozenset({"answers"})),
    "desk_draft_persons": Expected(required=frozenset({"kinds"})),
    "desk_draft_proof": Expected(required=frozenset({"count", "outcomes"})),
    "desk_draft_refused": Expected(required=frozenset({"number"})),
    "desk_draft_reject": Expected(max_bytes=40),
    "desk_draft_rejected": Expected(required=frozenset({"agent", "number"})),
    "desk_draft_replace": Expected(max_bytes=40),
    "desk_draft_same": Expected(required=frozenset({"answer", "question"})),
    "desk_draft_similar": Expected(required=frozenset({"questions"})),
    "desk_draft_unaided": Expected(required=frozenset({"count"})),
    "desk_draft_unanswered": Expected(),
    "desk_drift": Expected(required=frozenset({"accepted", "audited", "wrong"})),
    "desk_edited": Expected(),
    "desk_entry": Expected(required=frozenset({"agent"})),
    "desk_failure": Expected(required=frozenset({"turn_id", "text"})),
    "desk_file_lost": Expected(required=frozenset({"error", "text"})),
    "desk_file_no_room": Expected(required=frozenset({"left", "parts"})),
    "desk_file_too_large": Expected(required=frozenset({"megabytes"})),
    "desk_given": Expected(required=frozenset({"agent", "target"})),
    "desk_held": Expected(required=frozenset({"agent", "minutes", "since"})),
    "desk_help": Expected(),
    "desk_help_wecom": Expected(),
    "desk_history": Expected(required=frozenset({"lines"})),
    "desk_kb": Expected(required=frozenset({"hits"})),
    "desk_kb_down": Expected(),
    "desk_kb_none": Expected(required=frozenset({"query"})),
    "desk_left": Expected(required=frozenset({"desk"})),
    "desk_muted": Expected(required=frozenset({"agent"})),
    "desk_name_telegram": Expected(),
    "desk_name_wecom": Expected(),
    "desk_no_ticket": Expected(),
    "desk_nobody_held": Expected(),
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
    "desk_settled_cancel": Expected(max_bytes=60),
    "desk_settled_close": Expected(max_bytes=60),
    "desk_settled_confirm": Expected(max_bytes=60),
    "desk_settled_done": Expected(max_bytes=60),
    "desk_settled_take": Expected(max_bytes=60),
    "desk_settled_transfer": Expected(max_bytes=60),
    "desk_snoozed": Expected(required=frozenset({"agent", "time"})),
    "desk_staff_done": Expected(),
    "desk_stale": Expected(),
    "desk_stranger": Expected(),
    "desk_taken": Expected(required=frozenset({"agent"})),
    "desk_told": Expected(required=frozenset({"minutes", "text"})),
    "desk_too_long": Expected(required=frozenset({"left", "parts"})),
    "desk_transfer_refused": Expected(required=frozenset({"reason"})),
    "desk_transferred": Expected(required=frozenset({"agent"})),
    "desk_transferred_queue": Expected(required=frozenset({"agent"})),
    "desk_undelivered": Expected(required=frozenset({"error", "text"})),
    "desk_unknown": Expected(),
    "desk_unmuted": Expected(required=frozenset({"agent"})),
    "desk_unsupported": Expected(),
    "desk_which": Expected(required=frozenset({"text"})),
    "desk_who": Expected(required=frozenset({"bot", "budget", "holder", "window"})),
    "desk_yours": Expected(),
    "draft_entry": Expected(max_bytes=None),
    "greeting": Expected(optional=frozenset({"company", "customer_name", "source"})),
    "group_notice": Expected(required=frozenset({"count", "desk", "name", "question", "since"})),
    "group_notice_no_desk": Expected(required=frozenset({"count", "name", "question", "since"})),
    "handed_back": Expected(),
    "handoff_summary": Expected(max_bytes=None),
    "hold": Expected(),
    "hold_closed": Expected(required=frozenset({"back"})),
    "hold_rule": Expected(),
    "hold_rule_closed": Expected(required=frozenset({"back"})),
    "no_desk": Expected(),
    "opted_in": Expected(),
    "opted_out": Expected(),
    "outreach": Expected(optional=frozenset({"company", "customer_name"}), max_bytes=1500),
    "outreach_tail": Expected(max_bytes=200),
    "rate_limited": Expected(),
    "rate_limited_closed": Expected(required=frozenset({"back"})),
    "read": Expected(max_bytes=None),
    "read_repair": Expected(required=frozenset({"error"}), max_bytes=None),
    "resumed": Expected(),
    "shortened": Expected(max_bytes=300),
    "still_waiting": Expected(),
    "still_waiting_closed": Expected(required=frozenset({"back"})),
    "unsupported": Expected(required=frozenset({"kind"})),
    "welcome": Expected(optional=frozenset({"company", "customer_name", "source", "staff"}), max_bytes=4000),
    "wordless": Expected(),
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
    if problems := problems_of(prompt):
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
    return problems + [
        problem for table in (small_talk, mood, consent) for problem in _check_table(table.FILE, table.check, folder)
    ]


def _check_table(name: str, check: Callable[[str], list[str]], folder: Traversable) -> list[str]:
    try:
        return [f"{name}: {problem}" for problem in check(_file_text(folder, name))]
    except PromptError as error:
        return [str(error)]


def _check(name: str, folder: Traversable) -> list[str]:
    try:
        return problems_of(_parse(name, folder))
    except PromptError as error:
        return [str(error)]


def _parse(name: str, folder: Traversable) -> Prompt:
    return parse_text(name, f"{name}.md", _file_text(folder, f"{name}.md"))


def parse_text(name: str, where: str, text: str) -> Prompt:
    """Read a text that stands for a prompt; `where` names its place.

    Raises:
        PromptError: a placeholder is malformed.
    """
    text = text.strip()
    return Prompt(
        name=name,
        text=text,
        placeholders=_placeholders(where, text),
        optional=EXPECTED[name].optional,
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def problems_of(prompt: Prompt, where: str = "") -> list[str]:
    """Return what is wrong with a text, one line each; `where` names its place when that is no file of its own."""
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
    return [f"{where or f'{prompt.name}.md'}: {problem}" for problem in problems]


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
