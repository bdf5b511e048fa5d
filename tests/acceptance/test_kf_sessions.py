"""Opening the 微信客服 chat, over the wire: a greeting with questions to click, ready within the code's 20 seconds."""

from __future__ import annotations

import time
from importlib import resources

import pytest


def answer_in_the_sample(question):
    """Look an entry up in the articles themselves; blank lines are the reader's business."""
    text = (resources.files("kb") / "documents" / "sample.md").read_text(encoding="utf-8")
    [entry] = [entry for entry in text.split("\n### ") if question in entry.partition("\n\n")[0]]
    return entry.partition("\n\n")[2].partition("\n## ")[0].split()


async def greeting_of(service, customer, **entered):
    """Enter the chat; return the greeting and how long it took."""
    service.wecom.add_customer(customer, nickname="小禾")
    began = time.monotonic()
    assert await service.wecom.enter_session(customer, **entered)
    await service.wecom.wait_for_text(customer, 1, timeout=20)
    [greeting] = [sent for sent in service.wecom.sent if sent.customer == customer]
    return greeting, time.monotonic() - began


async def test_a_greeting_offers_questions_and_a_click_is_answered_word_for_word(make_service):
    service = await make_service(KEFU_COMPANY="小店")
    await service.serve()
    greeting, took = await greeting_of(service, "wmEnters", scene="website", scene_param="首页")
    assert took < 10
    assert greeting.msgtype == "msgmenu"
    assert greeting.payload["head_content"].startswith("小禾您好！欢迎光临小店，")
    items = [item["click"] for item in greeting.payload["list"]]
    assert len(items) == 3
    assert service.rows("select scene, source from conversations") == [("website", "首页")]
    await service.wecom.customer_clicks("wmEnters", items[0]["id"])
    answer = await service.wecom.wait_for_text("wmEnters", 2, timeout=20)
    assert answer.split() == answer_in_the_sample(items[0]["content"])
    assert service.rows("select * from tickets") == []
    assert service.rows(
        "select part, jsonb_array_length(payload -> 'sources') from outbox where destination = 'customer'"
    ) == [("answer.0", 1)]


@pytest.mark.parametrize("said_before", [True, False])
async def test_who_comes_again_gets_no_second_greeting(service, said_before):
    wecom = service.wecom
    if said_before:
        await wecom.customer_says("wmAgain", "如何退款?")
    else:
        await wecom.enter_session("wmAgain", scene="website")
    await wecom.wait_for_text("wmAgain", 1, timeout=20)
    assert await wecom.enter_session("wmAgain", scene="shop") is None
    await wecom.customer_says("wmAgain", "如何退款?")
    await wecom.wait_for_text("wmAgain", 2, timeout=20)
    assert wecom.calls["kf/send_msg_on_event"] == (0 if said_before else 1)
    assert service.rows("select source from conversations") == [("shop",)]


async def test_without_questions_the_greeting_is_a_text(make_service):
    service = await make_service(KEFU_GREETING_QUESTIONS="0")
    await service.serve()
    greeting, _ = await greeting_of(service, "wmReads")
    assert greeting.msgtype == "text"
    assert greeting.text.count("·") == 3


async def test_a_greeting_of_unknown_outcome_is_not_doubled(service):
    service.wecom.reset_after_effect("kf/send_msg_on_event")
    greeting, _ = await greeting_of(service, "wmReset")
    assert greeting.msgtype == "msgmenu"
    await service.wecom.wait_until(lambda: service.wecom.calls["kf/send_msg_on_event"] == 2)
    await service.wecom.customer_says("wmReset", "如何退款?")
    await service.wecom.wait_for_text("wmReset", 2, timeout=20)
    assert [sent.msgtype for sent in service.wecom.sent] == ["msgmenu", "text"]


async def test_a_greeting_wecom_refuses_as_a_menu_goes_out_as_a_list(service):
    service.wecom.fail_next("kf/send_msg_on_event", 95030)
    greeting, _ = await greeting_of(service, "wmLists")
    assert greeting.msgtype == "text"
    assert "\n1. " in greeting.text
