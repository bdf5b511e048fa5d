"""The robot of 微信客服 itself: what an administrator taught it, and the figures of each day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone

from tools.simulators.wecom_outbound import Json, RefusedError
from tools.simulators.wecom_state import KfState

PAGE_AT_MOST = 1000
PAGE_USUALLY = 500
SPAN_DAYS = 31
OLDEST_DAYS = 180
INTENTS_AT_MOST = 200
BEIJING = timezone(timedelta(hours=8))


class NativeKnowledge:
    """Groups of questions, and statistics by account and day."""

    def __init__(self, *, kf: KfState, clock: Callable[[], float]) -> None:
        self.page = PAGE_AT_MOST
        """Rows of a page, whatever is asked for: the vendor may give fewer."""
        self.groups: dict[str, str] = {"group-default": "默认分组"}
        self.intents: dict[str, Json] = {}
        self.statistics: dict[tuple[str, date], Json] = {}
        self._kf = kf
        self._clock = clock

    def add_group(self, name: str) -> str:
        """Make a group in the console; returns its id."""
        group_id = self._kf.next_id("group")
        self.groups[group_id] = name
        return group_id

    def teach(
        self,
        question: str,
        answer: str,
        *,
        group_id: str = "group-default",
        similar: Sequence[str] = (),
        attachments: Sequence[Json] = (),
    ) -> str:
        """Teach the robot a question in the console; returns its id."""
        taken = [each for each in self.intents.values() if each["group_id"] == group_id]
        assert group_id in self.groups, "no such group"
        assert len(taken) < INTENTS_AT_MOST, "the group is full"
        intent_id = self._kf.next_id("intent")
        self.intents[intent_id] = {
            "group_id": group_id,
            "intent_id": intent_id,
            "question": _text(question),
            "similar_questions": {"items": [_text(each) for each in similar]},
            "answers": [{**_text(answer), "attachments": list(attachments)}],
        }
        return intent_id

    def routes(self) -> dict[str, tuple[str, Callable[[Json], Json]]]:
        """Every call with its method and who answers it."""
        return {
            "kf/knowledge/list_group": ("POST", self._list_groups),
            "kf/knowledge/list_intent": ("POST", self._list_intents),
            "kf/get_corp_statistic": ("POST", self._corp_statistic),
        }

    def _list_groups(self, body: Json) -> Json:
        rows: list[Json] = [
            {"group_id": group_id, "name": name, "is_default": int(group_id == "group-default")}
            for group_id, name in self.groups.items()
        ]
        return self._paged(body, "group_list", [row for row in rows if _is_asked(row, body, "group_id")])

    def _list_intents(self, body: Json) -> Json:
        if body.get("group_id") and body["group_id"] not in self.groups:
            raise RefusedError(40058, "invalid group_id")
        names = ("group_id", "intent_id")
        rows = [row for row in self.intents.values() if all(_is_asked(row, body, name) for name in names)]
        return self._paged(body, "intent_list", rows)

    def _paged(self, body: Json, name: str, rows: list[Json]) -> Json:
        limit = int(body.get("limit", PAGE_USUALLY))
        if not 1 <= limit <= PAGE_AT_MOST:
            raise RefusedError(40058, "invalid limit")
        start = int(body.get("cursor") or 0)
        end = start + min(limit, self.page)
        answer: Json = {name: rows[start:end], "has_more": int(end < len(rows))}
        return answer | ({"next_cursor": str(end)} if end < len(rows) else {})

    def _corp_statistic(self, body: Json) -> Json:
        account = self._kf.check_account(body.get("open_kfid"))
        first, last = (self._day(body.get(name)) for name in ("start_time", "end_time"))
        today = datetime.fromtimestamp(self._clock(), BEIJING).date()
        if not first <= last or (last - first).days >= SPAN_DAYS:
            raise RefusedError(40058, "invalid time range")
        if last >= today or first < today - timedelta(days=OLDEST_DAYS):
            raise RefusedError(40058, "time out of range")
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return {"statistic_list": [self._row(account, day) for day in days]}

    def _row(self, account: str, day: date) -> Json:
        row: Json = {"stat_time": int(datetime.combine(day, time(), BEIJING).timestamp())}
        figures = self.statistics.get((account, day))
        return row | ({"statistic": figures} if figures is not None else {})

    @staticmethod
    def _day(value: object) -> date:
        if not isinstance(value, int):
            raise RefusedError(40058, "invalid time")
        return datetime.fromtimestamp(value, BEIJING).date()


def _text(content: str) -> Json:
    return {"text": {"content": content}}


def _is_asked(row: Json, body: Json, name: str) -> bool:
    return not body.get(name) or row[name] == body[name]
