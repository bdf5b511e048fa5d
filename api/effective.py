"""What the settings are in effect, where each comes from, and what is set that nothing reads."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from api.settings import Settings, variable_names
from tools.settings import Origin, Slice, set_variables

logger = logging.getLogger(__name__)

OURS = ("KEFU_", "WECOM_", "KB_", "LLM_", "TELEGRAM_", "EMBEDDING_", "RERANK_", "NOTIFICATION_", "SPEECH_")
"""How the names begin that only this service has a use for."""
OTHERS = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_", "COMPOSE_", "DOCKER_", "POSTGRES_", "PG")
"""How the names begin that others read from the same file."""
CLOSE = 0.84
"""How alike a name must be to be taken for a slip."""

TAIL = 2
LONG = 16
"""Characters of a secret of which the last ones may be shown."""
_ACCESS = re.compile(r"(?<=//)[^/@\s]+(?=@)|(?<=\?)[^#,\s]+|(?<=wecom-webhook:)[^,\s]+")
"""Passwords and keys inside of addresses and channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting in effect."""

    name: str
    value: str
    """As it may be shown; empty when unset."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Something that is set and read by nobody."""

    name: str
    meant: str
    """The setting whose name is like it; empty when none is."""

    @property
    def line(self) -> str:
        """Say so in one line."""
        advice = f"did you mean {self.meant}?" if self.meant else "nothing reads it"
        return f"{self.name} is not a setting; {advice}"


def effective(settings: Settings, *, wrong: Iterable[str] = ()) -> list[Variable]:
    """List every setting with its value, secrets masked; the slices in `wrong` could not be read and are left out.

    Raises:
        UnicodeDecodeError: `.env` is not UTF-8.
    """
    is_set = set_variables()
    found: list[Variable] = []
    for part in fields(settings):
        if part.name not in wrong:
            found += _of_slice(getattr(settings, part.name), is_set)
    return found


def unknown_variables() -> list[Unknown]:
    """List what looks like a slip: names like those of settings, and lines of `.env` that nobody reads.

    Raises:
        UnicodeDecodeError: `.env` is not UTF-8.
    """
    known = variable_names()
    is_set = set_variables()
    found: list[Unknown] = []
    for name in sorted(is_set["environment"] | is_set[".env"]):
        if name in known or name.startswith(OTHERS):
            continue
        is_written = name in is_set[".env"]
        if not (is_written or name.startswith(OURS)):
            continue
        meant = next(iter(difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)), "")
        if meant or is_written:
            found.append(Unknown(name=name, meant=meant))
    return found


def warn_of_unknown() -> None:
    """Log a line for each variable that looks like a slip."""
    for unknown in unknown_variables():
        logger.warning("%s", unknown.line, extra={"action": "setting_unknown", "variable": unknown.name})


def masked(value: object) -> str:
    """Write a value as it may be shown: of a long secret the last two characters, of a short one none."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return f"******{secret[-TAIL:]}" if len(secret) >= LONG else "******"
    if isinstance(value, bool):
        return str(value).lower()
    return _ACCESS.sub("******", str(value))


def _of_slice(part: Slice, is_set: Mapping[Origin, frozenset[str]]) -> list[Variable]:
    found = []
    for field, info in type(part).model_fields.items():
        names = _names(field, info)
        origin: Origin = next((where for where in is_set if not is_set[where].isdisjoint(names)), "default")
        found.append(Variable(name=names[0], value=masked(getattr(part, field)), origin=origin))
    return found


def _names(field: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    return [str(name) for name in getattr(alias, "choices", [alias] if alias else [field.upper()])]
