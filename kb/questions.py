"""Recognising questions, answers and similar questions in lines of plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_NUMBER = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3})*[.、)）]|[（(]\d{1,3}[)）]|[一二三四五六七八九十]{1,3}[、.])\s*(?=\S)")
_BULLET = re.compile(r"^\s*(?:•|\d{1,3}\.)\s+")
_ASKED = re.compile(r"^(?:•\s+)?(?:问题|问|Question|Q)\s*\d*\s*[:：]\s*(.*)$", re.IGNORECASE)
_ANSWERED = re.compile(r"^(?:•\s+|\s+)?(?:答案|回答|答复|答|Answer|A)\s*\d*\s*[:：]\s*(.*)$", re.IGNORECASE)
_BOTH = re.compile(
    r"^\s*(?:问题|问|Question|Q)\s*\d*\s*[:：]\s*(.+?)\s*(?:答案|回答|答|\bAnswer|\bA)\s*\d*\s*[:：]\s*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_SIMILAR = re.compile(
    r"^\s*(?:•\s+)?(?:(?:相似|类似|其他|同义)(?:问法|问题|问)|similar(?: questions?)?)\s*[:：]\s*(.*)$", re.IGNORECASE
)
_QUESTION = re.compile(
    r"[?？]\s*$|怎么|怎样|如何|什么|为何|多少|多久|吗$|呢$|哪[里些个儿]|能否|能不能|可不可以|可以.+吗|是否|是不是|有没有|几[天个点]|"
    r"^(?:how|what|when|where|why|who|which|can|could|do|does|is|are|should|may|will)\b",
    re.IGNORECASE,
)
_FIRST_SENTENCE = re.compile(r"^([^?？\n]{2,60}[?？])\s*(\S.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with its answer, as found in the text."""

    question: str
    answer: str
    similar: tuple[str, ...] = ()


def is_question(heading: str) -> bool:
    """Whether a line asks something."""
    return bool(_QUESTION.search(heading) or _ASKED.match(heading))


def asked_by(heading: str) -> str:
    """Return a heading without its number and without `问:`."""
    bare = _NUMBER.sub("", heading)
    match = _ASKED.match(bare)
    return match[1].strip() if match else bare.strip()


def find_pairs(lines: Sequence[str]) -> tuple[list[str], list[Pair]]:
    """Separate `问:`/`答:` pairs from the lines before them; a question without an answer stays a line."""
    prose: list[str] = []
    pairs: list[Pair] = []
    starts = [index for index, line in enumerate(lines) if _ASKED.match(line)]
    prose += lines[: starts[0]] if starts else lines
    for start, end in pairwise([*starts, len(lines)]):
        block = list(lines[start:end])
        block[0] = _ASKED.sub(r"\1", block[0])
        answer_at = next((index for index, line in enumerate(block) if _ANSWERED.match(line)), 0)
        if not answer_at:
            prose += lines[start:end]
            continue
        head, head_similar = take_similar(block[:answer_at])
        body, body_similar = take_similar(block[answer_at:])
        question, answer = " ".join(" ".join(head).split()), answer_text(body)
        if question and answer:
            pairs.append(Pair(question=question, answer=answer, similar=(*head_similar, *body_similar)))
    return prose, pairs


def take_similar(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the similar questions out of the lines: on the line that names them, or listed below it."""
    kept: list[str] = []
    similar: list[str] = []
    is_listing = False
    for line in lines:
        if match := _SIMILAR.match(line):
            similar += split_similar(match[1])
            is_listing = not match[1].strip()
        elif is_listing and (not line.strip() or _BULLET.match(line)):
            similar += split_similar(_BULLET.sub("", line))
        else:
            is_listing = False
            kept.append(line)
    return kept, similar


def answer_text(lines: Sequence[str]) -> str:
    """Join the lines of an answer, without `答:`."""
    text = "\n".join(line.rstrip() for line in lines).strip()
    first, newline, rest = text.partition("\n")
    if match := _ANSWERED.match(first):
        text = (match[1] + newline + rest).strip()
    return re.sub(r"\n{3,}", "\n\n", text)


def split_similar(text: str) -> list[str]:
    """Split a list of questions at `;`, `；`, `|` and line ends."""
    return [item.strip() for item in re.split(r"[;；|｜\n]", text) if item.strip()]


def split_pair(content: str) -> tuple[str, str]:
    """Separate a text typed in by hand into question and answer; a text that asks nothing has no question."""
    if match := _BOTH.match(content):
        return match[1].strip(), match[2].strip()
    first, _, rest = content.partition("\n")
    if rest.strip() and len(first) <= 60 and is_question(first):
        return first.strip(), rest.strip()
    if match := _FIRST_SENTENCE.match(content):
        return match[1].strip(), match[2].strip()
    return "", content
