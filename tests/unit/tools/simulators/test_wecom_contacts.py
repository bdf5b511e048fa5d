"""Friends of the staff: welcome codes, half friendships, remarks and tags."""

from __future__ import annotations

from typing import Any

import pytest

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


async def _tag(caller: Any, *names: str) -> list[str]:
    body = {"group_name": "来源", "tag": [{"name": name} for name in names]}
    made = (await caller.post("externalcontact/add_corp_tag", body))["tag_group"]["tag"]
    return [tag["id"] for tag in made]


async def test_a_half_friend_cannot_be_read_or_tagged_until_confirmed(sim: WecomSimulator, caller: Any) -> None:
    await sim.add_friend("wmAlice", "zhangsan", state="site", is_half=True)
    sim.add_customer("wmAlice", nickname="小王")
    first, second = await _tag(caller, "官网", "门店")
    mark = {"userid": "zhangsan", "external_userid": "wmAlice", "add_tag": [first, second]}
    note = {"userid": "zhangsan", "external_userid": "wmAlice", "remark": "VIP"}
    assert (await caller.get("externalcontact/get", external_userid="wmAlice"))["errcode"] == 84061
    assert (await caller.post("externalcontact/mark_tag", mark))["errcode"] == 84061
    await sim.staff_confirms("wmAlice", "zhangsan")
    assert (await caller.post("externalcontact/mark_tag", mark | {"add_tag": ["made-up"]}))["errcode"] == 40068
    assert (await caller.post("externalcontact/mark_tag", mark))["errcode"] == 0
    body = mark | {"add_tag": [], "remove_tag": [second]}
    assert (await caller.post("externalcontact/mark_tag", body))["errcode"] == 0
    assert (await caller.post("externalcontact/mark_tag", mark | {"add_tag": []}))["errcode"] == 40058
    assert (await caller.post("externalcontact/remark", note | {"remark": "长" * 21}))["errcode"] == 40058
    assert (await caller.post("externalcontact/remark", note))["errcode"] == 0
    answer = await caller.get("externalcontact/get", external_userid="wmAlice")
    assert answer["external_contact"]["name"] == "小王"
    (follower,) = answer["follow_user"]
    assert (follower["userid"], follower["state"], follower["remark"]) == ("zhangsan", "site", "VIP")
    assert [tag["tag_name"] for tag in follower["tags"]] == ["官网"]
    assert sim.contacts.tags_of("wmAlice", "zhangsan") == {"官网"}


async def test_tags_are_unique_in_their_group(sim: WecomSimulator, caller: Any) -> None:
    await _tag(caller, "官网")
    for tags in ([{"name": "官网"}], [{"name": "a"}, {"name": "a"}]):
        answer = await caller.post("externalcontact/add_corp_tag", {"group_name": "来源", "tag": tags})
        assert answer["errcode"] == 40071
    for body in ({"group_name": "来源", "tag": []}, {"group_name": "", "tag": [{"name": "b"}]}):
        assert (await caller.post("externalcontact/add_corp_tag", body))["errcode"] == 40058
    long = {"group_name": "来源", "tag": [{"name": "长" * 31}]}
    assert (await caller.post("externalcontact/add_corp_tag", long))["errcode"] == 40058
    (tag_id,) = await _tag(caller, "门店")
    everything = await caller.post("externalcontact/get_corp_tag_list", {})
    assert [tag["name"] for tag in everything["tag_group"][0]["tag"]] == ["官网", "门店"]
    one = await caller.post("externalcontact/get_corp_tag_list", {"tag_id": [tag_id]})
    assert [tag["name"] for tag in one["tag_group"][0]["tag"]] == ["门店"]


WAY = {"type": 1, "scene": 2, "user": ["zhangsan"], "state": "site"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"type": 2, "user": ["zhangsan", "lisi"]}, 0),
        ({"user": ["zhangsan", "lisi"]}, 40058),
        ({"user": []}, 40058),
        ({"type": 3}, 40058),
        ({"state": "长" * 31}, 40058),
        ({"remark": "长" * 31}, 40058),
        ({"user": ["nobody"]}, 60111),
    ],
)
async def test_a_way_is_made_by_the_rules(sim: WecomSimulator, caller: Any, change: dict[str, Any], code: int) -> None:
    sim.contacts.ways.unknown_users.add("nobody")
    assert (await caller.post("externalcontact/add_contact_way", WAY | change))["errcode"] == code


