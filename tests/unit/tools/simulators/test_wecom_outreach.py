"""企业群发 as the simulator plays it."""

from __future__ import annotations

import pytest

from tools.simulators.wecom_outbound import RefusedError
from tools.simulators.wecom_outreach import GroupMessages


class Friend:
    is_half = False


class HalfFriend:
    is_half = True


@pytest.fixture
def messages() -> GroupMessages:
    numbers = iter(range(100))
    friends = {("zhang", "wm1"): Friend(), ("zhang", "wm2"): Friend(), ("zhang", "wm3"): HalfFriend()}
    return GroupMessages(next_id=lambda kind: f"{kind}{next(numbers)}", clock=lambda: 1000.0, friendships=friends)


def asked(*customers: str, **fields: object) -> dict:
    return {"external_userid": list(customers), "sender": "zhang", "text": {"content": "你好"}} | fields


def test_nothing_is_sent_until_the_member_confirms(messages):
    made = messages.add(asked("wm1", "wm2", "wm3"))
    assert made["fail_list"] == ["wm3"]
    task = {"msgid": made["msgid"]}
    assert messages.members(task)["task_list"] == [{"userid": "zhang", "status": 0}]
    assert messages.texts_to("wm1") == []
    assert messages.confirm("zhang", but={"wm2": 3}) == 1
    assert messages.texts_to("wm1") == ["你好"]
    rows = messages.results({**task, "userid": "zhang"})["send_list"]
    assert [row["status"] for row in rows] == [1, 3]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (asked("wm9"), 41048),
        (asked(), 40058),
        (asked("wm1", sender=""), 40058),
        (asked("wm1", text={"content": ""}), 40058),
        (asked("wm1", text={"content": "好" * 1334}), 45002),
        (asked(*(f"wm{n}" for n in range(10_001))), 40058),
        (asked("wm1", chat_type="group"), 40058),
    ],
)
def test_what_wecom_would_not_take_is_refused(messages, body, code):
    with pytest.raises(RefusedError) as caught:
        messages.add(body)
    assert caught.value.code == code


def test_the_list_names_no_creator_of_what_an_api_made(messages):
    messages.add(asked("wm1"))
    messages.make_by_hand("li", "自己发的", "wm2")
    body = {"chat_type": "single", "start_time": 900, "end_time": 1100, "limit": 1}
    first = messages.list(body)
    second = messages.list({**body, "cursor": first["next_cursor"]})
    assert "creator" not in first["group_msg_list"][0]
    assert second["group_msg_list"][0]["creator"] == "li"
    assert second["next_cursor"] == ""


@pytest.mark.parametrize("limits", [{"start_time": 1000, "end_time": 1000}, {"end_time": 40 * 86_400}, {"limit": 101}])
def test_a_list_out_of_bounds_is_refused(messages, limits):
    with pytest.raises(RefusedError):
        messages.list({"chat_type": "single", "start_time": 0, "end_time": 1100, **limits})


def test_a_fresh_task_is_still_being_handed_out(messages):
    messages.dispatch_seconds = 60
    made = messages.add(asked("wm1"))
    with pytest.raises(RefusedError) as caught:
        messages.members(made)
    assert caught.value.code == 41063
