"""Friends of the staff: welcome codes, half friendships, remarks and tags."""

from __future__ import annotations

from typing import Any

from tools.simulators.wecom import WecomSimulator


async def _welcome(caller: Any, code: str, **extra: Any) -> int:
    body = {"welcome_code": code, "text": {"content": "欢迎"}, **extra}
    return (await caller.post("externalcontact/send_welcome_msg", body))["errcode"]


async def test_a_friend_is_welcomed_once(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    code = await sim.add_friend("wmAlice", "zhangsan")
    assert await _welcome(caller, "") == 41049
    assert await _welcome(caller, "made-up") == 41050
    assert await _welcome(caller, code, text=None) == 40058
    assert await _welcome(caller, code, text={"content": "中" * 1334}) == 45002
    clock.forward(20)
    assert await _welcome(caller, code) == 0
    clock.forward(20)
    assert await _welcome(caller, code) == 41051
    assert [(each.customer, each.user, each.text) for each in sim.contacts.welcomes] == [
        ("wmAlice", "zhangsan", "欢迎")
    ]


async def test_a_friend_welcomed_late_is_41050(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    code = await sim.add_friend("wmAlice", "zhangsan")
    clock.forward(21)
    assert await _welcome(caller, code) == 41050


async def test_a_half_friend_cannot_be_read_or_tagged_until_confirmed(sim: WecomSimulator, caller: Any) -> None:
    await sim.add_friend("wmAlice", "zhangsan", state="site", is_half=True)
    sim.add_customer("wmAlice", nickname="小王")
    mark = {"userid": "zhangsan", "external_userid": "wmAlice", "add_tag": ["t1", "t2"]}
    note = {"userid": "zhangsan", "external_userid": "wmAlice", "remark": "VIP"}
    assert (await caller.get("externalcontact/get", external_userid="wmAlice"))["errcode"] == 84061
    assert (await caller.post("externalcontact/mark_tag", mark))["errcode"] == 84061
    await sim.confirm_friend("wmAlice", "zhangsan")
    assert (await caller.post("externalcontact/mark_tag", mark))["errcode"] == 0
    assert (await caller.post("externalcontact/mark_tag", mark | {"add_tag": [], "remove_tag": ["t2"]}))["errcode"] == 0
    assert (await caller.post("externalcontact/mark_tag", mark | {"add_tag": []}))["errcode"] == 40058
    assert (await caller.post("externalcontact/remark", note))["errcode"] == 0
    answer = await caller.get("externalcontact/get", external_userid="wmAlice")
    assert answer["external_contact"]["name"] == "小王"
    (follower,) = answer["follow_user"]
    assert (follower["userid"], follower["state"], follower["remark"]) == ("zhangsan", "site", "VIP")
    assert [tag["tag_id"] for tag in follower["tags"]] == ["t1"]


async def test_messages_to_members_are_recorded(sim: WecomSimulator, caller: Any) -> None:
    body = {"touser": "zhangsan", "msgtype": "text", "agentid": 1, "text": {"content": "有客户在等"}}
    assert (await caller.post("message/send", body))["errcode"] == 0
    assert (await caller.post("message/send", body | {"touser": ""}))["errcode"] == 40058
    assert sim.contacts.member_messages == [body]
