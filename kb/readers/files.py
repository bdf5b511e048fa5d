"""Files and folders to chunks: which files are read, by which reader, and what is told about the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.chunks import Chunk
from kb.errors import DocumentError
from kb.readers.pdf import read_pdf
from kb.readers.tables import read_csv, table_chunks
from kb.readers.text import decode, decode_html
from kb.readers.web_page import html_sections
from kb.readers.word import read_docx
from kb.readers.workbook import read_xlsx
from kb.splitter import split_markdown, split_sections

LARGEST_FILE = 50 * 2**20
"""Bytes; far above any article, far below what would fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Articles:
    """What was read."""

    chunks: tuple[Chunk, ...]
    warnings: tuple[str, ...] = ()
    """What was passed over and why, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    data: bytes
    name: str
    """As the user named it, for messages."""
    source: str
    warnings: list[str]


def _markdown(file: _File) -> list[Chunk]:
    return split_markdown(decode(file.data, file.name), source=file.source)


def _csv(file: _File) -> list[Chunk]:
    table = read_csv(decode(file.data, file.name), file.name)
    return table_chunks([table], source=file.source, file=file.name, warnings=file.warnings)


def _xlsx(file: _File) -> list[Chunk]:
    tables = read_xlsx(file.data, file.name, file.warnings)
    return table_chunks(tables, source=file.source, file=file.name, warnings=file.warnings)


def _docx(file: _File) -> list[Chunk]:
    return split_sections(read_docx(file.data, file.name), source=file.source)


def _pdf(file: _File) -> list[Chunk]:
    return split_sections(read_pdf(file.data, file.name, file.warnings), source=file.source)


def _html(file: _File) -> list[Chunk]:
    return split_sections(html_sections(decode_html(file.data, file.name), file.name), source=file.source)


_READERS: dict[str, Callable[[_File], list[Chunk]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".docx": _docx,
    ".pdf": _pdf,
    ".html": _html,
    ".htm": _html,
}
SUFFIXES = tuple(_READERS)

_SAVED_AS = {
    ".doc": ".docx",
    ".et": ".xlsx",
    ".mht": ".html",
    ".ods": ".xlsx",
    ".odt": ".docx",
    ".ppt": ".pdf",
    ".pptx": ".pdf",
    ".rtf": ".docx",
    ".txt": ".md",
    ".wps": ".docx",
    ".xls": ".xlsx",
    ".xlsm": ".xlsx",
}


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
                empty = (
                    f"{file}: no entry found; write questions as headings (### …?), `问:` and `答:` lines, or a table"
                )
                if path.is_file():
                    raise DocumentError(empty)
                warnings.append(empty)
            chunks += read
    return Articles(chunks=tuple(chunks), warnings=tuple(warnings))


def _files(path: Path, warnings: list[str]) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DocumentError(f"{path}: this format cannot be read; {_advice(path)}")
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
            warnings.append(f"{file}: skipped; {_advice(file)}")


def _advice(file: Path) -> str:
    other = _SAVED_AS.get(file.suffix.lower())
    formats = f"the formats are {', '.join(SUFFIXES)}"
    return f"save it as {other}; {formats}" if other else formats


def _read(file: Path, source: str, warnings: list[str]) -> list[Chunk]:
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise DocumentError(f"{file}: cannot be read ({error.strerror})") from error
    if size > LARGEST_FILE:
        raise DocumentError(f"{file}: larger than {LARGEST_FILE >> 20} MB; split it, or take the pictures out")
    if not data.strip():
        return []
    return _READERS[file.suffix.lower()](_File(data=data, name=str(file), source=source, warnings=warnings))
