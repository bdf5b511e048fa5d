"""Files to chunks."""

from pathlib import Path

import pytest

from kb.errors import DocumentError
from kb.readers import read_articles


def test_a_folder_is_walked_and_sources_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.md").write_text("### 几点?\n\n九点。", encoding="utf-8")
    (tmp_path / "sub" / "b.csv").write_text("问题,答案\n哪里?,北京\n", encoding="utf-8")
    (tmp_path / ".git" / "c.md").write_text("### 不读?\n\n不读。", encoding="utf-8")
    (tmp_path / "photo.png").write_bytes(b"x")
    (tmp_path / "empty.md").write_text("\n", encoding="utf-8")
    found = read_articles([tmp_path])
    assert [(chunk.source, chunk.question) for chunk in found.chunks] == [("a.md", "几点?"), ("sub/b.csv", "哪里?")]
    assert [warning.split(": ")[1].split(";")[0] for warning in found.warnings] == ["skipped", "no entry found"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [
        ["问题", "答案", "相似问", "分类"],
        ["几点?", '"九点,\n到六点"', "何时；营业时间|几时", "门店"],
        ["", "", "", ""],
    ]
    (tmp_path / "t.csv").write_bytes("\r\n".join(delimiter.join(row) for row in rows).encode(encoding))
    chunks = read_articles([tmp_path / "t.csv"]).chunks
    assert [chunk.question for chunk in chunks] == ["几点?", "何时", "营业时间", "几时"]
    assert {(chunk.answer.replace("\r", ""), chunk.category) for chunk in chunks} == {("九点,\n到六点", "门店")}


def test_english_columns_are_read_and_incomplete_rows_are_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("Question,Answer\nOpen when?,At nine\nWhere?\n", encoding="utf-8")
    found = read_articles([file])
    assert [chunk.question for chunk in found.chunks] == ["Open when?"]
    assert "row 3" in found.warnings[0]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.png", b"x", r"\.md, \.markdown, \.csv, \.xlsx, \.docx, \.pdf, \.html, \.htm"),
        ("a.xls", b"x", r"save it as \.xlsx"),
        ("a.csv", "标题甲,乙\n1,2\n".encode(), r"a\.csv: row 1 must name the columns question and answer"),
        ("a.csv", b'"' + b"x" * 140000 + b'"', "not a CSV table"),
        ("a.md", b"\x00\x01\xff", "not a text file"),
        ("a.md", b"", "no entry found"),
        ("a.md", "# 只有标题".encode(), "no entry found"),
    ],
)
def test_what_cannot_be_imported_says_why(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DocumentError, match=told):
        read_articles([tmp_path / name])


def test_missing_paths_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file"):
        read_articles([tmp_path / "x.md"])
    with pytest.raises(DocumentError, match="no file to import"):
        read_articles([tmp_path])


def test_two_files_of_one_name_are_refused_and_one_named_twice_is_read_once(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "faq.md").write_text("### 几点?\n\n九点。", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"faq\.md"):
        read_articles([tmp_path / "a", tmp_path / "b"])
    assert len(read_articles([tmp_path / "a", tmp_path / "a" / "faq.md"]).chunks) == 1