async def test_a_way_is_shown_changed_listed_and_deleted(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    made = await caller.post("externalcontact/add_contact_way", WAY)
    config = {"config_id": made["config_id"]}
    assert (await caller.http.get(made["qr_code"])).content.startswith(b"\x89PNG")
    change = config | {"user": ["lisi"], "remark": "新"}
    assert (await caller.post("externalcontact/update_contact_way", change))["errcode"] == 0
    way = (await caller.post("externalcontact/get_contact_way", config))["contact_way"]
    assert (way["user"], way["remark"], way["state"]) == (["lisi"], "新", "site")
    await caller.post("externalcontact/add_contact_way", WAY)
    page = await caller.post("externalcontact/list_contact_way", {"limit": 1})
    rest = await caller.post("externalcontact/list_contact_way", {"limit": 1, "cursor": page["next_cursor"]})
    assert page["contact_way"] == [config]
    assert len(rest["contact_way"]) == 1
    assert "next_cursor" not in rest
    clock.forward(91 * 86400)
    await caller.login()
    assert (await caller.post("externalcontact/list_contact_way", {}))["contact_way"] == []
    assert len((await caller.post("externalcontact/list_contact_way", {"start_time": 1}))["contact_way"]) == 2
    assert (await caller.post("externalcontact/list_contact_way", {"limit": 0}))["errcode"] == 40058
    assert (await caller.post("externalcontact/del_contact_way", config))["errcode"] == 0
    for path in ("get", "update", "del"):
        assert (await caller.post(f"externalcontact/{path}_contact_way", config))["errcode"] == 40058
    assert (await caller.http.get(made["qr_code"])).status_code == 404


@pytest.mark.parametrize("told", ["half, full", "full, half", "full", "half"])
async def test_who_scans_is_told_as_asked_and_only_the_first_callback_has_the_code(
    sim: WecomSimulator, caller: Any, service: Any, told: Any
) -> None:
    made = await caller.post("externalcontact/add_contact_way", WAY)
    code = await sim.scans(made["config_id"], "wmAlice", told=told)
    kinds = {"half": "add_half_external_contact", "full": "add_external_contact"}
    assert [event["ChangeType"] for event in service.events] == [kinds[each] for each in told.split(", ")]
    assert [event.get("WelcomeCode") for event in service.events] == [code] + [None] * (len(service.events) - 1)
    assert {event["State"] for event in service.events} == {"site"}
    assert sim.contacts.friendships["zhangsan", "wmAlice"].is_half == (told == "half")


async def test_friendships_end_from_both_sides(sim: WecomSimulator, service: Any) -> None:
    await sim.befriends("wmAlice", "zhangsan")
    await sim.customer_deletes_staff("wmAlice", "zhangsan")
    await sim.befriends("wmAlice", "zhangsan")
    await sim.staff_deletes("wmAlice", "zhangsan", is_transfer=True)
    ends = [(event["ChangeType"], event.get("Source")) for event in service.events[1::2]]
    assert ends == [("del_follow_user", None), ("del_external_contact", "DELETE_BY_TRANSFER")]
    assert sim.contacts.friendships == {}


async def test_a_link_carries_its_scene(sim: WecomSimulator, caller: Any) -> None:
    sim.add_account("wk1")
    made = await caller.post("kf/add_contact_way", {"open_kfid": "wk1", "scene": "site"})
    assert made["url"].endswith("/wk1?enc_scene=ENCsite")
    assert (await caller.post("kf/add_contact_way", {"open_kfid": "wk1", "scene": "官网"}))["errcode"] == 40058


async def test_messages_to_members_are_recorded(sim: WecomSimulator, caller: Any) -> None:
    body = {"touser": "zhangsan", "msgtype": "text", "agentid": 1, "text": {"content": "有客户在等"}}
    assert (await caller.post("message/send", body))["errcode"] == 0
    assert (await caller.post("message/send", body | {"touser": ""}))["errcode"] == 40058
    assert sim.members.sent == [body]
