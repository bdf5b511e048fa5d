"""XLSX to entries."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from kb.errors import DocumentError
from kb.readers import files, workbook
from kb.readers.workbook import read_xlsx

HEADER = ["问题", "答案", "相似问", "分类"]


def rewritten(data: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """Change one part of an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return file.getvalue()


def test_every_sheet_is_read_as_a_csv_table_is(read: Any, make_xlsx: Any) -> None:
    data = make_xlsx(
        {
            "售后": [HEADER, ["如何退款?", "七天内\n可退。", "怎么退钱；能退吗", "售后"], [], ["", None, "", ""]],
            "门店": [["常见问题一览"], [], ["答案", "问题"], ["九点", "几点?"]],
            "空": [],
        }
    )
    found = read("faq.xlsx", data)
    assert [(chunk.question, chunk.answer, chunk.category) for chunk in found.chunks] == [
        ("如何退款?", "七天内\n可退。", "售后"),
        ("怎么退钱", "七天内\n可退。", "售后"),
        ("能退吗", "七天内\n可退。", "售后"),
        ("几点?", "九点", ""),
    ]
    assert {chunk.source for chunk in found.chunks} == {"faq.xlsx"}
    assert found.warnings == ()


def test_numbers_and_dates_are_what_a_person_sees_and_faults_are_empty(read: Any, make_xlsx: Any) -> None:
    rows = [
        HEADER,
        ["多少钱?", 59.0],
        ["多重?", 0.1 + 0.2],
        ["哪天?", datetime(2026, 1, 2)],  # noqa: DTZ001 - a cell knows no zone
        ["几点?", datetime(2026, 1, 2, 9, 30)],  # noqa: DTZ001
        ["有货?", True],
        ["单号?", 6901234567890123],
        ["坏了?", "#REF!"],
    ]
    found = read("faq.xlsx", make_xlsx({"一": rows}))
    assert [chunk.answer for chunk in found.chunks] == [
        "59",
        "0.3",
        "2026-01-02",
        "2026-01-02 09:30",
        "TRUE",
        "6901234567890123",
    ]
    assert [warning.split("faq.xlsx")[1] for warning in found.warnings] == [
        ", sheet 一: row 8 skipped, it has no question or no answer"
    ]


def test_a_sheet_without_the_columns_is_told_with_its_row(read: Any, make_xlsx: Any) -> None:
    notes = [[], ["说明"], ["请勿改动"]]
    found = read("faq.xlsx", make_xlsx({"说明页": notes, "问答": [HEADER, ["几点?", "九点"]]}))
    assert [chunk.question for chunk in found.chunks] == ["几点?"]
    assert re.search(r"sheet 说明页: row 2 must name the columns .*; skipped$", found.warnings[0])
    with pytest.raises(
        DocumentError, match=r"faq\.xlsx, sheet 说明页: row 2 must name the columns question and answer"
    ):
        read("faq.xlsx", make_xlsx({"说明页": notes}))


def test_a_hidden_sheet_is_passed_over_and_told(read: Any, make_xlsx: Any) -> None:
    sheets = {"问答": [HEADER, ["几点?", "九点"]], "旧": [HEADER, ["旧?", "旧"]]}
    found = read("faq.xlsx", make_xlsx(sheets, hidden="旧"))
    assert [chunk.question for chunk in found.chunks] == ["几点?"]
    assert [warning.split(", ", 1)[1] for warning in found.warnings] == ["sheet 旧: skipped, it is hidden"]


def test_rows_beyond_the_size_a_program_declared_are_read(read: Any, make_xlsx: Any) -> None:
    data = make_xlsx({"一": [HEADER, ["几点?", "九点"]]})
    lying = rewritten(
        data, "xl/worksheets/sheet1.xml", lambda part: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', part)
    )
    assert lying != data
    assert [chunk.question for chunk in read("faq.xlsx", lying).chunks] == ["几点?"]


def test_a_stray_cell_far_away_does_not_fill_the_memory(make_xlsx: Any) -> None:
    def stray(part: bytes) -> bytes:
        row = b'<row r="200000"><c r="XFD200000" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'
        return part.replace(b"</sheetData>", row)

    data = rewritten(make_xlsx({"一": [HEADER, ["几点?", "九点"]]}), "xl/worksheets/sheet1.xml", stray)
    (table,) = read_xlsx(data, "faq.xlsx", [])
    assert len(table.rows) == 200000
    assert sum(len(row) for row in table.rows) < 200000


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "password or an old format.* as .xlsx"),
        (b"plain text", "not a whole .xlsx file"),
        (b"PK\x03\x04 cut off", "not a whole .xlsx file"),
        (b"", "no entry found"),
    ],
)
def test_what_is_no_workbook_says_how_to_mend_it(read: Any, data: bytes, told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        read("faq.xlsx", data)


def test_a_document_called_xlsx_is_refused(read: Any, make_docx: Any) -> None:
    data = make_docx(lambda document: document.add_paragraph("九点。"))
    with pytest.raises(DocumentError, match=r"not a whole \.xlsx file"):
        read("faq.xlsx", data)


def test_broken_parts_are_refused(read: Any, make_xlsx: Any) -> None:
    data = make_xlsx({"一": [HEADER, ["几点?", "九点"]]})
    broken = rewritten(data, "xl/worksheets/sheet1.xml", lambda part: part[: len(part) // 2])
    with pytest.raises(DocumentError, match="workbook cannot be read"):
        read("faq.xlsx", broken)
    place = data.index(b"xl/workbook.xml") + 40
    with pytest.raises(DocumentError, match=r"not a whole \.xlsx file"):
        read("faq.xlsx", data[:place] + bytes(20) + data[place + 20 :])


def test_a_bomb_is_refused_before_it_is_unpacked(read: Any, make_xlsx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_LARGEST_TEXT", 2**20)
    data = make_xlsx({"一": [HEADER, ["几点?", "九点"]]})
    bomb = rewritten(data, "xl/styles.xml", lambda part: part + b" " * 2**20)
    with pytest.raises(DocumentError, match="its text is larger than 1 MB when unpacked"):
        read("faq.xlsx", bomb)


def test_a_file_too_large_is_not_read(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 2**20)
    with pytest.raises(DocumentError, match="larger than 1 MB"):
        read("faq.xlsx", bytes(2**20 + 1))
