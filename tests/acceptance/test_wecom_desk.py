"""The desk inside WeCom over the wire: cards, answers, moving between desks, giving customers to the staff, groups."""

from __future__ import annotations

import asyncio

import pytest

from tools.simulators.telegram import TelegramSimulator

CUSTOMER, OTHER = "wmWecomDesk01", "wmWecomDesk02"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"
KEY = "11112222-3333-4444-5555-666677778888"
AGENT_ID = 1000002
TWO_LOOKS = 60
"""Tickets are looked at every ten seconds, and two reminders come first."""
PICTURE = b"\x89PNG\r\n\x1a\n" + b"a cup with a name on it"


@pytest.fixture
async def make(make_service):
    """Start a service with these channels; `telegram` stands for the simulator's chat."""

    async def run(channels, **environment):
        service = await make_service(WECOM_AGENT_ID=str(AGENT_ID), **environment)
        chat = service.environment["NOTIFICATION_CHANNEL"]
        service.environment["NOTIFICATION_CHANNEL"] = channels.replace("telegram", chat)
        service.wecom.members.agent_id = AGENT_ID
        service.wecom.members.known = {"lisi", "wangwu", "zhaoliu"}
        service.wecom.members.webhooks[KEY] = []
        service.wecom.add_customer(CUSTOMER, nickname="小满")
        service.wecom.add_customer(OTHER, nickname="阿青")
        await service.serve()
        return service

    return run


@pytest.fixture
async def service(make):
    return await make("wecom:lisi|wangwu")


async def card_for(service, member, customer=CUSTOMER, question=OPEN_QUESTION):
    await service.wecom.customer_says(customer, question)
    return await shown(service, member, question, has_buttons=True)


async def shown(service, member, words, count=1, *, has_buttons=False, seconds=20):
    """Wait until a member was told this so often; return the last such message."""
    wecom = service.wecom

    def found():
        return [
            message
            for message in wecom.members.to(member)
            if words in message.text and (not has_buttons or message.msgtype == "template_card")
        ]

    try:
        await wecom.wait_until(lambda: len(found()) >= count, timeout=seconds)
    except TimeoutError:
        raise AssertionError(f"{member} was not told {words!r}, only {wecom.members.texts_to(member)}") from None
    return found()[-1]


async def test_a_member_takes_answers_and_hands_back(service):
    wecom = service.wecom
    card = await card_for(service, "lisi")
    assert "小满" in card.text
    assert {"接手", "转给我", "交还机器人", "结束", "稍后 10 分钟"} <= set(card.buttons)
    await wecom.member_clicks(card, "接手")
    await shown(service, "lisi", "lisi 已接手", has_buttons=True)
    await wecom.wait_until(lambda: card.replaced == "已接手", timeout=20)
    await wecom.member_writes("lisi", "可以刻字，一个加 10 元")
    await wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)
    await shown(service, "lisi", "已送达客户")
    await wecom.customer_says(CUSTOMER, "那要多久?")
    await shown(service, "lisi", "小满：那要多久?")
    await wecom.member_writes("lisi", "/done")
    await wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    assert not any("那要多久" in text for text in wecom.members.texts_to("wangwu"))


async def test_two_members_who_press_at_once(service):
    wecom = service.wecom
    first = await card_for(service, "lisi")
    second = await shown(service, "wangwu", OPEN_QUESTION, has_buttons=True)
    await asyncio.gather(wecom.member_clicks(first, "接手"), wecom.member_clicks(second, "接手"))
    [(holder,)] = service.rows("select taken_name from tickets")
    loser = "wangwu" if holder == "lisi" else "lisi"
    await shown(service, holder, f"{holder} 已接手")
    await shown(service, loser, f"{holder} 正在接待")
    await wecom.member_writes(loser, "我来说")
    await shown(service, loser, "没有接待中的客户")
    assert "我来说" not in wecom.texts_to(CUSTOMER)


async def test_a_repeated_callback_does_nothing_twice(service):
    wecom = service.wecom
    card = await card_for(service, "lisi")
    wecom.callbacks.duplicate(2)
    await wecom.member_clicks(card, "接手")
    await shown(service, "lisi", "lisi 已接手")
    await wecom.member_writes("lisi", "可以刻字")
    await wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)
    await shown(service, "lisi", "已送达客户")
    assert wecom.texts_to(CUSTOMER).count("可以刻字") == 1
    assert service.rows("select count(*) from inbox where origin = 'desk'") == [(2,)]


