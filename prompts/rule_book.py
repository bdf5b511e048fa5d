"""The rules in force: read at the start, read again when their file changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from prompts.errors import PromptError
from prompts.rules import FILE, Rule, RuleFacts, first_match, parse

logger = logging.getLogger(__name__)


class RuleBook:
    """Rules of a file; a broken edit keeps those before it."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the rules, by default the shipped ones.

        Raises:
            PromptError: the file is missing or faulty; the message names the rule, what is wrong and how to mend it.
        """
        self._path = path or shipped_path()
        self._lock = threading.Lock()
        self._stamp = _stamp(self._path)
        self.rules: Sequence[Rule] = read_rules(self._path)
        self.problem = ""
        """What is wrong with the latest edit; empty when it counts."""

    def match(self, facts: RuleFacts) -> Rule | None:
        """Return the first rule that fits, None when none does; reads the file again when it has changed."""
        self.refresh()
        return first_match(self.rules, facts)

    def refresh(self) -> None:
        """Read the file again when it has changed."""
        stamp = _stamp(self._path)
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
        try:
            self.rules = read_rules(self._path)
        except PromptError as error:
            self.problem = str(error)
            logger.error("Rules not changed", extra={"action": "rules_broken", "error": self.problem})  # noqa: TRY400
            return
        self.problem = ""
        logger.info("Rules changed", extra={"action": "rules_reloaded", "rules": len(self.rules)})


def shipped_path() -> Path | None:
    """Return where the shipped rules are; None when the package is no folder."""
    shipped = files("prompts").joinpath(FILE)
    return shipped if isinstance(shipped, Path) else None


def read_rules(path: Path | None = None) -> Sequence[Rule]:
    """Read and check a rules file, by default the shipped one.

    Raises:
        PromptError: the file is missing or faulty.
    """
    source: Traversable | Path = path or files("prompts").joinpath(FILE)
    try:
        raw = source.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"{source}: cannot be read ({error.strerror}); restore it, or set KEFU_RULES_FILE") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{source}: is not UTF-8; save it as UTF-8") from error
    rules, problems = parse(raw)
    if problems:
        raise PromptError(f"{source.name}: " + "; ".join(problems))
    return rules


def _stamp(path: Path | None) -> tuple[int, int]:
    """Return what tells one version of the file from another."""
    if path is None:
        return 0, 0
    try:
        state = path.stat()
    except OSError:
        return -1, 0
    return state.st_mtime_ns, state.st_size
