"""DOCX to entries and passages."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE

from kb.errors import DocumentError
from kb.readers import word

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_headings_lists_and_similar_questions_are_read_as_in_markdown(read: Any, make_docx: Any, entries: Any) -> None:
    def write(document: Document) -> None:
        document.add_heading("售后政策", 1)
        document.add_heading("如何退款?", 2)
        document.add_paragraph("打开订单：")
        document.add_paragraph("点退款", style="List Bullet")
        document.add_paragraph("点确定", style="List Bullet")
        document.add_paragraph("相似问法：怎么退钱；能退吗")
        document.add_heading("关于我们", 2)
        document.add_paragraph("一家小店。")

    found = read("a.docx", make_docx(write))
    answer = "打开订单：\n\n• 点退款\n• 点确定"
    assert entries(found.chunks) == [
        ("如何退款?", answer),
        ("怎么退钱", answer),
        ("能退吗", answer),
        ("关于我们", "一家小店。"),
    ]
    assert {chunk.headings for chunk in found.chunks} == {("售后政策",)}


def test_a_line_in_bold_that_asks_is_a_heading_numbered_or_not(read: Any, make_docx: Any, entries: Any) -> None:
    def write(document: Document) -> None:
        document.add_paragraph().add_run("几点开门？").bold = True
        document.add_paragraph("九点。")
        document.add_paragraph(style="List Number").add_run("在哪里？").bold = True
        document.add_paragraph("北京。").add_run("很近。").bold = True

    assert entries(read("a.docx", make_docx(write)).chunks) == [("几点开门？", "九点。"), ("在哪里？", "北京。很近。")]


def test_tables_become_items_and_tables_of_questions_become_entries(read: Any, make_docx: Any, entries: Any) -> None:
    def table(document: Document, *rows: list[str]) -> None:
        made = document.add_table(len(rows), len(rows[0]))
        for cells, row in zip(made.rows, rows, strict=True):
            for cell, text in zip(cells.cells, row, strict=True):
                cell.text = text

    def write(document: Document) -> None:
        document.add_heading("运费表", 1)
        table(document, ["地区", "运费"], ["北京", "8 元"], ["上海", "6 元"])
        document.add_heading("问答表", 1)
        table(document, ["问题", "答案", "相似问"], ["多重？", "三斤", "重量；几斤"], ["多大？", "长一米\n宽一米", ""])

    assert entries(read("a.docx", make_docx(write)).chunks) == [
        ("运费表", "• 地区：北京；运费：8 元\n• 地区：上海；运费：6 元"),
        ("多重？", "三斤"),
        ("重量", "三斤"),
        ("几斤", "三斤"),
        ("多大？", "长一米\n宽一米"),
    ]


def test_chinese_style_names_are_headings_and_the_contents_page_is_left_out(read: Any, make_docx: Any) -> None:
    def write(document: Document) -> None:
        for name in ("标题 1", "toc 1"):
            document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        document.add_paragraph("几点开门?\t1", style="toc 1")
        document.add_paragraph("几点开门?", style="标题 1")
        document.add_paragraph("九点。")
        document.add_picture(io.BytesIO(PIXEL))

    (chunk,) = read("a.docx", make_docx(write)).chunks
    assert (chunk.question, chunk.answer) == ("几点开门?", "九点。")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "password or an old format.* as .docx"),
        (b"{\\rtf1 }", "not a whole .docx file"),
        (b"", "no entry found"),
    ],
)
def test_what_is_no_document_says_how_to_mend_it(read: Any, data: bytes, told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        read("a.docx", data)


def test_an_empty_document_and_a_cut_one_are_refused(read: Any, make_docx: Any) -> None:
    data = make_docx(lambda document: document.add_paragraph(""))
    with pytest.raises(DocumentError, match="no entry found"):
        read("a.docx", data)
    with pytest.raises(DocumentError, match=r"not a whole \.docx file"):
        read("a.docx", data[: len(data) // 2])


def test_a_broken_text_and_one_too_large_are_refused(
    read: Any, make_docx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(document: Document) -> None:
        document.add_paragraph("九点。")
        document.part._element.body.set("broken", "x" * 2000)

    data = make_docx(write)
    monkeypatch.setattr(word, "check_archive", lambda *_, **__: None)
    with pytest.raises(DocumentError, match="document cannot be read"):
        read("a.docx", data[:200])
    monkeypatch.undo()
    monkeypatch.setattr(word, "_LARGEST_TEXT", 1000)
    with pytest.raises(DocumentError, match="its text is larger than 0 MB"):
        read("a.docx", data)
