"""Articles to chunks: questions with their answers, similar questions, and passages; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from kb.chunks import Chunk
from kb.errors import DocumentError
from kb.plain_text import Section, sections
from kb.questions import answer_text, asked_by, find_pairs, is_question, take_similar
from kb.rows import make_entry_id, passage_content

PASSAGE_LENGTH = 500
"""Longest passage in characters; a longer body under a heading that asks nothing is cut into passages."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_SENTENCE = re.compile(r".+?(?:[。！？!?；;]+[”’」）)]*|\.(?=\s)|\n|\Z)\s*", re.DOTALL)


class ChunkWriter:
    """Makes the chunks of one source and keeps the ids of repeated questions apart."""

    def __init__(self, source: str, *, category: str = "") -> None:
        self.chunks: list[Chunk] = []
        self._source = source
        self._category = category
        self._seen: dict[str, int] = {}

    def entry(
        self,
        question: str,
        answer: str,
        similar: Iterable[str] = (),
        *,
        headings: tuple[str, ...] = (),
        category: str = "",
    ) -> None:
        """Add a question with its answer, and each similar question that differs from those before it."""
        entry_id = self._new_id(question)
        for asked in dict.fromkeys([question, *similar]):
            self.chunks.append(
                Chunk(
                    content=f"{asked}\n{answer}",
                    question=asked,
                    answer=answer,
                    entry_id=entry_id,
                    source=self._source,
                    category=category or self._category,
                    headings=headings,
                )
            )

    def passages(self, text: str, *, headings: tuple[str, ...]) -> None:
        """Add a text that asks nothing, cut to length; its pieces are one entry."""
        pieces = list(cut(text, PASSAGE_LENGTH))
        entry_id = self._new_id("\n".join(headings)) if pieces else ""
        for piece in pieces:
            self.chunks.append(
                Chunk(
                    content=passage_content(headings, piece),
                    question="",
                    answer=piece,
                    entry_id=entry_id,
                    source=self._source,
                    category=self._category,
                    headings=headings,
                )
            )

    def _new_id(self, text: str) -> str:
        times = self._seen[text] = self._seen.get(text, 0) + 1
        return make_entry_id(self._source, text if times == 1 else f"{text}\0{times}")


def split_markdown(text: str, *, source: str) -> list[Chunk]:
    """Split an article.

    A heading that asks, or a heading with nothing below it but a short text, is an entry; so are `问:`/`答:` pairs. A
    `相似问法:` line gives an entry more questions. Everything else becomes passages under their headings.

    Raises:
        DocumentError: the front matter is not YAML, or not a mapping.
    """
    facts, body = _front_matter(text.replace("\r\n", "\n"), source)
    category = facts.get("category")
    return split_sections(sections(body), source=source, category=str(category).strip() if category is not None else "")


def split_sections(parts: Sequence[Section], *, source: str, category: str = "") -> list[Chunk]:
    """Split an article that is already in sections, by the rules of `split_markdown`."""
    writer = ChunkWriter(source, category=category)
    path: list[Section] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        path = [above for above in path if above.level < part.level]
        headings = tuple(above.heading for above in path if above.heading)
        below = _below(parts, position)
        position += 1
        if below and is_question(part.heading) and not any(_holds_entries(other) for other in below):
            # Steps of one answer under headings of their own.
            part = _joined(part, below)
            position += len(below)
            below = []
        _write(writer, part, headings, is_leaf=not below)
        path.append(part)
    return writer.chunks


def cut(text: str, length: int) -> Iterator[str]:
    """Cut a text into pieces of at most `length` characters, at paragraph ends, else sentence ends, else anywhere."""
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        sentences = [paragraph] if len(paragraph) <= length else _SENTENCE.findall(paragraph)
        joint = "\n\n" if piece else ""
        for part in (sentence[i : i + length] for sentence in sentences for i in range(0, len(sentence), length)):
            if piece and len(piece) + len(joint) + len(part) > length:
                yield piece.strip()
                piece, joint = "", ""
            piece += joint + part
            joint = ""
    if piece.strip():
        yield piece.strip()


def _write(writer: ChunkWriter, part: Section, headings: tuple[str, ...], *, is_leaf: bool) -> None:
    prose, pairs = find_pairs(part.lines)
    question = asked_by(part.heading)
    if question and not pairs:
        lines, similar = take_similar(prose)
        answer = answer_text(lines)
        if answer and (is_question(part.heading) or (is_leaf and len(answer) <= PASSAGE_LENGTH)):
            writer.entry(question, answer, similar, headings=headings)
            return
    below = (*headings, part.heading) if part.heading else headings
    writer.passages("\n".join(prose), headings=below)
    for pair in pairs:
        writer.entry(pair.question, pair.answer, pair.similar, headings=below)


def _front_matter(text: str, source: str) -> tuple[Mapping[str, Any], str]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    try:
        facts = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 2
        raise DocumentError(
            f"{source}: line {line} of the front matter is not YAML; example: category: 售后"
        ) from error
    if facts is not None and not isinstance(facts, dict):
        raise DocumentError(f"{source}: the front matter is not `name: value` lines; example: category: 售后")
    return facts or {}, text[match.end() :]


def _below(parts: Sequence[Section], position: int) -> list[Section]:
    below = []
    for other in parts[position + 1 :]:
        if other.level <= parts[position].level:
            break
        below.append(other)
    return below


def _holds_entries(part: Section) -> bool:
    return is_question(part.heading) or bool(find_pairs(part.lines)[1])


def _joined(part: Section, below: Sequence[Section]) -> Section:
    lines = list(part.lines)
    for other in below:
        lines += ["", other.heading, *other.lines] if lines else [other.heading, *other.lines]
    return Section(level=part.level, heading=part.heading, lines=lines)