async def test_a_stranger_is_refused_once_and_not_stored(service):
    wecom = service.wecom
    await card_for(service, "lisi")
    await wecom.member_writes("zhaoliu", "给客户的话")
    await shown(service, "zhaoliu", "不在本应用的接待人员名单里")
    await wecom.member_writes("zhaoliu", "喂")
    await wecom.member_writes("lisi", "/help")
    await shown(service, "lisi", "怎么回复客户")
    assert len(wecom.members.to("zhaoliu")) == 1
    assert service.rows("select count(*) from inbox where origin = 'desk'") == [(0,)]
    assert service.rows("select count(*) from callbacks where payload::text like '%zhaoliu%'") == [(0,)]


async def test_with_several_customers_an_unclear_text_is_asked_about_and_sent_once(service):
    wecom = service.wecom
    first = await card_for(service, "lisi")
    second = await card_for(service, "lisi", OTHER, "能定制礼盒上的图案吗?")
    await wecom.member_clicks(second, "接手")
    await shown(service, "lisi", "lisi 已接手")
    await wecom.member_clicks(first, "接手")
    await shown(service, "lisi", "lisi 已接手", 2)
    await wecom.customer_says(OTHER, "图案自己设计的")
    await shown(service, "lisi", "阿青：图案自己设计的")
    await wecom.member_writes("lisi", "可以，发我看看")
    question = await shown(service, "lisi", "这是给哪一位客户的")
    assert set(question.buttons) == {"小满", "阿青"}
    await asyncio.gather(wecom.member_clicks(question, "阿青"), wecom.member_clicks(question, "阿青"))
    await wecom.wait_for_text(OTHER, "发我看看", timeout=20)
    await shown(service, "lisi", "阿青：✓ 已送达客户")
    assert wecom.texts_to(OTHER).count("可以，发我看看") == 1
    assert not any("发我看看" in text for text in wecom.texts_to(CUSTOMER))


async def test_what_nobody_takes_on_telegram_comes_to_wecom(make):
    service = await make("telegram,wecom:lisi", KEFU_HANDOFF_REMIND_MINUTES="0.05", KEFU_HANDOFF_TELL_MINUTES="60")
    wecom = service.wecom
    await wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    await service.telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)
    card = await shown(service, "lisi", OPEN_QUESTION, has_buttons=True, seconds=TWO_LOOKS)
    await wecom.member_clicks(card, "接手")
    await shown(service, "lisi", "lisi 已接手")
    await wecom.member_writes("lisi", "可以刻字")
    await wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)
    await service.telegram.wait_until(lambda: service.telegram.topics[0].name == "🟡 小满 · lisi", 20, what="the topic")


async def test_a_dead_telegram_makes_room_for_wecom(make):
    telegram = TelegramSimulator(forum=True)
    service = await make(
        "telegram,wecom:lisi", telegram=telegram, TELEGRAM_API_BASE="http://127.0.0.1:9", KEFU_BURST_SECONDS="0.1"
    )
    card = await card_for(service, "lisi")
    await service.wecom.member_clicks(card, "接手")
    await service.wecom.member_writes("lisi", "可以刻字")
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)


async def test_a_person_on_telegram_takes_it_back_from_wecom(make):
    service = await make("telegram,wecom:lisi", KEFU_HANDOFF_REMIND_MINUTES="0.05", KEFU_HANDOFF_TELL_MINUTES="60")
    await service.wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    old = await service.telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)
    await shown(service, "lisi", OPEN_QUESTION, has_buttons=True, seconds=TWO_LOOKS)
    await service.telegram.agent_writes("我来", topic_id=old.topic_id, agent="小王")
    await service.wecom.wait_for_text(CUSTOMER, "我来", timeout=20)
    await service.wecom.customer_says(CUSTOMER, "谢谢,还有别的款吗")
    await service.telegram.wait_for_message(lambda message: "还有别的款吗" in message.text, timeout=20)
    assert len(service.telegram.topics) == 1
    assert not any("别的款" in text for text in service.wecom.members.texts_to("lisi"))


