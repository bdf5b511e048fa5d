"""Markdown to the plain text a chat can show: sections of lines, without any markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

_TAG = re.compile(r"<[^>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# CommonMark does not close emphasis between punctuation and a Chinese character: `**问：**如何` stays as typed.
_LEFT_OVER = re.compile(r"\*\*(\S(?:.*?\S)?)\*\*")


@dataclass(slots=True, kw_only=True)
class Section:
    """A heading with the lines below it, up to the next heading of any level."""

    level: int
    """1..6; 0 for the text before the first heading."""
    heading: str
    lines: list[str] = field(default_factory=list)
    """Blocks are separated by an empty line."""


def sections(markdown: str) -> list[Section]:
    """Split Markdown at its headings."""
    found = [Section(level=0, heading="")]
    for node in SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(markdown)).children:
        if node.type == "heading":
            found.append(Section(level=int(node.tag[1]), heading=" ".join("\n".join(_block(node)).split())))
            continue
        lines = list(_block(node))
        if lines and found[-1].lines:
            found[-1].lines.append("")
        found[-1].lines += lines
    return found


def _block(node: SyntaxTreeNode) -> Iterator[str]:
    match node.type:
        case "inline":
            yield from _LEFT_OVER.sub(r"\1", _inline(node.children)).strip().split("\n")
        case "bullet_list" | "ordered_list":
            yield from _list(node)
        case "table":
            yield from _table(node)
        case "fence" | "code_block":
            yield from node.content.rstrip("\n").split("\n")
        case "html_block":
            stripped = _TAG.sub("", _BREAK.sub("\n", node.content)).strip()
            yield from stripped.split("\n") if stripped else []
        case _:
            for index, child in enumerate(node.children):
                if index and node.type == "blockquote":
                    yield ""
                yield from _block(child)


def _list(node: SyntaxTreeNode) -> Iterator[str]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        marker = "• " if node.type == "bullet_list" else f"{number}. "
        lines = [line for child in item.children for line in _block(child)]
        for index, line in enumerate(lines or [""]):
            yield (marker + line if index == 0 else f"  {line}").rstrip()


def _table(node: SyntaxTreeNode) -> Iterator[str]:
    rows = [
        [" ".join("\n".join(_block(cell)).split()) for cell in row.children]
        for part in node.children
        for row in part.children
    ]
    names = rows[0]
    for row in rows[1:]:
        yield "• " + "；".join(
            f"{name}：{value}" if name else value for name, value in zip(names, row, strict=True) if value
        )


def _inline(nodes: Sequence[SyntaxTreeNode]) -> str:
    return "".join(_span(node) for node in nodes)


def _span(node: SyntaxTreeNode) -> str:
    match node.type:
        case "text" | "code_inline":
            return node.content
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            text, url = _inline(node.children), str(node.attrs.get("href", ""))
            return text if url in ("", text, f"mailto:{text}") else f"{text}({url})"
        case "image":
            return f"{node.content}({node.attrs.get('src', '')})"
        case "html_inline":
            return "\n" if _BREAK.fullmatch(node.content) else ""
        case _:
            return _inline(node.children)
