"""Tracebacks for the log: where it happened and what kind it was, without the values that went wrong.

In the further lines of an error PostgreSQL quotes whole rows, and pydantic whatever it could not read: what customers
wrote.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from types import TracebackType

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

LONGEST_WORDS = 200
_FOREIGN = re.compile(r"[^\x20-\x7e]+")
"""Our own errors and those of libraries are in English; customers mostly are not."""


def traceback_of(exc_info: ExcInfo) -> str:
    """Write an error down: its frames, its kind and the first line of its words; what led to it first."""
    return "\n".join(_lines(exc_info[1], seen=set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield "which led to:" if error.__cause__ else "while handling it:"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    words = words_of(error)
    yield f"{type(error).__module__}.{type(error).__qualname__}" + (f": {words}" if words else "")
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions, 1):
            yield f"{number} of {len(error.exceptions)}:"
            yield from _lines(part, seen)


def words_of(error: BaseException) -> str:
    """Return the first line of what an error says, as far as it is no customer's."""
    try:
        first = str(error).split("\n", 1)[0]
    except Exception:  # noqa: BLE001 -- an error that cannot say what it is must not hide where it was
        return ""
    return _FOREIGN.sub("…", first)[:LONGEST_WORDS]
