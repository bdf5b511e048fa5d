"""Who may write to whom: window, quota, session states and codes of the WeCom simulator."""

from __future__ import annotations

from typing import Any

import pytest

from tools.simulators.wecom import WecomSimulator

HOUR = 3600


async def test_messages_sent_by_api_reach_the_customer_and_never_the_log(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    answer = await caller.say("wmAlice", "您好", msgid="turn_1")
    assert answer["msgid"] == "turn_1"
    (sent,) = sim.sent
    assert (sent.account, sent.customer, sent.msgid, sent.text) == (sim.account, "wmAlice", "turn_1", "您好")
    assert [item["origin"] for item in (await caller.pull())["msg_list"]] == [3]


async def test_a_message_is_refused_for_an_unknown_account_customer_or_type(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.say("wmNobody", open_kfid="wkNobody"))["errcode"] == 95000
    assert (await caller.say("wmNobody", msgtype="news"))["errcode"] == 40096
    assert (await caller.say("wmAlice", msgtype="news", msgid="!"))["errcode"] == 40008
    assert (await caller.say("wmAlice", text={"content": ""}, msgid="!"))["errcode"] == 40058
    assert sim.sent == []


@pytest.mark.parametrize("msgid", ["", "a" * 33, "a b", "中", 7])
async def test_a_malformed_msgid_is_refused(sim: WecomSimulator, caller: Any, msgid: object) -> None:
    await sim.customer_says("wmAlice", "hi")
    answer = await caller.say("wmAlice", msgid=msgid)
    assert answer["errcode"] == 40058
    assert "invalid msgid" in answer["errmsg"]


async def test_a_msgid_is_unique_in_its_account_and_a_repetition_costs_nothing(
    sim: WecomSimulator, caller: Any
) -> None:
    await sim.customer_says("wmAlice", "hi")
    await sim.customer_says("wmBob", "hi")
    assert (await caller.say("wmAlice", msgid="same"))["errcode"] == 0
    for customer in ("wmAlice", "wmBob"):
        answer = await caller.say(customer, msgid="same")
        assert answer["errcode"] == 40058
        assert "duplicate msgid" in answer["errmsg"]
    assert sim.kf.session(sim.account, "wmAlice").quota == 4


async def test_the_window_closes_after_48_hours_and_reopens(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    clock.forward(48 * HOUR)
    await caller.login()
    assert (await caller.say("wmAlice"))["errcode"] == 0
    clock.forward(1)
    assert (await caller.say("wmAlice"))["errcode"] == 95002
    assert await caller.state("wmAlice") == 4
    await sim.customer_says("wmAlice", "hi again")
    assert (await caller.say("wmAlice"))["errcode"] == 0


async def test_a_customer_who_never_wrote_cannot_be_written_to(sim: WecomSimulator, caller: Any) -> None:
    sim.add_customer("wmAlice")
    assert (await caller.say("wmAlice"))["errcode"] == 95002


async def test_five_messages_pass_then_95001_until_the_customer_writes(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert await caller.codes(*(caller.say("wmAlice") for _ in range(6))) == [0, 0, 0, 0, 0, 95001]
    await sim.customer_says("wmAlice", "more")
    assert (await caller.say("wmAlice"))["errcode"] == 0


@pytest.mark.parametrize(("text", "seen"), [("中" * 700, "中" * 682), ("中" * 682 + "ab", "中" * 682 + "ab")])
async def test_text_is_cut_at_2048_bytes_between_characters(
    sim: WecomSimulator, caller: Any, text: str, seen: str
) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.say("wmAlice", text))["errcode"] == 0
    assert sim.texts_to("wmAlice") == [seen]
    assert sim.sent[0].payload["content"] == text


async def test_sending_moves_a_new_session_to_the_bot(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert await caller.state("wmAlice") == 0
    await caller.say("wmAlice")
    assert await caller.state("wmAlice") == 1


@pytest.mark.parametrize(
    ("path", "target", "code"),
    [
        ([], 1, 0),
        ([], 2, 0),
        ([], 3, 0),
        ([], 0, 95016),
        ([], 4, 95016),
        ([1], 1, 95016),
        ([1], 2, 0),
        ([1], 4, 95016),
        ([2], 1, 95016),
        ([2], 3, 0),
        ([3], 1, 95016),
        ([3], 2, 95016),
        ([3], 3, 0),
        ([3], 4, 0),
        ([3, 4], 1, 95013),
        ([], 7, 40058),
    ],
)
async def test_a_session_moves_only_as_documented(
    sim: WecomSimulator, caller: Any, path: list[int], target: int, code: int
) -> None:
    sim.add_servicer("zhangsan")
    await sim.customer_says("wmAlice", "hi")
    for state in path:
        await caller.move("wmAlice", state, servicer_userid="zhangsan")
    assert (await caller.move("wmAlice", target, servicer_userid="zhangsan"))["errcode"] == code


async def test_ending_early_is_a_flag(sim: WecomSimulator, caller: Any) -> None:
    sim.kf.may_end_early = True
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.move("wmAlice", 4))["errcode"] == 0


async def test_a_person_must_be_named_known_and_receiving(sim: WecomSimulator, caller: Any) -> None:
    sim.add_servicer("lisi", is_receiving=False)
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.move("wmAlice", 3))["errcode"] == 40058
    assert (await caller.move("wmAlice", 3, servicer_userid="nobody"))["errcode"] == 95014
    assert (await caller.move("wmAlice", 3, servicer_userid="lisi"))["errcode"] == 95019
    listed = await caller.get("kf/servicer/list", open_kfid=sim.account)
    assert listed["servicer_list"] == [{"userid": "lisi", "status": 1}]


async def test_the_api_may_not_send_while_a_person_has_the_session(sim: WecomSimulator, caller: Any) -> None:
    sim.add_servicer("zhangsan")
    await sim.customer_says("wmAlice", "hi")
    for state in (2, 3, 4):
        await caller.move("wmAlice", state, servicer_userid="zhangsan")
        assert await caller.state("wmAlice") == state
        assert (await caller.say("wmAlice"))["errcode"] == 95018


async def test_a_customer_message_restarts_only_an_ended_session(sim: WecomSimulator, caller: Any) -> None:
    sim.add_servicer("zhangsan")
    await sim.customer_says("wmAlice", "hi")
    await caller.move("wmAlice", 3, servicer_userid="zhangsan")
    await sim.customer_says("wmAlice", "still there?")
    answer = await caller.post("kf/service_state/get", {"open_kfid": sim.account, "external_userid": "wmAlice"})
    assert (answer["service_state"], answer["servicer_userid"]) == (3, "zhangsan")
    await caller.move("wmAlice", 4)
    await sim.customer_says("wmAlice", "hi again")
    assert await caller.state("wmAlice") == 0


async def test_a_welcome_code_works_once_within_20_seconds(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    code = await sim.enter_session("wmAlice", scene="web")
    (item,) = (await caller.pull())["msg_list"]
    assert "external_userid" not in item
    assert item["event"]["welcome_code"] == code
    assert item["event"]["external_userid"] == "wmAlice"
    clock.forward(20)
    assert await caller.greet(code) == 0
    assert await caller.greet(code) == sim.kf.stale_code_errcode
    assert sim.texts_to("wmAlice") == ["欢迎"]


async def test_a_late_or_made_up_welcome_code_is_refused(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    code = await sim.enter_session("wmAlice")
    clock.forward(21)
    assert await caller.greet(code) == 95007
    sim.kf.stale_code_errcode = 40035
    assert await caller.greet("made-up") == 40035


async def test_no_welcome_code_within_48_hours_of_a_welcome_or_a_message(
    sim: WecomSimulator, caller: Any, clock: Any
) -> None:
    assert await caller.greet(await sim.enter_session("wmAlice")) == 0
    assert await sim.enter_session("wmAlice") is None
    await sim.customer_says("wmBob", "hi")
    assert await sim.enter_session("wmBob") is None
    clock.forward(48 * HOUR + 1)
    assert await sim.enter_session("wmAlice") is not None


async def test_a_state_code_is_void_once_the_session_moved_on(sim: WecomSimulator, caller: Any) -> None:
    sim.add_servicer("zhangsan")
    await sim.customer_says("wmAlice", "hi")
    queued = (await caller.move("wmAlice", 2))["msg_code"]
    assert await caller.greet(queued, msgtype="msgmenu", msgmenu={"head_content": "?"}) == 40008
    taken = (await caller.move("wmAlice", 3, servicer_userid="zhangsan"))["msg_code"]
    assert await caller.greet(queued) == 95007
    assert await caller.greet(taken) == 0
    assert "msg_code" not in await caller.move("wmAlice", 3, servicer_userid="zhangsan")
    ended = (await caller.move("wmAlice", 4))["msg_code"]
    assert await caller.greet(ended, msgtype="msgmenu", msgmenu={"head_content": "满意吗?"}) == 0
