"""The robot of 微信客服 itself: the questions it was taught, and how it did (docs 95971, 95972, 95489)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from tools.errors import ChannelUnavailableError
from tools.wecom.message_words import KIND_LABELS
from tools.wecom.transport import WecomTransport, rows_of

PAGE = 500
SPAN_DAYS = 31
"""Days one call may ask for."""
OLDEST_DAYS = 180
"""How far back figures go, yesterday being the first day."""
BEIJING = timezone(timedelta(hours=8))
"""Where WeCom's days begin and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of questions."""

    group_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One question the robot was taught."""

    intent_id: str
    question: str
    similar: tuple[str, ...]
    answer: str
    attachments: tuple[str, ...] = ()
    """What the answer brings along, in words: the files themselves are not given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """One day of one account."""

    day: date
    sessions: int
    customers: int
    messages: int
    robot_sessions: int
    """Sessions that went to the robot, or to an app's API."""
    transfer_rate: float | None
    """The share of the robot's sessions that went on to a person, 0..1; None: there were none."""
    hit_rate: float | None
    """The share of the messages to the robot that met its knowledge, 0..1; None: it was not asked."""


class NativeRobot:
    """Reads what the robot knows and how it did; changes nothing."""

    def __init__(self, client: WecomTransport) -> None:
        self._client = client

    async def groups(self) -> tuple[Group, ...]:
        """List the groups of questions.

        Raises:
            ChannelError: see `tools.errors`.
        """
        rows = await self._pages("kf/knowledge/list_group", {}, "group_list", "group_id")
        return tuple(Group(group_id=row["group_id"], name=str(row.get("name") or "").strip()) for row in rows)

    async def intents(self, group: Group) -> tuple[Intent, ...]:
        """List the questions of a group.

        Raises:
            ChannelError: see `tools.errors`.
        """
        asked = {"group_id": group.group_id}
        return tuple(map(_intent, await self._pages("kf/knowledge/list_intent", asked, "intent_list", "intent_id")))

    async def figures(self, open_kfid: str, first: date, last: date) -> tuple[DayFigures, ...]:
        """Return the days from first to last that have figures, oldest first.

        Raises:
            ChannelError: see `tools.errors`.
        """
        found: dict[date, DayFigures] = {}
        while first <= last:
            end = min(last, first + timedelta(days=SPAN_DAYS - 1))
            body = {"open_kfid": open_kfid, "start_time": _midnight(first), "end_time": _midnight(end)}
            answer = await self._client.call("kf/get_corp_statistic", body, repeatable=True)
            for row in rows_of(answer, "statistic_list", "stat_time", int):
                day = datetime.fromtimestamp(row["stat_time"], BEIJING).date()
                # A day on which nothing happened, or that is not counted yet, comes without figures.
                if isinstance(figures := row.get("statistic"), dict):
                    found[day] = _figures(day, figures)
            first = end + timedelta(days=1)
        return tuple(found[day] for day in sorted(found))

    async def _pages(self, path: str, asked: Mapping[str, str], name: str, key: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        cursor = ""
        while True:
            body: dict[str, Any] = {**asked, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
            answer = await self._client.call(path, body, repeatable=True)
            found |= {row[key]: row for row in rows_of(answer, name, key)}
            if not answer.get("has_more"):
                return list(found.values())
            following = answer.get("next_cursor")
            if not isinstance(following, str) or following in {"", cursor}:
                # Half a list would look as if the rest had been deleted.
                raise ChannelUnavailableError(f"WeCom {path}: there is more, and no cursor that leads to it")
            cursor = following


def _intent(row: Mapping[str, Any]) -> Intent:
    question = row.get("question")
    inner = question if isinstance(question, dict) else {}
    # The vendor's table has both beside the question, its sample inside.
    similar, answers = (row.get(name) or inner.get(name) for name in ("similar_questions", "answers"))
    answer = next((each for each in answers if isinstance(each, dict)), {}) if isinstance(answers, list) else {}
    texts = [_text(each) for each in _dicts(similar.get("items") if isinstance(similar, dict) else None)]
    return Intent(
        intent_id=row["intent_id"],
        question=_text(inner),
        similar=tuple(filter(None, texts)),
        answer=_text(answer),
        attachments=tuple(map(_attachment, _dicts(answer.get("attachments")))),
    )


def _attachment(row: Mapping[str, Any]) -> str:
    kind = str(row.get("msgtype") or "")
    payload = row.get(kind)
    details = payload if isinstance(payload, dict) else {}
    said = (" ".join(str(details.get(name) or "").split()) for name in ("name", "title", "url"))
    return " ".join([f"[{KIND_LABELS.get(kind, '附件')}]", *filter(None, said)])


def _text(holder: Mapping[str, Any]) -> str:
    text = holder.get("text")
    return str(text.get("content") or "").strip() if isinstance(text, dict) else ""


def _dicts(rows: object) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), BEIJING).timestamp())


def _figures(day: date, row: Mapping[str, Any]) -> DayFigures:
    def count(name: str) -> int:
        value = row.get(name)
        return int(value) if isinstance(value, int | float) else 0

    def rate(name: str) -> float | None:
        value = row.get(name)
        return float(value) if isinstance(value, int | float) else None

    return DayFigures(
        day=day,
        sessions=count("session_cnt"),
        customers=count("customer_cnt"),
        messages=count("customer_msg_cnt"),
        robot_sessions=count("ai_session_reply_cnt"),
        transfer_rate=rate("ai_transfer_rate"),
        hit_rate=rate("ai_knowledge_hit_rate"),
    )
