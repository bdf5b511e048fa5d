"""Accounts that differ, over the wire: their own knowledge, their own words, the desk that is asked first."""

from __future__ import annotations

import pytest

MEMBER, AGENT, CUSTOMER = "zhangsan", "lisi", "wmAccounts01"
AGENT_ID = 1000002
HANDBOOK = "### 年假怎么休?\n\n入职满一年每年五天。\n\n### 工资什么时候发?\n\n每月十号。\n"
REFUND, LEAVE = "如何退款?", "年假怎么休?"


@pytest.fixture
async def service(make_service, tmp_path):
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "hold.md").write_text("已转给人事同事。", encoding="utf-8")
    (tmp_path / "handbook.md").write_text(HANDBOOK, encoding="utf-8")
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text("wecom-app: {categories: [人事], prompts: hr, desk: wecom}\n", encoding="utf-8")
    service = await make_service(WECOM_AGENT_ID=str(AGENT_ID), KEFU_APP_CHANNEL="on", KEFU_ACCOUNTS_FILE=str(accounts))
    service.environment["NOTIFICATION_CHANNEL"] += f",wecom:{AGENT}"
    service.wecom.members.agent_id = AGENT_ID
    importing = await service.start("kb", "import", str(tmp_path / "handbook.md"), "--category", "人事")
    assert await importing.wait() == 0
    await service.serve()
    return service


async def told(service, member, words):
    """Wait until a member read this."""
    members = service.wecom.members
    try:
        await service.wecom.wait_until(lambda: any(words in text for text in members.texts_to(member)), timeout=20)
    except TimeoutError:
        raise AssertionError(f"{member} was not told {words!r}, only {members.texts_to(member)}") from None


async def test_an_account_is_answered_from_its_categories_in_its_words_and_goes_to_its_desk(service):
    wecom = service.wecom
    await wecom.member_writes(MEMBER, LEAVE)
    await told(service, MEMBER, "入职满一年")
    await wecom.member_writes(MEMBER, REFUND)
    # Two entries are all there is to choose from here.
    await told(service, MEMBER, "3. 都不是,找人工")
    await wecom.member_writes(MEMBER, "3")
    await told(service, MEMBER, "已转给人事同事")
    await told(service, AGENT, REFUND)
    assert not any("申请退款" in text for text in wecom.members.texts_to(MEMBER))

    await wecom.customer_says(CUSTOMER, REFUND)
    await wecom.wait_for_text(CUSTOMER, "申请退款", timeout=20)
    await wecom.customer_says(CUSTOMER, "你们可以在杯子上刻我的名字吗?")
    await service.telegram.wait_for_message(lambda message: "刻我的名字" in message.text, timeout=20)
    assert not any("刻我的名字" in text for text in wecom.members.texts_to(AGENT))
