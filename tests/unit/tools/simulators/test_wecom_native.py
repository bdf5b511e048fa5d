"""The simulator's own robot: pages of groups and questions, and the limits of the figures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tools.simulators.wecom import WecomSimulator

GROUPS, INTENTS, FIGURES = "kf/knowledge/list_group", "kf/knowledge/list_intent", "kf/get_corp_statistic"


async def test_groups_and_questions_are_served_in_pages(sim: WecomSimulator, caller: Any) -> None:
    group = sim.native.add_group("售后")
    for number in range(3):
        sim.native.teach(f"问{number}", f"答{number}", group_id=group, similar=["也问"])
    first = await caller.post(GROUPS, {"limit": 1})
    assert (first["has_more"], [row["is_default"] for row in first["group_list"]]) == (1, [1])
    second = await caller.post(GROUPS, {"limit": 1, "cursor": first["next_cursor"]})
    assert (second["has_more"], [row["name"] for row in second["group_list"]]) == (0, ["售后"])
    sim.native.page = 2
    page = await caller.post(INTENTS, {"group_id": group})
    assert (page["has_more"], len(page["intent_list"])) == (1, 2)
    assert page["intent_list"][0]["similar_questions"]["items"] == [{"text": {"content": "也问"}}]
    assert (await caller.post(INTENTS, {"group_id": "group-default"}))["intent_list"] == []


async def test_what_the_vendor_refuses_is_refused(sim: WecomSimulator, caller: Any) -> None:
    assert (await caller.post(GROUPS, {"limit": 1001}))["errcode"] == 40058
    assert (await caller.post(INTENTS, {"group_id": "nobody's"}))["errcode"] == 40058


@pytest.mark.parametrize(
    ("span", "code"),
    [
        ((31, 1), 0),
        ((1, 1), 0),
        ((180, 150), 0),
        ((32, 1), 40058),
        ((1, 0), 40058),
        ((181, 170), 40058),
        ((1, 2), 40058),
    ],
)
async def test_figures_go_from_yesterday_back_in_spans_of_a_month(
    sim: WecomSimulator, caller: Any, clock: Any, span: tuple[int, int], code: int
) -> None:
    start, end = (int(clock()) - days * 86400 for days in span)
    body = {"open_kfid": sim.account, "start_time": start, "end_time": end}
    assert (await caller.post(FIGURES, body))["errcode"] == code


async def test_a_day_with_figures_has_them(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    yesterday = (datetime.fromtimestamp(clock(), UTC) + timedelta(hours=8)).date() - timedelta(days=1)
    sim.native.statistics[sim.account, yesterday] = {"session_cnt": 2}
    body = {"open_kfid": sim.account, "start_time": int(clock()) - 2 * 86400, "end_time": int(clock()) - 86400}
    rows = (await caller.post(FIGURES, body))["statistic_list"]
    assert [row.get("statistic") for row in rows] == [None, {"session_cnt": 2}]
    assert yesterday > date(2026, 1, 1)
    assert (await caller.post(FIGURES, body | {"open_kfid": "wkNobody"}))["errcode"] == 95000
    assert (await caller.post(FIGURES, body | {"start_time": "x"}))["errcode"] == 40058
