"""Members of the company ask the app, over the wire: answered, asked back, handed to the desk in the same app."""

from __future__ import annotations

import pytest

MEMBER, AGENT, CUSTOMER = "zhangsan", "lisi", "wmAppChannel01"
AGENT_ID = 1000002
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"


@pytest.fixture
async def service(make_service):
    service = await make_service(
        WECOM_AGENT_ID=str(AGENT_ID), KEFU_APP_CHANNEL="on", NOTIFICATION_CHANNEL=f"wecom:{AGENT}"
    )
    service.wecom.members.agent_id = AGENT_ID
    service.wecom.members.known = {MEMBER, AGENT, "wangwu"}
    await service.serve()
    return service


async def told(service, member, words, *, count=1):
    """Wait until a member read this so often; return the last such message."""
    members = service.wecom.members

    def found():
        return [message for message in members.to(member) if words in message.text]

    try:
        await service.wecom.wait_until(lambda: len(found()) >= count, timeout=20)
    except TimeoutError:
        raise AssertionError(f"{member} was not told {words!r}, only {members.texts_to(member)}") from None
    return found()[-1]


async def test_members_and_customers_are_answered_each_where_they_wrote(service):
    wecom = service.wecom
    wecom.callbacks.duplicate(1)
    await wecom.member_writes(MEMBER, "如何退款?")
    await told(service, MEMBER, "申请退款")
    await wecom.customer_says(CUSTOMER, "如何退款?")
    await wecom.wait_for_text(CUSTOMER, "申请退款", timeout=20)
    assert len(wecom.members.to(MEMBER)) == 1
    assert wecom.texts_to(MEMBER) == []
    assert service.rows("select channel, customer_id from conversations order by channel") == [
        ("wecom", CUSTOMER),
        ("wecom-app", MEMBER),
    ]


async def test_an_unclear_question_is_asked_back_as_a_list_and_a_number_answers(service):
    wecom = service.wecom
    await wecom.member_writes(MEMBER, "快递")
    menu = await told(service, MEMBER, "您是想问:")
    assert menu.msgtype == "text"
    assert "\n1. " in menu.text
    await wecom.member_writes(MEMBER, "1")
    await wecom.wait_until(lambda: len(wecom.members.to(MEMBER)) == 2, timeout=20)
    assert service.rows("select source from answer_labels") == [("typed",)]


async def test_a_colleague_answers_a_member_in_the_same_app(service):
    wecom = service.wecom
    await wecom.member_writes(MEMBER, OPEN_QUESTION)
    card = await told(service, AGENT, OPEN_QUESTION)
    assert MEMBER in card.text
    await wecom.member_clicks(card, "接手")
    await told(service, AGENT, "lisi 已接手")
    await wecom.member_writes(AGENT, "可以刻字，一个加 10 元")
    await told(service, MEMBER, "可以刻字")
    picture = wecom.media.add("image", b"\x89PNG\r\n\x1a\n a cup", "杯子.png")
    await wecom.member_sends(MEMBER, "image", {"MediaId": picture})
    await told(service, AGENT, "[image]")
    await wecom.member_writes(AGENT, "/done")
    await told(service, MEMBER, "处理完毕")
    assert service.rows("select distinct thread_id from inbox") == [(f"wecom-app:{AGENT_ID}:{MEMBER}",)]


async def test_what_a_member_wrote_is_answered_after_a_kill(service):
    wecom = service.wecom
    [process] = service.processes
    await service.kill(process)
    wecom.callbacks.retry_delay = 0.0
    await wecom.member_writes(MEMBER, "如何退款?")
    assert service.rows("select id from inbox") == []
    await service.serve("--workers-inline", "0")
    await wecom.member_writes(MEMBER, "如何退款?")
    [(count,)] = service.rows("select count(*) from inbox where handled_at is null")
    assert count == 1
    await service.start("worker")
    await told(service, MEMBER, "申请退款")
