"""Files of entries, messages and labels: JSON lines, plain or gzip; the formats are in `docs/accuracy.md`."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from api.errors import InputFileError
from kb.measuring import Label

Line = TypeVar("Line", bound=BaseModel)


class EntryLine(BaseModel):
    """One entry of a labelled base."""

    id: str
    question: str
    similar: list[str] = []
    answer: str = ""
    category: str = ""


class QueryLine(BaseModel):
    """One message of a labelled set; what else the line holds is for the scorer only."""

    query: str


class LabelLine(BaseModel):
    """One message that somebody judged."""

    query: str
    gold_id: str | None
    """The id or the exact main question of the entry that answers it; null when none does."""
    turn_id: str = ""
    """Of an answer the bot gave: `kefu calibrate --sample` writes this and the next two."""
    entry_id: str = ""
    confidence: float | None = None


def read_lines(path: Path, kind: type[Line]) -> list[Line]:
    """Read a file of JSON lines; empty lines do not count.

    Raises:
        InputFileError: the file is not there or holds nothing, or a line is not what it should be.
    """
    lines = [_parse(text, kind, f"{path}, line {number}") for number, text in _texts(path) if text.strip()]
    if not lines:
        raise InputFileError(f"{path} holds no line; each should be a JSON object with {_wanted(kind)}")
    return lines


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    try:
        # Line by line, not `splitlines`: a JSON text may hold the other signs Unicode counts as line ends.
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig") as file
        ):
            yield from enumerate(file, start=1)
    except FileNotFoundError as error:
        raise InputFileError(f"there is no file {path}") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path} is not UTF-8 text") from error
    except (OSError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read ({type(error).__name__})") from error


def _parse(text: str, kind: type[Line], place: str) -> Line:
    try:
        return kind.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputFileError(f"{place} is not JSON; each line should be an object with {_wanted(kind)}") from error
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"]))
        problem = f"the field {name!r} is missing or of another type" if name else "it is no JSON object"
        raise InputFileError(f"{place}: {problem}; wanted is an object with {_wanted(kind)}") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{place} cannot be read as JSON") from error


def _wanted(kind: type[BaseModel]) -> str:
    return ", ".join(name if field.is_required() else f"{name} (optional)" for name, field in kind.model_fields.items())


def resolve_labels(
    lines: Sequence[LabelLine], questions: Mapping[str, str], *, path: Path
) -> tuple[list[tuple[LabelLine, Label]], list[str]]:
    """Give lines their labels by the entries' ids and main questions; also return what names no entry.

    Args:
        lines: what the file says.
        questions: entry id -> main question.
        path: the file, for messages.

    Raises:
        InputFileError: a main question belongs to several entries, or no line names an entry of this base.
    """
    counted = Counter(questions.values())
    by_question = {question: entry_id for entry_id, question in questions.items()}
    labels: list[tuple[LabelLine, Label]] = []
    unknown: list[str] = []
    for line in lines:
        gold = line.gold_id
        if gold is None or gold in questions:
            labels.append((line, Label(question=line.query, entry_id=gold)))
        elif counted[gold] > 1:
            raise InputFileError(f"{path}: several entries have the main question {gold!r}; name the id of one")
        elif gold in by_question:
            labels.append((line, Label(question=line.query, entry_id=by_question[gold])))
        else:
            unknown.append(gold)
    if unknown and len(unknown) == sum(line.gold_id is not None for line in lines):
        raise InputFileError(
            f"{path}: no gold_id is the id or the exact main question of an entry, for example {unknown[0]!r}; "
            "`kefu kb list` shows them"
        )
    return labels, unknown
