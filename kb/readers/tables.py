"""Tables of questions and answers, whether from CSV or from a workbook."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from kb.chunks import Chunk
from kb.errors import DocumentError
from kb.questions import split_similar
from kb.splitter import ChunkWriter

_COLUMNS = {
    "question": ("question", "问题", "问", "标准问", "标准问题", "title", "标题"),
    "answer": ("answer", "答案", "答", "回答", "回复", "content", "内容"),
    "similar": ("similar", "similar questions", "相似问", "相似问法", "相似问题", "同义问", "同义问法"),
    "category": ("category", "分类", "类别", "类目"),
}
_TITLE_ROWS = 5
"""Rows in which the header may stand: people put a title above their table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one table, the header among the first."""

    rows: Sequence[Sequence[str]]
    sheet: str = ""
    """Name of the sheet; empty for a file that is one table."""

    def where(self, file: str) -> str:
        """Name the table in a message."""
        return f"{file}, sheet {self.sheet}" if self.sheet else file


def read_csv(text: str, file: str) -> Table:
    """Read a CSV file, whatever its delimiter.

    Raises:
        DocumentError: it is not a CSV table.
    """
    table = Table(rows=())
    for delimiter in ",;\t":
        try:
            other = Table(rows=list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter)))
        except csv.Error as error:
            raise DocumentError(f"{file}: this is not a CSV table ({error})") from error
        if _header(other):
            return other
        table = table if table.rows else other
    return table


def table_chunks(tables: Sequence[Table], *, source: str, file: str, warnings: list[str]) -> list[Chunk]:
    """Make the entries of a file's tables; a row without question or answer is told and passed over.

    Raises:
        DocumentError: no table names the columns question and answer.
    """
    found = [(table, _header(table)) for table in tables if any(any(row) for row in table.rows)]
    if found and not any(header for _, header in found):
        raise DocumentError(_no_header(found[0][0], file))
    writer = ChunkWriter(source)
    for table, header in found:
        if header is None:
            warnings.append(f"{_no_header(table, file)}; skipped")
            continue
        for number, row in enumerate(table.rows[header.row :], header.row + 1):
            _write(writer, header.cells(row), f"{table.where(file)}: row {number}", warnings)
    return writer.chunks


def find_columns(names: Sequence[str]) -> dict[str, int]:
    """Return where each known column is; empty unless question and answer are among them."""
    bare = [name.strip().lower() for name in names]
    columns = {
        column: place
        for column, aliases in _COLUMNS.items()
        if (place := next((bare.index(alias) for alias in aliases if alias in bare), None)) is not None
    }
    return columns if {"question", "answer"} <= columns.keys() else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    row: int
    """1-based."""
    columns: dict[str, int]

    def cells(self, row: Sequence[str]) -> dict[str, str]:
        return {
            name: row[place].replace("\r\n", "\n").strip() if place < len(row) else ""
            for name, place in self.columns.items()
        }


def _header(table: Table) -> _Header | None:
    filled = [number for number, row in enumerate(table.rows, 1) if any(row)][:_TITLE_ROWS]
    for number in filled:
        if columns := find_columns(table.rows[number - 1]):
            return _Header(row=number, columns=columns)
    return None


def _no_header(table: Table, file: str) -> str:
    row = next(number for number, cells in enumerate(table.rows, 1) if any(cells))
    return (
        f"{table.where(file)}: row {row} must name the columns question and answer (问题, 答案); "
        "similar (相似问) and category (分类) are optional"
    )


def _write(writer: ChunkWriter, cells: dict[str, str], where: str, warnings: list[str]) -> None:
    if not any(cells.values()):
        return
    if not (cells["question"] and cells["answer"]):
        warnings.append(f"{where} skipped, it has no question or no answer")
        return
    similar = split_similar(cells.get("similar", ""))
    writer.entry(cells["question"], cells["answer"], similar, category=cells.get("category", ""))
