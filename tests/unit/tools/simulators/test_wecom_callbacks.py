"""Callbacks arrive signed, encrypted, and as unreliably as the knobs say."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.enterprise.exceptions import InvalidCorpIdException

from tools.simulators.server import LoopbackServer
from tools.simulators.wecom import WecomSimulator


async def test_a_message_wakes_the_service_with_a_token_that_pulls_it(
    sim: WecomSimulator, service: Any, caller: Any
) -> None:
    msgid = await sim.customer_says("wmAlice", "怎么退款?")
    (event,) = service.events
    assert event["Event"] == "kf_msg_or_event"
    assert event["OpenKfId"] == sim.account
    assert event["ToUserName"] == sim.corp_id
    page = await caller.pull(token=event["Token"])
    assert [item["msgid"] for item in page["msg_list"]] == [msgid]


async def test_url_verification_passes_only_on_the_exact_echo(sim: WecomSimulator, service: Any) -> None:
    assert await sim.verify_url("echo+/= 1616140317555161061")
    service.echo_suffix = "\n"
    assert not await sim.verify_url()


async def test_url_verification_fails_when_nobody_listens(sim: WecomSimulator) -> None:
    async with LoopbackServer(Starlette()) as gone:
        sim.callback_url = gone.url
    assert not await sim.verify_url()


async def test_without_callback_url_nothing_is_sent(sim: WecomSimulator) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert sim.callbacks.attempts == []
    with pytest.raises(RuntimeError, match="callback_url"):
        await sim.verify_url()


async def test_an_answer_other_than_200_is_repeated_until_it_is_200(sim: WecomSimulator, service: Any) -> None:
    service.statuses = [503, 503]
    await sim.customer_says("wmAlice", "hi")
    assert [each.status for each in sim.callbacks.attempts] == [503, 503, 200]
    assert len({query["nonce"] for query in service.queries}) == 1
    assert len({event["Token"] for event in service.events}) == 1


async def test_repetitions_end_after_three(sim: WecomSimulator, service: Any) -> None:
    service.statuses = [500] * 9
    await sim.customer_says("wmAlice", "hi")
    assert [each.number for each in sim.callbacks.attempts] == [1, 2, 3, 4]


async def test_a_bad_status_is_not_repeated_when_told_so(sim: WecomSimulator, service: Any) -> None:
    sim.callbacks.retry_on_status = False
    service.statuses = [500]
    await sim.customer_says("wmAlice", "hi")
    assert len(service.events) == 1


async def test_repetitions_can_be_signed_afresh(sim: WecomSimulator, service: Any) -> None:
    sim.callbacks.renew_nonce = True
    service.statuses = [500]
    await sim.customer_says("wmAlice", "hi")
    assert len({query["msg_signature"] for query in service.queries}) == 2


async def test_no_answer_in_time_is_repeated(sim: WecomSimulator) -> None:
    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    sim.callbacks.timeout = 0.05
    async with LoopbackServer(silent) as server:
        sim.callback_url = server.url
        await sim.customer_says("wmAlice", "hi")
    assert [each.status for each in sim.callbacks.attempts] == [None] * 4


async def test_a_dropped_callback_never_arrives_but_the_next_does(sim: WecomSimulator, service: Any) -> None:
    sim.callbacks.drop()
    await sim.customer_says("wmAlice", "one")
    assert service.events == []
    await sim.customer_says("wmAlice", "two")
    assert len(service.events) == 1


async def test_a_duplicated_callback_arrives_twice(sim: WecomSimulator, service: Any) -> None:
    sim.callbacks.duplicate()
    await sim.customer_says("wmAlice", "one")
    await sim.customer_says("wmAlice", "two")
    first, second, third = (event["Token"] for event in service.events)
    assert first == second != third


async def test_reordered_callbacks_arrive_last_first(sim: WecomSimulator, service: Any) -> None:
    sim.add_account("wkOther")
    sim.callbacks.reorder(2)
    await sim.customer_says("wmAlice", "one")
    await sim.customer_says("wmAlice", "two", account="wkOther")
    await sim.customer_says("wmAlice", "three")
    assert [event["OpenKfId"] for event in service.events] == ["wkOther", sim.account, sim.account]


async def test_a_hand_made_callback_can_be_meant_for_another_corp(sim: WecomSimulator, service: Any) -> None:
    query, body = sim.encrypt_callback("<xml><A>1</A></xml>", receiveid="wwOther", timestamp=1, nonce="n")
    assert (query["timestamp"], query["nonce"]) == ("1", "n")
    crypto: WeChatCrypto = service.crypto
    with pytest.raises(InvalidCorpIdException):
        crypto.decrypt_message(body, query["msg_signature"], "1", "n")


async def test_a_hand_made_callback_is_readable(sim: WecomSimulator, service: Any) -> None:
    query, body = sim.encrypt_callback("<xml><A>一</A></xml>")
    async with httpx.AsyncClient() as http:
        assert (await http.post(service.url, params=query, content=body)).status_code == 200
    assert service.events == [{"A": "一"}]


async def test_a_new_friend_is_called_back_with_a_welcome_code(sim: WecomSimulator, service: Any) -> None:
    code = await sim.add_friend("wmAlice", "zhangsan", state="渠道]]>A", is_half=True)
    await sim.confirm_friend("wmAlice", "zhangsan")
    half, whole = service.events
    assert half["ChangeType"] == "add_half_external_contact"
    assert (half["UserID"], half["ExternalUserID"], half["State"]) == ("zhangsan", "wmAlice", "渠道]]>A")
    assert half["WelcomeCode"] == code
    assert whole["ChangeType"] == "add_external_contact"
    assert "WelcomeCode" not in whole


async def test_a_quiet_action_sends_no_callback(sim: WecomSimulator, service: Any) -> None:
    await sim.customer_says("wmAlice", "hi", notify=False)
    await sim.enter_session("wmBob", notify=False)
    await sim.add_friend("wmBob", "zhangsan", notify=False)
    assert service.events == []
    await sim.notify()
    assert len(service.events) == 1


async def test_leaving_gives_up_a_report_that_is_still_on_its_way(sim: WecomSimulator, caller: Any) -> None:
    called = asyncio.Event()

    async def silent(*_: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    await sim.customer_says("wmAlice", "hi")
    async with LoopbackServer(silent) as server:
        sim.callback_url = server.url
        assert sim.callback_url == server.url
        sim.fail_delivery()
        await caller.say("wmAlice", "one")
        await called.wait()
        await sim.__aexit__(None, None, None)
    assert sim.callbacks.attempts == []
    assert sim.log.items(sim.account)[-1]["event"]["event_type"] == "msg_send_fail"
