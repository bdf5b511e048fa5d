"""What a customer answers to a menu: a click, a number, or the words of an option."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from graph.state import Clarification, Option, PastOption, Question, Turn, TurnLine
from tools.messages import Choice, ChoiceSource, delivery_key
from tools.ports import Outbox

DIGITS = {word: number for number, words in enumerate(("1一", "2二两", "3三", "4四"), start=1) for word in words}
NUMBER = re.compile(r"(?:我?(?:选择?|想?问)的?是?)?第?([1-4一二两三四])(?:个|项|条|号)?(?:吧|的)?")
NUMBERED = re.compile(r"^[1-4][.、)]")
"""In front of an option that was copied from the list."""
EDGES = " .,:;!?。、()「」“”\"'\ufe0f\u20e3"
"""What may stand around a choice, the frame of a keycap emoji included."""

GREETED = "greeted_"
"""How the ids of a greeting's options begin."""
OPTION_ID_AT_MOST = 128

OptionLike = TypeVar("OptionLike", Option, PastOption)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One line that chooses from the open menu."""

    option: Option
    source: ChoiceSource


def option_id_for(turn_id: str, entry_id: str) -> str:
    """Name an option: the same whenever its node runs again, and nothing anybody could make up."""
    return delivery_key(turn_id, f"option:{entry_id}")


def greeting_option_id(entry_id: str) -> str | None:
    """Name an option of a greeting, which is made before there is a conversation: it tells the entry by itself.

    None when the entry's id does not fit.
    """
    option_id = GREETED + entry_id.encode().hex()
    return option_id if len(option_id) <= OPTION_ID_AT_MOST else None


def pick(line: TurnLine, clarification: Clarification | None) -> Pick | None:
    """Return what a line chooses from the open menu, None when it is something else."""
    if clarification is None or line["kind"] != "text":
        return None
    options = clarification["options"]
    if "choice" in line:
        clicked = _by_id(options, line["choice"])
        return Pick(option=clicked, source="click") if clicked else None
    typed = _by_number(options, line["text"]) or _by_text(options, line["text"])
    return Pick(option=typed, source="typed") if typed else None


def past_option(line: TurnLine, offered: Iterable[PastOption]) -> PastOption | None:
    """Return the option of an earlier menu, or of a greeting, that a line clicks."""
    if "choice" not in line:
        return None
    return _by_id(offered, line["choice"]) or _greeted(line)


def settled(picked: Pick, clarification: Clarification) -> Question:
    """Make the question a pick leads to: answered by its entry, or the one asked at first, for a person."""
    option = picked.option
    if not option["entry_id"]:
        return {
            "text": clarification["question"],
            "queries": [],
            "is_whole": False,
            "hits": [],
            "confidence": clarification["confidence"],
            "is_sure": False,
            "decision": "escalate",
            "handoff_reason": "none_of_these",
            "is_answered": False,
        }
    return {
        "text": option["question"],
        "queries": [option["question"]],
        "is_whole": False,
        "hits": [dict(option)],
        "is_sure": True,
        "decision": "answer",
        "is_answered": False,
    }


async def record_choice(turn: Turn, outbox: Outbox) -> None:
    """Record what this turn chose, once what follows from it was said."""
    if "choice" not in turn:
        return
    choice = turn["choice"]
    await outbox.record_choice(
        Choice(
            thread_id=turn["thread_id"],
            turn_id=turn["id"],
            question=choice["question"],
            shown=tuple(choice["shown"]),
            entry_id=choice["entry_id"],
            source=choice["source"],
            confidence=choice["confidence"],
        )
    )


def _by_id(options: Iterable[OptionLike], option_id: str) -> OptionLike | None:
    return next((option for option in options if option["option_id"] == option_id), None)


def _greeted(line: TurnLine) -> PastOption | None:
    option_id = line["choice"]
    if not option_id.startswith(GREETED):
        return None
    try:
        entry_id = bytes.fromhex(option_id.removeprefix(GREETED)).decode()
    except ValueError:
        return None
    return {"option_id": option_id, "entry_id": entry_id, "question": line["text"]} if entry_id else None


def _by_number(options: list[Option], text: str) -> Option | None:
    match = NUMBER.fullmatch(_tidy(text))
    number = DIGITS[match[1]] if match else 0
    return options[number - 1] if 0 < number <= len(options) else None


def _by_text(options: list[Option], text: str) -> Option | None:
    said = _tidy(NUMBERED.sub("", unicodedata.normalize("NFKC", text).strip()))
    for option in options:
        ways = [option["question"]]
        if not option["entry_id"]:
            # 「都不是」 is enough; its other half alone only asks for a person.
            ways.append(re.split(r"[,，]", option["question"])[0])
        if said and said in map(_tidy, ways):
            return option
    return None


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip(EDGES).casefold()
