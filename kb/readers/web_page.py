"""HTML to sections: headings, paragraphs, lists and tables as the plain text a chat can show."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from kb.errors import DocumentError
from kb.plain_text import Section
from kb.questions import is_question
from kb.readers.tables import find_columns

_NO_TEXT = frozenset(
    {"-comment", "script", "style", "noscript", "template", "iframe", "object", "svg", "canvas", "audio", "video"}
    | {"nav", "aside", "footer", "select", "textarea", "datalist"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INNER = "h1, h2, h3, h4, h5, h6, summary, dt"
"""What makes a list or a table around it a layout."""
_BLOCKS = _HEADINGS.keys() | frozenset(
    {"address", "article", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "form", "header", "hgroup", "hr", "li", "main", "ol", "p", "section", "summary", "ul"}
    | {"table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"}
)
_ASKING = frozenset(("summary", "dt", "p", "li", *_HEADINGS))
_WHITE = re.compile(r"[ \t\r\n\f\xa0]+")
_CHINESE = "\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_WRAPPED = re.compile(f"(?<=[{_CHINESE}])[ \t]*\r?\n\\s*(?=[{_CHINESE}])")
_NOTES = ("#footnote", "#endnote")
"""What a converter of documents calls the marks of its notes."""
_BREAK = "\u2028"
_LONGEST_QUESTION = 60


def html_sections(html: str, file: str) -> list[Section]:
    """Split a page, or its main part, at its headings.

    `<summary>`, `<dt>` and paragraphs in bold are headings too when they ask something. Rows of a table that names the
    columns question and answer become `问：` and `答：` lines; of any other table, `name：value` items.

    Raises:
        DocumentError: the elements are nested too deeply.
    """
    tree = LexborHTMLParser(html)
    if tree.body is None:
        return []
    articles = tree.css("article")
    root = tree.css_first("main, [role=main]") or (articles[0] if len(articles) == 1 else tree.body)
    page = _Writer()
    title = tree.css_first("head > title")
    if title is not None and root.css_first("h1") is None:
        page.sections[0].heading = " ".join(title.text().split())
    try:
        page.walk_children(root)
    except RecursionError as error:
        raise DocumentError(f"{file}: its elements are nested too deeply; save the text as .docx or .md") from error
    page.end_block()
    return page.sections


class _Writer:
    """Collects the sections of a node; inline text gathers until its block ends."""

    def __init__(self) -> None:
        self.sections = [Section(level=0, heading="")]
        self._inline: list[str] = []

    def walk_children(self, node: LexborNode) -> None:
        for child in node.iter(include_text=True):
            self._walk(child)

    def end_block(self) -> None:
        text = _WHITE.sub(" ", _WRAPPED.sub("", "".join(self._inline)))
        self._inline.clear()
        self._add([line.strip() for line in text.strip(f" {_BREAK}").split(_BREAK)])

    def _add(self, lines: list[str]) -> None:
        if not any(lines):
            return
        under = self.sections[-1].lines
        if under:
            under.append("")
        under += lines

    def _walk(self, node: LexborNode) -> None:
        tag = node.tag or ""
        match tag:
            case _ if tag in _NO_TEXT or node.attributes.get("role") == "navigation":
                pass
            case "-text":
                self._inline.append(node.text_content or "")
            case "br":
                self._inline.append(_BREAK)
            case "img":
                self._inline.append(_with_url((node.attributes.get("alt") or "").strip(), node.attributes.get("src")))
            case "a":
                if not (node.attributes.get("href") or "").startswith(_NOTES):
                    self._link(node)
            case "pre":
                self.end_block()
                self._add(node.text().strip("\n").split("\n"))
            case _ if tag in _BLOCKS:
                self.end_block()
                self._block(node, tag)
                self.end_block()
            case _:
                self.walk_children(node)

    def _block(self, node: LexborNode, tag: str) -> None:
        if heading := _asked(node, tag):
            self.sections.append(Section(level=_HEADINGS.get(tag, 6), heading=heading))
        elif tag in ("ul", "ol") and not _is_layout(node):
            self._add(_list(node, tag))
        elif tag == "table" and node.css_first(f"{_INNER}, table table") is None:
            self._add(_table(node))
        else:
            self.walk_children(node)
            if tag == "details" and self.sections[-1].level == 6:
                # What follows belongs to the heading above, not to this question.
                self.end_block()
                self.sections.append(Section(level=6, heading=""))

    def _link(self, node: LexborNode) -> None:
        start = len(self._inline)
        self.walk_children(node)
        # A link around whole blocks has ended them already.
        text = "".join(self._inline[start:]).strip()
        if text:
            self._inline[start:] = [_with_url(text, node.attributes.get("href"))]


def _with_url(text: str, url: str | None) -> str:
    """Add an address a customer can open; one inside the page, or inside its site, is none."""
    is_open = url is not None and re.match(r"(?i)https?://", url)
    return f"{text}({url})" if is_open and url not in (text, f"{text}/") else text


def _asked(node: LexborNode, tag: str) -> str:
    """Return the heading a block is; empty when it is none."""
    if tag not in _ASKING:
        return ""
    text = " ".join(_lines(node))
    if tag in _HEADINGS:
        return text
    if tag in ("p", "li"):
        bold = "".join(part.text() for part in node.css("b, strong"))
        is_bold = bool(bold.strip()) and "".join(bold.split()) == "".join(node.text().split())
        return text if is_bold and len(text) <= _LONGEST_QUESTION and text.endswith(("?", "？")) else ""
    return text if is_question(text) else ""


def _is_layout(node: LexborNode) -> bool:
    return node.css_first(_INNER) is not None or any(_asked(item, "li") for item in node.css("li"))


def _lines(node: LexborNode) -> list[str]:
    """Return everything below a node as lines; a heading is one of them."""
    inner = _Writer()
    inner.walk_children(node)
    inner.end_block()
    lines = [line for section in inner.sections for line in (section.heading, *section.lines)]
    return [line for line in lines if line]


def _list(node: LexborNode, tag: str) -> list[str]:
    start = node.attributes.get("start") or ""
    lines: list[str] = []
    items = [child for child in node.iter() if child.tag in ("li", "ul", "ol")]
    number = int(start) - 1 if start.isdecimal() and len(start) < 5 else 0
    for item in items:
        if item.tag != "li":
            lines += [f"  {line}" for line in _list(item, item.tag or "")]
            continue
        number += 1
        first, *rest = _lines(item) or [""]
        lines += [f"{'• ' if tag == 'ul' else f'{number}. '}{first}".rstrip(), *(f"  {line}" for line in rest)]
    return lines


def _table(node: LexborNode) -> list[str]:
    rows = [[_lines(cell) for cell in row.iter() if cell.tag in ("td", "th")] for row in node.css("tr")]
    rows = [row for row in rows if any(row)]
    if not rows:
        return []
    names = [" ".join(cell) for cell in rows[0]]
    columns = find_columns(names)
    if len(rows) == 1 or len(names) == 1:
        return [" ".join("；".join(cell) for cell in row if cell) for row in rows]
    lines: list[str] = []
    for row in rows[1:]:
        if columns:
            cells = {name: row[place] if place < len(row) else [] for name, place in columns.items()}
            lines += ["问：" + " ".join(cells["question"]), "答：", *cells["answer"]]
            lines += ["相似问法：" + "；".join(cells["similar"])] if cells.get("similar") else []
            continue
        named = zip(names + [""] * len(row), (" ".join(cell) for cell in row), strict=False)
        lines.append("• " + "；".join(f"{name}：{value}" if name else value for name, value in named if value))
    return lines
