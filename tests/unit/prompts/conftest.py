from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from prompts.small_talk import SmallTalk


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    section: str
    question: str
    similar: tuple[str, ...]
    answer: str


@pytest.fixture(scope="session")
def small_talk() -> SmallTalk:
    return SmallTalk()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the shipped texts, to plant faults in."""
    for entry in files("prompts").iterdir():
        if entry.name.endswith((".md", ".yaml")):
            shutil.copyfile(str(entry), tmp_path / entry.name)
    return tmp_path


@pytest.fixture
def plant(copied: Path) -> Callable[[str, str, str], None]:
    """Replace a piece of a copied text that must be there."""

    def replace(file_name: str, old: str, new: str) -> None:
        path = copied / file_name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture(scope="session")
def sample_text() -> str:
    return files("kb").joinpath("documents", "sample.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def entries(sample_text: str) -> list[Entry]:
    found = []
    for section in re.split(r"^## ", sample_text, flags=re.MULTILINE)[1:]:
        title, *blocks = re.split(r"^### ", section, flags=re.MULTILINE)
        for block in blocks:
            question, _, rest = block.strip().partition("\n")
            match = re.match(r"相似问法: (.+)\n", rest)
            similar = tuple(match[1].split("；")) if match else ()
            answer = rest[match.end() :].strip() if match else rest.strip()
            found.append(Entry(section=title.strip(), question=question.strip(), similar=similar, answer=answer))
    return found
