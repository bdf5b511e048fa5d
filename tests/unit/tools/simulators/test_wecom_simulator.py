"""Waiting for what the service does, and what a run of the WeCom simulator is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tools.simulators.wecom import WecomSimulator


async def test_an_undelivered_message_is_reported_later(sim: WecomSimulator, caller: Any, service: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    sim.fail_delivery(fail_type=10)
    refused = await caller.say("wmAlice", "one")
    assert refused["errcode"] == 0
    await asyncio.wait_for(sim.reported(), 5)
    event = (await caller.pull())["msg_list"][-1]["event"]
    assert (event["event_type"], event["fail_type"]) == ("msg_send_fail", 10)
    assert event["fail_msgid"] == refused["msgid"]
    assert sim.texts_to("wmAlice") == []
    assert len(service.events) == 2


async def test_waiting_for_a_text_ends_with_the_call_that_brings_it(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    waits = [
        asyncio.create_task(sim.wait_for_text("wmAlice", expected))
        for expected in (2, "second", lambda text: text.startswith("sec"))
    ]
    await caller.say("wmAlice", "first")
    assert not any(wait.done() for wait in waits)
    await caller.say("wmAlice", "second one")
    assert await asyncio.gather(*waits) == ["second one"] * 3
    assert await sim.wait_for_text("wmAlice") == "first"


async def test_waiting_in_vain_tells_what_came_instead(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    await caller.say("wmAlice", "first")
    with pytest.raises(TimeoutError, match="first"):
        await sim.wait_for_text("wmAlice", "second", timeout=0.01)


async def test_waiting_for_any_condition_of_the_calls(sim: WecomSimulator, caller: Any) -> None:
    wait = asyncio.create_task(sim.wait_until(lambda: sim.calls["getcallbackip"] == 2))
    await caller.get("getcallbackip")
    await caller.get("getcallbackip")
    await asyncio.wait_for(wait, 5)


async def test_runs_do_not_repeat_ids() -> None:
    made = set()
    for _ in range(2):
        async with WecomSimulator(corp_id="ww1", secret="s", token="t", encoding_aes_key="a" * 43) as sim:
            made.add(await sim.customer_says("wmAlice", "hi"))
    assert len(made) == 2
