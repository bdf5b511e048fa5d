"""What WeCom's own robot knows and how it did, on the wire."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tools.errors import ChannelUnavailableError
from tools.wecom.client import WecomClient
from tools.wecom.native import SPAN_DAYS, Group, Intent, NativeRobot

GROUPS, INTENTS, FIGURES = "kf/knowledge/list_group", "kf/knowledge/list_intent", "kf/get_corp_statistic"
OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
GROUP = Group(group_id="g1", name="售后")


@pytest.fixture
def robot(wecom_client: WecomClient) -> NativeRobot:
    return NativeRobot(wecom_client)


def text(content: str) -> dict[str, Any]:
    return {"text": {"content": content}}


async def test_groups_come_page_by_page_and_an_empty_page_is_no_end(robot: NativeRobot, wecom_server: Any) -> None:
    wecom_server.answer(
        GROUPS,
        OK | {"group_list": [{"group_id": "g1", "name": " 售后 ", "is_default": 1}], "has_more": 1, "next_cursor": "a"},
        OK | {"group_list": [], "has_more": 1, "next_cursor": "b"},
        OK | {"group_list": [{"group_id": "g2"}, {"name": "no id"}, 7], "has_more": 0, "next_cursor": "c"},
    )
    assert await robot.groups() == (GROUP, Group(group_id="g2", name=""))
    assert [body.get("cursor") for body in wecom_server.bodies(GROUPS)] == [None, "a", "b"]


@pytest.mark.parametrize("cursor", [None, "", "a"])
async def test_a_cursor_that_leads_nowhere_is_no_whole_list(
    robot: NativeRobot, wecom_server: Any, cursor: str | None
) -> None:
    more = OK | {"group_list": [{"group_id": "g1"}], "has_more": 1}
    wecom_server.answer(GROUPS, more | {"next_cursor": "a"}, more | {"next_cursor": cursor})
    with pytest.raises(ChannelUnavailableError, match="there is more"):
        await robot.groups()


ANSWERS = [text(" 七天内可退 ") | {"attachments": [{"msgtype": "image", "image": {"name": "流程.jpg"}}]}]
SIMILAR = {"items": [text("怎么退钱"), text(""), {}, 3]}


@pytest.mark.parametrize(
    "row",
    [
        {"question": text("如何退款"), "similar_questions": SIMILAR, "answers": ANSWERS},
        {"question": text("如何退款") | {"similar_questions": SIMILAR, "answers": ANSWERS}},
    ],
    ids=["as the vendor's table has it", "as its sample has it"],
)
async def test_a_question_is_read_in_both_shapes(robot: NativeRobot, wecom_server: Any, row: dict[str, Any]) -> None:
    wecom_server.answer(INTENTS, OK | {"intent_list": [{"intent_id": "i1", "group_id": "g1"} | row], "has_more": 0})
    assert await robot.intents(GROUP) == (
        Intent(
            intent_id="i1",
            question="如何退款",
            similar=("怎么退钱",),
            answer="七天内可退",
            attachments=("[图片] 流程.jpg",),
        ),
    )
    assert wecom_server.bodies(INTENTS)[0]["group_id"] == "g1"


async def test_attachments_are_told_in_words(robot: NativeRobot, wecom_server: Any) -> None:
    attachments = [
        {"msgtype": "link", "link": {"title": "规则", "url": "https://x/y", "desc": "d"}},
        {"msgtype": "miniprogram", "miniprogram": {"title": "会员\n中心", "appid": "wx1", "pagepath": "p"}},
        {"msgtype": "video"},
        {"msgtype": "hologram", "hologram": {"name": "h"}},
        {},
        "x",
    ]
    row = {"intent_id": "i1", "question": text("q"), "answers": [{"attachments": attachments}]}
    wecom_server.answer(INTENTS, OK | {"intent_list": [row]})
    [intent] = await robot.intents(GROUP)
    assert intent.attachments == ("[链接] 规则 https://x/y", "[小程序] 会员 中心", "[视频]", "[附件] h", "[附件]")
    assert intent.answer == ""


@pytest.mark.parametrize("row", [{}, {"question": 3, "answers": "x", "similar_questions": []}, {"answers": [None]}])
async def test_an_odd_question_is_an_empty_one(robot: NativeRobot, wecom_server: Any, row: dict[str, Any]) -> None:
    wecom_server.answer(INTENTS, OK | {"intent_list": [{"intent_id": "i1"} | row]})
    assert await robot.intents(GROUP) == (Intent(intent_id="i1", question="", similar=(), answer=""),)


@pytest.mark.parametrize(("days", "spans"), [(1, [1]), (31, [31]), (32, [31, 1]), (180, [31, 31, 31, 31, 31, 25])])
async def test_days_are_asked_for_in_spans_the_vendor_takes(
    robot: NativeRobot, wecom_server: Any, days: int, spans: list[int]
) -> None:
    first = date(2026, 1, 1)
    await robot.figures("wk1", first, first + timedelta(days=days - 1))
    bodies = wecom_server.bodies(FIGURES)
    assert [(body["end_time"] - body["start_time"]) // 86400 + 1 for body in bodies] == spans
    assert max(spans) <= SPAN_DAYS
    # Midnight in Beijing; every day in one span only.
    assert bodies[0]["start_time"] == 1767196800
    assert all(one["end_time"] + 86400 == two["start_time"] for one, two in pairwise(bodies))


async def test_figures_of_a_day_and_days_without_any(robot: NativeRobot, wecom_server: Any) -> None:
    figures = {
        "session_cnt": 5,
        "customer_cnt": 4,
        "customer_msg_cnt": 20,
        "ai_session_reply_cnt": 3,
        "ai_transfer_rate": 1,
        "ai_knowledge_hit_rate": 0.25,
    }
    rows = [
        {"stat_time": 1767283200, "statistic": {"session_cnt": 1}},
        {"stat_time": 1767196800, "statistic": figures},
        {"stat_time": 1767369600},
        {"stat_time": "x", "statistic": figures},
    ]
    wecom_server.answer(FIGURES, OK | {"statistic_list": rows})
    one, two = await robot.figures("wk1", date(2026, 1, 1), date(2026, 1, 3))
    assert (one.day, one.sessions, one.customers, one.messages) == (date(2026, 1, 1), 5, 4, 20)
    assert (one.robot_sessions, one.transfer_rate, one.hit_rate) == (3, 1.0, 0.25)
    assert (two.day, two.sessions, two.messages, two.transfer_rate, two.hit_rate) == (
        date(2026, 1, 2),
        1,
        0,
        None,
        None,
    )
