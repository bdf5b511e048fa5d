"""The labelled sets: the one shipped with the project, and any in the folder named by EVAL_DIR."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from api.embedded import embedded_postgres
from api.labelled_files import EntryLine, QueryLine, read_lines
from api.migrate import migrate
from api.settings import Settings, load_settings, variable_names
from kb.measuring import Label
from kb.readers import read_articles

ROOT = Path(__file__).parents[2]
SAMPLE = "sample"

LABELS = 200
SEED = 0
MAX_WRONG = 0.02

T = TypeVar("T")


class Message(QueryLine):
    """A message with its truth."""

    gold_id: str | None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """Entries, and messages whose truth is known."""

    name: str
    entries: list[EntryLine]
    messages: list[dict[str, Any]]

    @property
    def queries(self) -> list[str]:
        return [message["query"] for message in self.messages]

    def split(self) -> tuple[list[Label], set[int]]:
        """Take labels at random; also return the places of the messages that are left for scoring."""
        chosen = set(random.Random(SEED).sample(range(len(self.messages)), min(LABELS, len(self.messages) // 2)))
        labels = [
            Label(question=self.messages[i]["query"], entry_id=self.messages[i]["gold_id"]) for i in sorted(chosen)
        ]
        return labels, set(range(len(self.messages))) - chosen


def sample_set() -> LabelledSet:
    """The shipped set; its entries are named by their main questions."""
    entries: dict[str, EntryLine] = {}
    for chunk in read_articles([ROOT / "kb" / "documents" / "sample.md"]).chunks:
        if chunk.entry_id in entries:
            entries[chunk.entry_id].similar.append(chunk.question)
        else:
            entries[chunk.entry_id] = EntryLine(
                id=chunk.question, question=chunk.question, similar=[], answer=chunk.answer, category=chunk.category
            )
    return read_set(SAMPLE, list(entries.values()), ROOT / "tests" / "evals" / "sample" / "queries.jsonl")


def read_set(name: str, entries: list[EntryLine], queries: Path) -> LabelledSet:
    messages = [line.model_dump() for line in read_lines(queries, Message)]
    return LabelledSet(name=name, entries=entries, messages=messages)


def other_sets(only: set[str]) -> Iterator[LabelledSet]:
    """The sets in EVAL_DIR: folders with kb.jsonl and queries.jsonl. Gzipped ones are large and are left out."""
    folder = os.environ.get("EVAL_DIR", "")
    if not folder:
        return
    for path in sorted(Path(folder).iterdir()):
        if (path / "kb.jsonl").exists() and (not only or path.name in only):
            yield read_set(path.name, read_lines(path / "kb.jsonl", EntryLine), path / "queries.jsonl")


def run_with_database(command: Callable[[Settings, str], Awaitable[T]]) -> T:
    """Run with a database of its own and the default settings, whatever the environment says."""
    for name in variable_names():
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="kefu-evals-") as folder:
        os.chdir(folder)
        settings = load_settings()
        with embedded_postgres(Path(folder)) as conninfo:
            return asyncio.run(_migrated(settings, conninfo, command))


async def _migrated(settings: Settings, conninfo: str, command: Callable[[Settings, str], Awaitable[T]]) -> T:
    await migrate(conninfo)
    return await command(settings, conninfo)


def note(text: str) -> None:
    """Tell on standard error what is being done."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
