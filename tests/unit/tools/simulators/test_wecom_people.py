"""Customers and staff of the WeCom simulator leave the traces the real ones leave."""

from __future__ import annotations

from typing import Any

from tools.simulators.wecom import WecomSimulator

HOUR = 3600


async def test_staff_writing_takes_a_queued_or_ended_session(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    await caller.move("wmAlice", 2)
    await sim.staff_says("wmAlice", "zhangsan", "我来看看")
    assert await caller.state("wmAlice") == 3
    code = await sim.staff_ends("wmAlice", "zhangsan")
    assert await caller.greet(code) == 0
    await sim.staff_says("wmAlice", "zhangsan", "还有一件事")
    items = (await caller.pull())["msg_list"]
    assert [item["origin"] for item in items] == [3, 4, 5, 4, 4, 5]
    assert [item["event"]["change_type"] for item in items if item["msgtype"] == "event"] == [1, 3, 4]
    assert items[2]["servicer_userid"] == "zhangsan"
    assert items[2]["text"] == {"content": "我来看看"}


async def test_a_recall_names_the_message(sim: WecomSimulator, caller: Any) -> None:
    msgid = await sim.customer_sends("wmAlice", "image", {"media_id": "M1"})
    await sim.recall("wmAlice", msgid)
    image, event = (await caller.pull())["msg_list"]
    assert image["image"] == {"media_id": "M1"}
    assert event["event"]["recall_msgid"] == image["msgid"] == msgid
    assert event["origin"] == 4


async def test_profiles_of_recent_customers_only(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    sim.add_customer("wmAlice", nickname="小王")
    sim.add_customer("wmBob", nickname="小李")
    await sim.enter_session("wmAlice", scene="web", scene_param="p=1")
    body = {"external_userid_list": ["wmAlice", "wmBob", "wmNobody"], "need_enter_session_context": 1}
    answer = await caller.post("kf/customer/batchget", body)
    (profile,) = answer["customer_list"]
    assert (profile["external_userid"], profile["nickname"]) == ("wmAlice", "小王")
    assert profile["enter_session_context"] == {"scene": "web", "scene_param": "p=1"}
    assert answer["invalid_external_userid"] == ["wmBob", "wmNobody"]
    clock.forward(48 * HOUR + 1)
    await caller.login()
    assert (await caller.post("kf/customer/batchget", body))["customer_list"] == []
    assert (await caller.post("kf/customer/batchget", {"external_userid_list": []}))["errcode"] == 40058
