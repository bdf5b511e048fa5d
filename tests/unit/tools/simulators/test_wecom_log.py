"""What `kf/sync_msg` of the simulator serves, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tools.simulators.wecom import WecomSimulator

HOUR = 3600


async def test_small_empty_and_repeating_pages_still_cover_every_item(sim: WecomSimulator, caller: Any) -> None:
    sim.log.knobs.page_size = 7
    sim.log.knobs.empty_pages = 1
    sim.log.knobs.empty_page_every = 3
    sim.log.knobs.redeliver = True
    sim.append(*({"msgid": f"m{n}", "origin": 3, "external_userid": "wmA", "msgtype": "text"} for n in range(100)))
    pages = await caller.walk()
    served = [item["msgid"] for page in pages for item in page["msg_list"]]
    assert list(dict.fromkeys(served)) == [f"m{n}" for n in range(100)]
    assert len(served) > 100
    assert pages[0]["msg_list"] == []
    assert sum(not page["msg_list"] for page in pages) > 3
    assert all(len(page["msg_list"]) <= 7 for page in pages)


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
async def test_limit_bounds_the_page(sim: WecomSimulator, caller: Any, limit: int) -> None:
    sim.log.knobs.redeliver = True
    sim.append(*({"msgid": f"m{n}"} for n in range(9)))
    first = await caller.pull(limit=limit)
    second = await caller.pull(first["next_cursor"], limit=limit)
    assert len(first["msg_list"]) == min(limit, 9)
    assert len(second["msg_list"]) <= limit
    assert second["msg_list"][-1] != first["msg_list"][-1] or limit == 1000


async def test_a_cursor_goes_on_where_it_stopped(sim: WecomSimulator, caller: Any) -> None:
    first = await sim.customer_says("wmAlice", "one")
    page = await caller.pull()
    assert [item["msgid"] for item in page["msg_list"]] == [first]
    assert page["has_more"] == 0
    assert len(page["next_cursor"]) <= 64
    assert (await caller.pull(page["next_cursor"]))["msg_list"] == []
    second = await sim.customer_says("wmAlice", "two")
    assert [item["msgid"] for item in (await caller.pull(page["next_cursor"]))["msg_list"]] == [second]


async def test_without_cursor_the_last_three_days_are_served(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    await sim.customer_says("wmAlice", "forgotten")
    clock.forward(1)
    kept = await sim.customer_says("wmAlice", "kept")
    clock.forward(72 * HOUR)
    await caller.login()
    assert [item["msgid"] for item in (await caller.pull())["msg_list"]] == [kept]


async def test_a_foreign_or_broken_cursor_is_refused(sim: WecomSimulator, caller: Any) -> None:
    sim.add_account("wkOther")
    other = await caller.pull(open_kfid="wkOther")
    for cursor in (other["next_cursor"], "garbage", "中", "!!!!"):
        assert (await caller.pull(cursor))["errcode"] == 40058


async def test_a_cursor_from_an_earlier_run_lies_before_everything(sim: WecomSimulator, caller: Any) -> None:
    earlier = WecomSimulator(
        corp_id=sim.corp_id, secret="s", token="t", encoding_aes_key="a" * 43, account=sim.account, run_id="earlier"
    )
    earlier.append({"msgid": "old"})
    cursor = earlier.log.page(sim.account, {})["next_cursor"]
    msgid = await sim.customer_says("wmAlice", "hi")
    assert [item["msgid"] for item in (await caller.pull(cursor))["msg_list"]] == [msgid]


async def test_a_sync_token_dies_after_ten_minutes_and_fits_one_account(
    sim: WecomSimulator, caller: Any, clock: Any
) -> None:
    token = sim.log.issue_token(sim.account)
    sim.add_account("wkOther")
    assert (await caller.pull(token="made-up"))["errcode"] == 95007
    assert (await caller.pull(token=token, open_kfid="wkOther"))["errcode"] == 95007
    clock.forward(600)
    assert (await caller.pull(token=token))["errcode"] == 0
    clock.forward(1)
    assert (await caller.pull(token=token))["errcode"] == 95007


async def test_pulls_without_token_can_be_rationed(sim: WecomSimulator, caller: Any, clock: Any) -> None:
    sim.log.knobs.tokenless_per_minute = 1
    assert await caller.codes(caller.pull(), caller.pull()) == [0, 45009]
    assert (await caller.pull(token=sim.log.issue_token(sim.account)))["errcode"] == 0
    clock.forward(60)
    assert (await caller.pull())["errcode"] == 0


async def test_a_pull_names_its_account_and_a_sane_limit(sim: WecomSimulator, caller: Any) -> None:
    assert (await caller.post("kf/sync_msg", {}))["errcode"] == 40058
    assert (await caller.pull(open_kfid="wkNobody"))["errcode"] == 95000
    assert (await caller.pull(limit=1001))["errcode"] == 40058
