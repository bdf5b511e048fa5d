"""What is locked: from one place each, by hash, once, under licences that let the service be used and passed on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")

ALLOWED = {
    *(
        "0bsd",
        "apache software license",
        "apache-2.0",
        "cc0-1.0",
        "cnri-python",
        "isc license (iscl)",
        "zlib",
        "zpl-2.1",
    ),
    *("3-clause bsd license", "bsd license", "bsd-2-clause", "bsd-3-clause", "freely distributable"),
    *("mit", "mit license", "mit-0", "mit-cmu", "psf-2.0", "python software foundation license"),
}
"""Permissive licences, as metadata name them."""

EXCEPTIONS: Mapping[str, str] = {
    # Used as they are and not linked into anything: whoever gets kefu may replace them (LGPL), and files of theirs that
    # are changed stay theirs (MPL). Nothing of them is changed here.
    "psycopg": "lgpl-3.0-only",
    "psycopg-binary": "lgpl-3.0-only",
    "psycopg-pool": "lgpl-3.0-only",
    "python-telegram-bot": "lgpl-3.0-only",
    "certifi": "mozilla public license 2.0 (mpl 2.0)",
    "orjson": "mpl-2.0",
    "pathspec": "mozilla public license 2.0 (mpl 2.0)",
    # Its metadata name no licence of the libraries inside of it; they are BSD, MIT and Zlib.
    "pypdfium2": "dependency licenses",
}

DEV_EXCEPTIONS: Mapping[str, str] = {
    # Tools for tests and studio, on developers' machines only.
    "bidict": "mpl-2.0",
    "hypothesis": "mpl-2.0",
    "hypothesis-jsonschema": "mozilla public license 2.0 (mpl 2.0)",
    "langgraph-api": "elastic-2.0",
    "langgraph-runtime-inmem": "elastic-2.0",
    # Or MIT, as one likes.
    "forbiddenfruit": "gnu general public license v3 or later (gplv3+)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One entry of a lock."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def is_for_here(self) -> bool:
        return not self.marker or Marker(self.marker).evaluate()


def entries(lock: str) -> list[Locked]:
    """Read a lock; what is no entry, hash or comment fails."""
    found = []
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        match = re.fullmatch(
            r"([\w.-]+)(?:\[[\w,-]+\])?==(\S+)(?: *; *(.*?))?((?: +--hash=sha256:[0-9a-f]{64})*) *", line
        )
        assert match, line[:120]
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", match[4]))
        found.append(Locked(name=match[1], version=match[2], marker=(match[3] or "").strip(), hashes=hashes))
    return found


def licences(name: str) -> list[str]:
    """Return the licences a package says it has, all of them, in lower case."""
    about = metadata.metadata(name)
    classified = [row.split(" :: ")[-1] for row in about.get_all("Classifier", []) if row.startswith("License :: ")]
    classified = [row for row in classified if row != "OSI Approved"]
    said = about.get("License-Expression") or "; ".join(classified) or (about.get("License") or "").splitlines()[0]
    return [part.strip("() ").lower() if " (" not in part else part.strip().lower() for part in split(said)]


def split(said: str) -> list[str]:
    return [part for part in re.split(r"\s*(?:;|,|\bAND\b|\bOR\b)\s*", said) if part]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_its_hashes(lock: str) -> None:
    found = entries(lock)
    assert len(found) > 80
    assert [entry.name for entry in found if not entry.hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_package_is_locked_once_for_each_machine(lock: str) -> None:
    here = [entry.name for entry in entries(lock) if entry.is_for_here]
    assert sorted(name for name in set(here) if here.count(name) > 1) == []
    assert all(entry.name == canonicalize_name(entry.name) for entry in entries(lock))


def test_what_runs_in_production_is_what_was_tested() -> None:
    tested = {(entry.name, entry.version, entry.hashes) for entry in entries("requirements-dev.lock")}
    assert [e.name for e in entries("requirements.lock") if (e.name, e.version, e.hashes) not in tested] == []


def test_what_is_installed_is_what_is_locked() -> None:
    wrong = [
        f"{entry.name} {metadata.version(entry.name)}, locked {entry.version}"
        for entry in entries("requirements.lock")
        if entry.is_for_here and metadata.version(entry.name) != entry.version
    ]
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_licence_lets_the_service_be_used_and_passed_on(lock: str) -> None:
    exceptions = EXCEPTIONS if lock == "requirements.lock" else {**EXCEPTIONS, **DEV_EXCEPTIONS}
    refused = {}
    for entry in entries(lock):
        if entry.is_for_here:
            said = licences(entry.name)
            allowed = ALLOWED | {exceptions.get(entry.name, "")}
            if not said or set(said) - allowed:
                refused[entry.name] = said
    assert refused == {}


def test_exceptions_are_for_what_is_locked_and_needs_one() -> None:
    dev = {entry.name for entry in entries("requirements-dev.lock")}
    used = {entry.name for entry in entries("requirements.lock")}
    assert set(EXCEPTIONS) <= used
    assert set(DEV_EXCEPTIONS) <= dev - used
    both = {**EXCEPTIONS, **DEV_EXCEPTIONS}
    assert [name for name, licence in both.items() if licence not in licences(name)] == []


def test_what_is_installed_fits_together() -> None:
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout.strip()) == (0, "No broken requirements found.")
