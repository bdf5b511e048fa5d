"""Files as office programs write them, made by libraries."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pytest
from docx.document import Document
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from kb.chunks import Chunk
from kb.readers import Articles, read_articles

Read = Callable[[str, bytes], Articles]
Line = tuple[str, int]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read one file of that name and content."""

    def read_file(name: str, data: bytes) -> Articles:
        (tmp_path / name).write_bytes(data)
        return read_articles([tmp_path / name])

    return read_file


@pytest.fixture
def entries() -> Callable[[Sequence[Chunk]], list[tuple[str, str]]]:
    """Questions with their answers."""
    return lambda chunks: [(chunk.question, chunk.answer) for chunk in chunks]


@pytest.fixture
def make_docx() -> Callable[[Callable[[Document], object]], bytes]:
    """Make a Word document from what a function writes into it."""

    def make(write: Callable[[Document], object]) -> bytes:
        document = docx.Document()
        write(document)
        file = io.BytesIO()
        document.save(file)
        return file.getvalue()

    return make


@pytest.fixture
def make_xlsx() -> Callable[..., bytes]:
    """Make a workbook from the rows of its sheets."""

    def make(sheets: Mapping[str, Sequence[Sequence[Any]]], *, hidden: str = "") -> bytes:
        book = openpyxl.Workbook()
        book.remove(book.worksheets[0])
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            sheet.sheet_state = "hidden" if name == hidden else "visible"
            for row in rows:
                sheet.append(list(row))
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()

    return make


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    """Make a PDF from lines with their letter sizes; a page of no lines gets a picture.

    `scaled` draws letters of one point, enlarged, as some programs do.
    """
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def make(*pages: Sequence[Line], user: str | None = None, scaled: bool = False) -> bytes:
        file = io.BytesIO()
        encrypt = None if user is None else StandardEncryption(user, ownerPassword="owner", canCopy=0)
        canvas = Canvas(file, encrypt=encrypt)
        for page in pages:
            top = 800.0
            for text, size in page:
                scale = size if scaled else 1
                canvas.saveState()
                canvas.scale(scale, scale)
                canvas.setFont("STSong-Light", size / scale)
                canvas.drawString(60 / scale, top / scale, text)
                canvas.restoreState()
                top -= size * 1.5
            if not page:
                canvas.drawInlineImage(_picture(), 60, 60, 400, 600)
            canvas.showPage()
        canvas.save()
        return file.getvalue()

    return make


def _picture() -> Any:
    from PIL import Image

    return Image.new("L", (20, 20), 128)
