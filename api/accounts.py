"""What single accounts and channels have of their own: knowledge, words, and the desk that is asked first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from prompts.errors import PromptError
from prompts.loader import Prompt
from prompts.own_texts import own_texts
from tools.errors import ConfigurationError
from tools.messages import DeskName

VARIABLE = "KEFU_ACCOUNTS_FILE"

Category = Annotated[str, StringConstraints(strip_whitespace=True)]


class _Entry(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    categories: list[Category] | None = Field(default=None, min_length=1)
    prompts: str | None = None
    desk: Literal["telegram", "wecom"] | None = None


_ENTRIES = TypeAdapter(dict[str, _Entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one account or channel has of its own."""

    name: str
    categories: frozenset[str] | None = None
    """The knowledge it is answered from; None: all of it."""
    texts: Mapping[str, Prompt] = field(default_factory=dict)
    desk: DeskName | None = None
    """The desk that is asked first; None: the usual one."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Finds what holds for a conversation: its account's entry, else its channel's, never both."""

    by_name: Mapping[str, Account] = field(default_factory=dict)

    def of(self, thread_id: str) -> Account | None:
        """Return the entry for a conversation; None when it is like all others."""
        channel, _, rest = thread_id.partition(":")
        return self.by_name.get(rest.partition(":")[0]) or self.by_name.get(channel)

    def desk(self, thread_id: str) -> DeskName | None:
        """Return the desk that is asked first about a conversation; None: the usual one."""
        account = self.of(thread_id)
        return account.desk if account else None

    def categories(self, thread_id: str) -> frozenset[str] | None:
        """Return the knowledge a conversation is answered from; None: all of it."""
        account = self.of(thread_id)
        return account.categories if account else None


def load_accounts(file: Path | None) -> Accounts:
    """Read the file; folders of prompts are beside it.

    Raises:
        ConfigurationError: it is missing or wrong; one line that names what and where.
    """
    if file is None:
        return Accounts()
    try:
        entries = _ENTRIES.validate_python(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        return Accounts({name: _account(name, entry, file.parent) for name, entry in entries.items()})
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{VARIABLE}: {file} cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise ConfigurationError(f"{VARIABLE}: {file} is not YAML{line}; see docs/accounts.md") from error
    except ValidationError as error:
        raise ConfigurationError(f"{VARIABLE}: {file}: {_explained(error)}; see docs/accounts.md") from error
    except PromptError as error:
        raise ConfigurationError(f"{VARIABLE}: {error}") from error


def _account(name: str, entry: _Entry, folder: Path) -> Account:
    return Account(
        name=name,
        categories=frozenset(entry.categories) if entry.categories is not None else None,
        texts=own_texts(folder / entry.prompts) if entry.prompts is not None else {},
        desk=entry.desk,
    )


def _explained(error: ValidationError) -> str:
    problems = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{' › '.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in problems)
