"""XLSX to tables: the visible sheets, read row by row."""

from __future__ import annotations

import io
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, time

import openpyxl

from kb.errors import DocumentError
from kb.readers.archive import check_archive
from kb.readers.tables import Table

_LARGEST_TEXT = 128 * 2**20
_FAULTS = {"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#GETTING_DATA", "#SPILL!"}


def read_xlsx(data: bytes, file: str, warnings: list[str]) -> list[Table]:
    """Read every visible sheet; of a formula its last result counts, and a failed one is an empty cell.

    Raises:
        DocumentError: it is not a workbook, is damaged, has a password, or unpacks to too much.
    """
    check_archive(data, file, suffix=".xlsx", part="xl/workbook.xml", largest=_LARGEST_TEXT)
    try:
        with python_warnings.catch_warnings():
            # Styles and extensions that openpyxl does not keep: nothing an entry needs.
            python_warnings.simplefilter("ignore")
            return list(_tables(data, file, warnings))
    except Exception as error:  # a workbook of another program fails anywhere in the library
        raise DocumentError(
            f"{file}: this workbook cannot be read ({type(error).__name__}); open it in Excel or WPS and save it again"
        ) from error


def _tables(data: bytes, file: str, warnings: list[str]) -> Iterator[Table]:
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    with closing(book):
        for sheet in book.worksheets:
            if sheet.sheet_state != "visible":
                warnings.append(f"{file}, sheet {sheet.title}: skipped, it is hidden")
                continue
            # Some programs write a wrong size of the sheet; rows beyond it would be lost.
            sheet.reset_dimensions()
            rows = [[_text(value) for value in row] for row in sheet.iter_rows(values_only=True)]
            yield Table(rows=rows, sheet=sheet.title)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return f"{value:.15g}" if abs(value) < 1e15 else str(value)
        case datetime():
            return value.strftime("%Y-%m-%d" if value.time() == time() else "%Y-%m-%d %H:%M")
        case _:
            text = str(value).replace("_x000D_", "").strip()
            return "" if text in _FAULTS else text
