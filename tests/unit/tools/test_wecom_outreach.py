"""The calls of 企业群发 on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from tenacity import wait_none

from tools.errors import BadRequestError, ChannelUnavailableError
from tools.wecom.contacts import TIMEOUT, WecomContacts
from tools.wecom.outreach import CreatedTask, ListedTask, SendResult, StaffMessages

OK = {"errcode": 0, "errmsg": "ok"}
ADD = "externalcontact/add_msg_template"
LIST = "externalcontact/get_groupmsg_list_v2"
NOON = datetime(2026, 3, 4, 4, 0, tzinfo=UTC)


@pytest.fixture
async def messages(wecom_server: Any) -> AsyncIterator[StaffMessages]:
    options = {"api_base": wecom_server.base, "corp_id": "ww1", "timeout": TIMEOUT, "wait": wait_none()}
    async with WecomContacts(**options, secret=SecretStr("s3cret-of-the-contacts")) as opened:
        yield StaffMessages(opened)


async def test_a_member_is_asked_with_sender_customers_and_text(messages: StaffMessages, wecom_server: Any) -> None:
    wecom_server.answer(ADD, {**OK, "msgid": "m1", "fail_list": ["wm2"]})
    made = await messages.create(staff_id="zhang", customers=["wm1", "wm2"], text="你好")
    assert made == CreatedTask(msgid="m1", refused=("wm2",))
    assert wecom_server.bodies(ADD) == [
        {
            "chat_type": "single",
            "external_userid": ["wm1", "wm2"],
            "sender": "zhang",
            "allow_select": False,
            "text": {"content": "你好"},
        }
    ]


@pytest.mark.parametrize("answer", [{"errcode": -1, "errmsg": "busy"}, (502, b""), OK, "drop"])
async def test_a_call_of_unknown_outcome_is_not_repeated(
    messages: StaffMessages, wecom_server: Any, answer: Any
) -> None:
    wecom_server.answer(ADD, answer)
    with pytest.raises(ChannelUnavailableError):
        await messages.create(staff_id="zhang", customers=["wm1"], text="你好")
    assert wecom_server.count(ADD) == 1


async def test_a_text_too_long_is_refused_before_the_call(messages: StaffMessages, wecom_server: Any) -> None:
    with pytest.raises(BadRequestError, match="4000 bytes"):
        await messages.create(staff_id="zhang", customers=["wm1"], text="好" * 1334)
    assert wecom_server.count(ADD) == 0


async def test_every_page_of_the_list_is_read_within_a_month(messages: StaffMessages, wecom_server: Any) -> None:
    first = {"msgid": "m1", "text": {"content": "你好"}, "create_type": 0}
    second = {"msgid": "m2", "creator": "li", "create_type": 1}
    wecom_server.answer(LIST, {**OK, "group_msg_list": [first], "next_cursor": "c"}, {**OK, "group_msg_list": [second]})
    listed = await messages.tasks_between(NOON - timedelta(days=90), NOON)
    assert listed == (
        ListedTask(msgid="m1", text="你好", creator="", is_personal=False),
        ListedTask(msgid="m2", text="", creator="li", is_personal=True),
    )
    asked = wecom_server.bodies(LIST)
    assert asked[0]["end_time"] - asked[0]["start_time"] == 30 * 86_400
    assert asked[1]["cursor"] == "c"


async def test_results_tell_every_state_and_one_that_nobody_knows_waits(
    messages: StaffMessages, wecom_server: Any
) -> None:
    rows = [{"external_userid": f"wm{n}", "userid": "zhang", "status": n} for n in (0, 1, 2, 3, 9)]
    rows[1]["send_time"] = int(NOON.timestamp())
    wecom_server.answer("externalcontact/get_groupmsg_send_result", {**OK, "send_list": rows})
    told = await messages.results("m1", "zhang")
    assert [each.state for each in told] == ["pending", "sent", "not_a_friend", "other_message", "pending"]
    assert told[1] == SendResult(customer_id="wm1", state="sent", sent_at=NOON)


async def test_members_are_told_with_whether_they_confirmed(messages: StaffMessages, wecom_server: Any) -> None:
    rows = [{"userid": "zhang", "status": 2}, {"userid": "li", "status": 0}, {"status": 2}]
    wecom_server.answer("externalcontact/get_groupmsg_task", {**OK, "task_list": rows})
    assert await messages.senders("m1") == {"zhang": True, "li": False}
