"""While a person has the conversation, and when nobody comes, over the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

CUSTOMER = "wmHandoff01"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"


async def ask_a_person(service):
    """Ask what the sample does not cover; return the card."""
    service.wecom.add_customer(CUSTOMER, nickname="小满")
    await service.wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    await service.wecom.wait_for_text(CUSTOMER, "⏳", timeout=20)
    return await service.telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)


async def test_beside_a_person_the_bot_answers_and_the_person_goes_on(make_service):
    service = await make_service(KEFU_HANDOFF_MODE="assist")
    await service.serve()
    card = await ask_a_person(service)
    await service.wecom.customer_says(CUSTOMER, "如何退款?")
    assert "申请退款" in await service.wecom.wait_for_text(CUSTOMER, 2, timeout=20)
    shown = await service.telegram.wait_for_message(lambda message: "自动回答" in message.text, timeout=20)
    assert shown.topic_id == card.topic_id
    assert service.rows("select count(*) from tickets where closed_at is null") == [(1,)]
    await service.telegram.agent_writes("可以刻字,加 10 元。", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字,加 10 元。", timeout=20)
    await service.telegram.agent_writes("/done", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)


async def test_nobody_comes_and_nothing_waits_for_ever(make_service):
    service = await make_service(
        KEFU_HANDOFF_MODE="resume",
        KEFU_HANDOFF_REMIND_MINUTES="0.05",
        KEFU_HANDOFF_TELL_MINUTES="0.1",
        KEFU_HANDOFF_RESUME_MINUTES="0.3",
    )
    await service.serve()
    card = await ask_a_person(service)
    reminder = await service.telegram.wait_for_message(lambda message: "还没有人回复" in message.text, timeout=60)
    assert reminder.topic_id == card.topic_id
    await service.wecom.wait_for_text(CUSTOMER, "让您久等", timeout=60)
    await service.wecom.wait_for_text(CUSTOMER, "接下来由我先为您服务", timeout=60)
    await service.wecom.customer_says(CUSTOMER, "如何退款?")
    await service.wecom.wait_for_text(CUSTOMER, "申请退款", timeout=20)
    actions = service.rows("select action from audit_log where actor = 'kefu' order by id")
    assert actions == [("ticket.reminded",), ("ticket.told",), ("ticket.resumed",)]


async def test_outside_office_hours_customers_hear_when_people_are_back(make_service):
    day = datetime.now(UTC) + timedelta(days=3)
    service = await make_service(KEFU_OFFICE_HOURS=f"{day:%a} 03:33-03:34", KEFU_TIMEZONE="UTC")
    await service.serve()
    await ask_a_person(service)
    [hold] = service.wecom.texts_to(CUSTOMER)
    assert "03:33上班" in hold
