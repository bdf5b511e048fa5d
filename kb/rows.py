"""How a chunk is kept in a row, and the one way to read a row back, whoever wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from kb.chunks import Chunk
from kb.questions import split_pair


def make_entry_id(source: str, text: str) -> str:
    """Return the id an entry keeps over re-imports, as long as its source and question stay."""
    return hashlib.blake2b(f"{source}\0{text}".encode("utf-8", "replace"), digest_size=10).hexdigest()


def passage_content(headings: tuple[str, ...], passage: str) -> str:
    """Put a passage under its headings."""
    return "\n".join(filter(None, (" › ".join(headings), passage)))


def row_metadata(chunk: Chunk) -> dict[str, Any]:
    """Return the metadata of a row; the answer stands in the content only, so that editing that is enough."""
    return {
        **dict(chunk.facts),
        "entry_id": chunk.entry_id,
        "source": chunk.source,
        "question": chunk.question,
        "category": chunk.category,
        "headings": list(chunk.headings),
    }


def parse_row(content: str, metadata: Mapping[str, Any]) -> Chunk:
    """Read a stored row, imported or typed in by hand.

    The metadata may name `question`, `answer`, `category`, `entry_id`, `source` and `headings`; what it lacks is read
    from the content: `问:…答:…`, a first line or sentence that asks, or else a passage.
    """
    question, answer = _text(metadata.get("question")), _text(metadata.get("answer"))
    source, listed = _text(metadata.get("source")), metadata.get("headings")
    headings = tuple(map(str, listed)) if isinstance(listed, list) else ()
    body = content.strip()
    if question:
        answer = answer or body.removeprefix(question).strip() or body
    elif answer:
        # Somebody put the question alone into the content.
        question = body if "\n" not in body and body != answer and len(body) <= 60 else ""
    elif "question" in metadata:
        answer = body.removeprefix(passage_content(headings, "")).strip() or body
    else:
        question, answer = split_pair(body)
    return Chunk(
        content=content,
        question=question,
        answer=answer,
        entry_id=_text(metadata.get("entry_id")) or make_entry_id(source, question or content),
        source=source,
        category=_text(metadata.get("category")),
        headings=headings,
    )


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