async def test_a_customer_is_given_to_the_staff_and_comes_back(service):
    wecom = service.wecom
    wecom.add_servicer("lisi")
    card = await card_for(service, "lisi")
    await wecom.member_clicks(card, "转给我")
    await shown(service, "lisi", "已在企业微信里接待")
    assert service.rows("select session_state from conversations") == [("staff",)]
    sent = len(wecom.texts_to(CUSTOMER))
    await wecom.customer_says(CUSTOMER, "如何退款?")
    await shown(service, "lisi", "小满：如何退款?")
    await wecom.staff_ends(CUSTOMER, "lisi")
    await shown(service, "lisi", "接待已结束")
    assert len(wecom.texts_to(CUSTOMER)) == sent
    await wecom.customer_says(CUSTOMER, "如何退款?")
    await wecom.wait_for_text(CUSTOMER, "申请退款", timeout=20)
    assert service.rows("select ended_by, closed_at is null from tickets") == [("transfer", False)]


async def test_nobody_to_transfer_to_is_said_in_plain_words(service):
    card = await card_for(service, "lisi")
    await service.wecom.member_clicks(card, "转给我")
    await shown(service, "lisi", "没有接待人员在接待")
    await service.wecom.member_writes("lisi", "那我来")
    await service.wecom.wait_for_text(CUSTOMER, "那我来", timeout=20)


async def test_a_group_is_told_once_and_where_to_answer(make):
    service = await make(f"wecom-webhook:{KEY},wecom:lisi")
    await card_for(service, "lisi")
    group = service.wecom.members.webhooks[KEY]
    await service.wecom.wait_until(lambda: bool(group), timeout=20)
    assert len(group) == 1
    for words in ("小满", "已发 1 条", "刻我的名字", "企业微信的应用消息"):
        assert words in group[0]
    assert KEY not in service.log.read_text()


async def test_with_only_a_group_nobody_can_answer_and_the_customer_is_told_so(make):
    service = await make(f"wecom-webhook:{KEY}")
    await service.wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    assert "没有人工客服在线" in await service.wecom.wait_for_text(CUSTOMER, 1, timeout=20)
    group = service.wecom.members.webhooks[KEY]
    await service.wecom.wait_until(lambda: bool(group), timeout=20)
    assert "kefu unknown list" in group[0]


async def test_from_telegram_a_customer_goes_into_the_staff_s_queue(make):
    service = await make("telegram")
    wecom, telegram = service.wecom, service.telegram
    wecom.add_servicer("zhangsan")
    await wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    card = await telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)
    await telegram.agent_writes("/transfer", topic_id=card.topic_id, agent="小王")
    await telegram.wait_for_message(lambda message: "待接入池" in message.text, timeout=20)
    assert service.rows("select session_state from conversations") == [("queued",)]
    await wecom.staff_says(CUSTOMER, "zhangsan", "您好，我来处理")
    await wecom.staff_ends(CUSTOMER, "zhangsan")
    await telegram.wait_for_message(lambda message: "接待已结束" in message.text, timeout=20)
    await wecom.customer_says(CUSTOMER, "如何退款?")
    await wecom.wait_for_text(CUSTOMER, "申请退款", timeout=20)


async def test_a_member_s_picture_reaches_the_customer(service):
    wecom = service.wecom
    card = await card_for(service, "lisi")
    await wecom.member_clicks(card, "接手")
    await shown(service, "lisi", "lisi 已接手")
    media_id = wecom.media.add("image", PICTURE, "cup.png")
    await wecom.member_sends("lisi", "image", {"PicUrl": "", "MediaId": media_id})
    await wecom.wait_until(lambda: [file.content for file in wecom.files_to(CUSTOMER)] == [PICTURE], timeout=20)
    await shown(service, "lisi", "小满：✓ 已送达客户")


async def test_a_customer_s_picture_reaches_the_member(service):
    wecom = service.wecom
    card = await card_for(service, "lisi")
    await wecom.member_clicks(card, "接手")
    await shown(service, "lisi", "lisi 已接手")
    media_id = wecom.media.add("image", PICTURE, "cup.png")
    await wecom.customer_sends(CUSTOMER, "image", {"media_id": media_id})
    await shown(service, "lisi", "[image]")
