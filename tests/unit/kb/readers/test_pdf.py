"""PDF to entries and passages."""

from __future__ import annotations

from typing import Any

import pytest

from kb.errors import DocumentError
from kb.readers.pdf import _tidy


def test_broken_lines_are_joined_and_larger_lines_are_headings(read: Any, make_pdf: Any, entries: Any) -> None:
    data = make_pdf(
        [
            ("售后政策", 20),
            ("怎么退货？", 16),
            ("商品签收后七天内可以申请退货，运费由我们承担，超过七", 12),
            ("天的不再受理。", 12),
            ("• 先联系客服", 12),
            ("• 再寄回商品", 12),
            ("English?", 16),
            ("Please con-", 12),
            ("tact us whenever you would like to know anything", 12),
            ("more about it.", 12),
        ],
        [("问：几点开门？", 12), ("答：九点。", 12)],
    )
    found = read("a.pdf", data)
    assert entries(found.chunks) == [
        (
            "怎么退货？",
            "商品签收后七天内可以申请退货，运费由我们承担，超过七天的不再受理。\n• 先联系客服\n• 再寄回商品",
        ),
        ("", "Please contact us whenever you would like to know anything more about it."),
        ("几点开门？", "九点。"),
    ]
    assert [chunk.headings for chunk in found.chunks] == [
        ("售后政策",),
        ("售后政策", "English?"),
        ("售后政策", "English?"),
    ]


def test_letters_enlarged_by_the_page_are_as_large_as_they_look(read: Any, make_pdf: Any, entries: Any) -> None:
    data = make_pdf([("几点开门？", 18), ("早上九点开门。", 12), ("在哪里？", 18), ("北京。", 12)], scaled=True)
    assert entries(read("a.pdf", data).chunks) == [("几点开门？", "早上九点开门。"), ("在哪里？", "北京。")]


def test_letters_no_database_takes_are_cleaned_away() -> None:
    assert _tidy("退\0款 \x1f\ud83d\ude00\ud83d") == "退款 😀\ufffd"
    assert _tidy("\uf0b7 要点") == "• 要点"


def test_page_numbers_and_running_titles_are_left_out(read: Any, make_pdf: Any) -> None:
    pages = [
        [("小店手册", 9), (f"第{word}页的正文。", 12), (f"第 {number} 页 共 3 页", 9)]
        for number, word in enumerate("一二三", 1)
    ]
    (chunk,) = read("a.pdf", make_pdf(*pages)).chunks
    assert chunk.answer == "第一页的正文。\n第二页的正文。\n第三页的正文。"


def test_a_paragraph_goes_on_over_the_page(read: Any, make_pdf: Any) -> None:
    (chunk,) = read(
        "a.pdf", make_pdf([("七天内可以申请退", 12), ("1", 9)], [("货，运费由我们承担。", 12), ("2", 9)])
    ).chunks
    assert chunk.answer == "七天内可以申请退货，运费由我们承担。"


def test_radicals_that_look_like_characters_become_characters(read: Any, make_pdf: Any) -> None:
    (chunk,) = read("a.pdf", make_pdf([("\u2f64户", 12)])).chunks
    assert chunk.answer == "用户"


def test_a_scanned_file_says_what_to_do_and_a_scanned_page_is_told(read: Any, make_pdf: Any) -> None:
    with pytest.raises(DocumentError, match=r"a\.pdf: no text in this PDF.*OCR.*\.docx"):
        read("a.pdf", make_pdf([], []))
    found = read("a.pdf", make_pdf([("九点开门。", 12)], []))
    assert [chunk.answer for chunk in found.chunks] == ["九点开门。"]
    assert found.warnings[0].endswith("a.pdf: no text on page 2; pictures are not read")


def test_a_password_is_told_and_one_that_only_forbids_copying_is_none(read: Any, make_pdf: Any) -> None:
    with pytest.raises(DocumentError, match=r"a\.pdf: it has a password"):
        read("a.pdf", make_pdf([("九点。", 12)], user="secret"))
    (chunk,) = read("a.pdf", make_pdf([("九点开门。", 12)], user="")).chunks
    assert chunk.answer == "九点开门。"


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"plain text", "not a whole PDF file"), (b"%PDF-1.7\ncut", "not a whole PDF file"), (b"", "no entry found")],
)
def test_what_is_no_pdf_says_how_to_mend_it(read: Any, data: bytes, told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        read("a.pdf", data)
