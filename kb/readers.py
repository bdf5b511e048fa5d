"""Reading files: Markdown articles and CSV tables of questions and answers."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.chunks import Chunk
from kb.errors import DocumentError
from kb.questions import split_similar
from kb.splitter import ChunkWriter, split_markdown

SUFFIXES = (".md", ".markdown", ".csv")

_COLUMNS = {
    "question": ("question", "问题", "问", "标准问", "标准问题", "title", "标题"),
    "answer": ("answer", "答案", "答", "回答", "回复", "content", "内容"),
    "similar": ("similar", "similar questions", "相似问", "相似问法", "相似问题", "同义问", "同义问法"),
    "category": ("category", "分类", "类别", "类目"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Articles:
    """What was read."""

    chunks: tuple[Chunk, ...]
    warnings: tuple[str, ...] = ()
    """What was passed over and why, one line each."""


def read_articles(paths: Sequence[Path]) -> Articles:
    """Read files, and folders with everything in them.

    The source of a chunk is its file's path inside the folder that was named, or the file's name.

    Raises:
        DocumentError: a path is missing, cannot be read, or holds no entry.
    """
    chunks: list[Chunk] = []
    warnings: list[str] = []
    seen: dict[str, Path] = {}
    for path in paths:
        found = list(_files(path, warnings))
        if not found:
            raise DocumentError(f"{path}: no file to import; the formats are {', '.join(SUFFIXES)}")
        for source, file in found:
            if source in seen and seen[source] != file.resolve():
                raise DocumentError(f"{file}: another file is called {source} too; rename one, or name their folder")
            if source in seen:
                continue
            seen[source] = file.resolve()
            read = _read(file, source, warnings)
            if not read:
                empty = f"{file}: no entry found; write questions as headings (### …?) or as `问:` and `答:` lines"
                if path.is_file():
                    raise DocumentError(empty)
                warnings.append(empty)
            chunks += read
    return Articles(chunks=tuple(chunks), warnings=tuple(warnings))


def decode(data: bytes, name: str) -> str:
    """Decode a text file as spreadsheets and editors in China write it.

    Raises:
        DocumentError: it is not a text.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ["utf-16"] if is_utf16 else ["utf-8-sig", "gb18030"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DocumentError(f"{name}: this is not a text file in UTF-8 or GB18030; save it as UTF-8")


def _files(path: Path, warnings: list[str]) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DocumentError(f"{path}: this format cannot be read; the formats are {', '.join(SUFFIXES)}")
        yield path.name, path
        return
    if not path.is_dir():
        raise DocumentError(f"{path}: there is no such file or folder")
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if not file.is_file() or any(part.startswith((".", "~$")) for part in relative.parts):
            continue
        if file.suffix.lower() in SUFFIXES:
            yield relative.as_posix(), file
        else:
            warnings.append(f"{file}: skipped; the formats are {', '.join(SUFFIXES)}")


def _read(file: Path, source: str, warnings: list[str]) -> list[Chunk]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DocumentError(f"{file}: cannot be read ({error.strerror})") from error
    text = decode(data, str(file))
    if not text.strip():
        return []
    if file.suffix.lower() == ".csv":
        return _read_csv(text, source, file, warnings)
    return split_markdown(text, source=source)


def _read_csv(text: str, source: str, file: Path, warnings: list[str]) -> list[Chunk]:
    try:
        lines, columns = _table(text, file)
    except csv.Error as error:
        raise DocumentError(f"{file}: this is not a CSV table ({error})") from error
    writer = ChunkWriter(source)
    for number, line in enumerate(lines, 2):
        cells = {
            name: line[place].replace("\r\n", "\n").strip() if place < len(line) else ""
            for name, place in columns.items()
        }
        if not any(cells.values()):
            continue
        if not (cells["question"] and cells["answer"]):
            warnings.append(f"{file}: row {number} skipped, it has no question or no answer")
            continue
        similar = split_similar(cells.get("similar", ""))
        writer.entry(cells["question"], cells["answer"], similar, category=cells.get("category", ""))
    return writer.chunks


def _table(text: str, file: Path) -> tuple[list[list[str]], dict[str, int]]:
    """Return the rows under the header, and where each known column is."""
    for delimiter in ",;\t":
        header, *lines = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter))
        names = [name.strip().lower() for name in header]
        columns = {
            column: place
            for column, aliases in _COLUMNS.items()
            if (place := next((names.index(alias) for alias in aliases if alias in names), None)) is not None
        }
        if {"question", "answer"} <= columns.keys():
            return lines, columns
    raise DocumentError(
        f"{file}: the first row must name the columns question and answer (问题, 答案); "
        "similar (相似问) and category (分类) are optional"
    )
