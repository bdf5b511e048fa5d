"""PDF to sections: lines put together again to paragraphs, larger lines as headings."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import pypdfium2
from pypdfium2 import raw

from kb.errors import DocumentError
from kb.plain_text import Section

_HYPHENS = frozenset((0x02, 0xAD, 0xFFFE))
"""A hyphen at the end of a line that only divides the word, as the library marks it."""
_BREAKS = frozenset((0x0A, 0x0D)) | _HYPHENS
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f]")
_SYMBOL = re.compile("^\\s*[\ue000-\uf8ff]\\s*")
"""A bullet of a symbol font."""
_RADICALS = re.compile("[\u2e80-\u2fdf\uf900-\ufaff]")
_UNREADABLE = re.compile("[\ue000-\uf8ff\ufffd\0-\x08]")
_PAGE_NUMBER = re.compile(r"(?:第\s*)?[-–—]?\s*\d{1,4}\s*[-–—]?(?:\s*页)?(?:\s*[/,，]?\s*(?:共\s*)?\d{1,4}\s*页?)?")
_ENDS = tuple("。！？!?；;：:…”」』）)")
_BEGINS = re.compile(
    r"^(?:[•●○■□◆▪▶➢\-–*·]|\d{1,3}(?:\.\d{1,3})*[.、)）](?!\d)|[（(]\d{1,3}[)）]|[一二三四五六七八九十]{1,3}[、.]|第.{1,3}[章节条]|"
    r"(?:问题?|答案?|相似问法?|Q|A)\s*\d*\s*[:：])"
)
_CHINESE = re.compile("[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
_LARGER = 1.12
"""Size of a heading's letters against the text's: 12 to 14 points is one, rounding is none."""
_LONGEST_HEADING = 60
_FULL = 0.75
"""Share of the page's longest line from which on a line was broken for want of room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    text: str
    size: float
    """Of its first letter, in points."""
    page: int

    @property
    def width(self) -> float:
        return self.size * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in self.text)


def read_pdf(data: bytes, file: str, warnings: list[str]) -> list[Section]:
    """Read the text of a PDF, without page numbers and running titles; pages that are pictures are told.

    Raises:
        DocumentError: it is not a PDF, is damaged, has a password, or holds no text.
    """
    try:
        with closing(pypdfium2.PdfDocument(data)) as pdf:
            pages = [_page(pdf, number) for number in range(len(pdf))]
            pictures = [number for number, page in enumerate(pages, 1) if not page and _is_picture(pdf[number - 1])]
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise DocumentError(f"{file}: it has a password; save it without one") from error
        raise DocumentError(f"{file}: this is not a whole PDF file; open it and export it as PDF again") from error
    text = "".join(line.text for page in pages for line in page)
    if len(_UNREADABLE.findall(text)) * 4 >= len(text):
        raise DocumentError(
            f"{file}: no text in this PDF, its pages are pictures; let a program recognise the text (OCR), "
            "or import the original as .docx or .md"
        )
    if pictures:
        warnings.append(f"{file}: no text on page {', '.join(map(str, pictures))}; pictures are not read")
    return _sections([line for page in _without_margins(pages) for line in page])


def _page(pdf: pypdfium2.PdfDocument, number: int) -> list[_Line]:
    with closing(pdf[number]) as page, closing(page.get_textpage()) as text:
        codes = [raw.FPDFText_GetUnicode(text, place) for place in range(text.count_chars())]
        lines = []
        start = 0
        for place, code in enumerate([*codes, 0xA]):
            if code not in _BREAKS:
                continue
            letters = "".join(map(chr, codes[start:place])) + ("\xad" if code in _HYPHENS else "")
            if letters.strip():
                first = start + len(letters) - len(letters.lstrip())
                lines.append(_Line(text=_tidy(letters), size=_size(text, first), page=number + 1))
            start = place + 1
        return lines


def _is_picture(page: pypdfium2.PdfPage) -> bool:
    with closing(page):
        return any(True for _ in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]))


def _size(text: pypdfium2.PdfTextPage, place: int) -> float:
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(text, place, matrix)
    return round(float(raw.FPDFText_GetFontSize(text, place)) * math.hypot(matrix.c, matrix.d), 1)


def _tidy(letters: str) -> str:
    """Clean a line; some programs write characters as the radicals that look like them, and no search finds those."""
    whole = letters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _RADICALS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _CONTROLS.sub("", whole))
    return " ".join(_SYMBOL.sub("• ", text).split())


def _without_margins(pages: Sequence[list[_Line]]) -> Iterator[list[_Line]]:
    """Leave out page numbers, and a first or last line that most pages share."""
    ends = Counter(text for page in pages for text in {line.text for line in (*page[:1], *page[-1:])})
    shared = {text for text, times in ends.items() if times >= 3 and times * 2 > len(pages)}
    for page in pages:
        last = len(page) - 1
        yield [
            line
            for place, line in enumerate(page)
            if place not in (0, last) or not (line.text in shared or _PAGE_NUMBER.fullmatch(line.text))
        ]


def _sections(lines: Sequence[_Line]) -> list[Section]:
    sizes: Counter[float] = Counter()
    widest: dict[int, float] = {}
    for line in lines:
        sizes[line.size] += len(line.text)
        widest[line.page] = max(widest.get(line.page, 0), line.width)
    body = sizes.most_common(1)[0][0] if sizes else 0
    found = [Section(level=0, heading="")]
    larger = sorted({line.size for line in lines if line.size > body * _LARGER}, reverse=True)
    for size, group in groupby(lines, key=lambda line: line.size if line.size in larger else 0.0):
        for paragraph in _paragraphs(list(group), widest):
            if size and len(paragraph) <= _LONGEST_HEADING:
                found.append(Section(level=min(larger.index(size) + 1, 6), heading=paragraph))
            else:
                found[-1].lines.append(paragraph)
    return found


def _paragraphs(lines: Sequence[_Line], widest: Mapping[int, float]) -> Iterator[str]:
    paragraph: list[str] = []
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        paragraph.append(line.text)
        is_divided = line.text.endswith("\xad")
        is_full = line.width >= widest[line.page] * _FULL and not line.text.endswith(_ENDS)
        if following is None or _BEGINS.match(following.text) or not (is_divided or is_full):
            yield _joined(paragraph)
            paragraph = []


def _joined(lines: Sequence[str]) -> str:
    """Join broken lines: Chinese without a space, a divided word without its hyphen."""
    text = ""
    for line in lines:
        if text.endswith("\xad"):
            text = text[:-1]
        elif text and not (_CHINESE.match(text[-1]) or _CHINESE.match(line)):
            text += " "
        text += line
    return text.removesuffix("\xad")
