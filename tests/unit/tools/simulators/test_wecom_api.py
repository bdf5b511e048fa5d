"""Tokens, planned faults and the HTTP manners of the WeCom simulator."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tools.simulators.wecom import WecomSimulator


async def test_a_call_without_token_is_41001_and_with_a_made_up_one_40014(sim: WecomSimulator, caller: Any) -> None:
    caller.token = ""
    assert (await caller.get("getcallbackip"))["errcode"] == 41001
    caller.token = "made-up"
    assert (await caller.get("getcallbackip"))["errcode"] == 40014


async def test_an_expired_token_is_42001_and_a_new_one_works(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    old = caller.token
    clock.forward(7200)
    assert (await caller.get("getcallbackip"))["errcode"] == 42001
    await caller.login()
    assert caller.token != old
    assert (await caller.get("getcallbackip"))["errcode"] == 0


async def test_tokens_can_be_expired_and_revoked_at_once(sim: WecomSimulator, caller: Any) -> None:
    sim.tokens.expire()
    assert (await caller.get("getcallbackip"))["errcode"] == 42001
    await caller.login()
    sim.tokens.revoke()
    assert (await caller.get("getcallbackip"))["errcode"] == 40014


async def test_gettoken_checks_corp_and_secret_and_says_how_long(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    sim.tokens.expires_in = 2
    query = {"corpid": sim.corp_id, "corpsecret": "kf-secret-for-tests"}
    assert (await caller.get("gettoken", **query | {"corpid": "wwOther"}))["errcode"] == 40013
    assert (await caller.get("gettoken", **query | {"corpsecret": "wrong"}))["errcode"] == 40001
    clock.forward(7200)
    assert (await caller.get("gettoken", **query))["expires_in"] == 2
    clock.forward(1)
    assert (await caller.get("gettoken", **query))["expires_in"] == 1
    assert sim.calls["gettoken"] == 5


async def test_a_token_opens_only_the_calls_of_its_secret() -> None:
    key = "a" * 43
    async with (
        WecomSimulator(corp_id="ww1", secret="one", contact_secret="two", token="t", encoding_aes_key=key) as sim,
        httpx.AsyncClient(base_url=sim.api_base) as http,
    ):
        token = (await http.get("gettoken?corpid=ww1&corpsecret=two")).json()["access_token"]
        kf = await http.post("kf/account/list", params={"access_token": token}, json={})
        contact = await http.get("externalcontact/get", params={"access_token": token, "external_userid": "wm?"})
    assert kf.json()["errcode"] == 48002
    assert contact.json()["errcode"] == 40096


async def test_the_wrong_method_and_broken_json_are_40058(sim: WecomSimulator, caller: Any) -> None:
    assert (await caller.get("kf/send_msg"))["errcode"] == 40058
    for raw in (b"{", b"[]", b"\xff"):
        answer = await caller.http.post("kf/send_msg", params={"access_token": caller.token}, content=raw)
        assert answer.json()["errcode"] == 40058
    assert (await caller.http.get("no/such/call")).status_code == 404


async def test_a_body_needs_no_content_type(sim: WecomSimulator, caller: Any) -> None:
    answer = await caller.http.post("kf/account/list", params={"access_token": caller.token}, content=b"{}")
    assert "content-type" not in answer.request.headers
    assert answer.json()["account_list"][0]["open_kfid"] == sim.account


async def test_planned_failures_have_no_effect_and_run_out(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    sim.fail_next("kf/send_msg", -1, times=2)
    assert await caller.codes(*(caller.say("wmAlice", msgid="m") for _ in range(3))) == [-1, -1, 0]
    assert len(sim.sent) == 1
    assert sim.calls["kf/send_msg"] == 3


async def test_a_failure_can_be_an_http_status(sim: WecomSimulator, caller: Any) -> None:
    sim.fail_next("getcallbackip", -1, status=502)
    answer = await caller.http.get("getcallbackip", params={"access_token": caller.token})
    assert answer.status_code == 502


async def test_a_reset_after_effect_was_really_carried_out(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    sim.reset_after_effect("kf/send_msg")
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await caller.say("wmAlice", "您好", msgid="turn_1")
    assert sim.texts_to("wmAlice") == ["您好"]
    again = await caller.say("wmAlice", "您好", msgid="turn_1")
    assert "duplicate msgid" in again["errmsg"]
    assert sim.texts_to("wmAlice") == ["您好"]


async def test_latency_delays_only_its_path_and_simultaneous_calls_are_counted(
    sim: WecomSimulator, caller: Any
) -> None:
    await sim.customer_says("wmAlice", "hi")
    sim.latency["kf/send_msg"] = 0.05
    clock = asyncio.get_running_loop().time
    began = clock()
    await asyncio.gather(*(caller.say("wmAlice") for _ in range(3)))
    assert clock() - began >= 0.05
    assert sim.most_at_once["kf/send_msg"] == 3
    sim.latency["kf/send_msg"] = 60.0
    assert (await caller.get("getcallbackip"))["ip_list"] == ["127.0.0.1"]


async def test_accounts_are_listed_page_by_page(sim: WecomSimulator, caller: Any) -> None:
    sim.add_account("wkOther", "售后")
    rows = (await caller.post("kf/account/list", {"offset": 1, "limit": 1}))["account_list"]
    assert [(row["open_kfid"], row["name"]) for row in rows] == [("wkOther", "售后")]
    assert (await caller.post("kf/account/list", {"limit": 101}))["errcode"] == 40058
