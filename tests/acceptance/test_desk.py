"""The desk over the wire: who may answer, what is marked, what each command does, and what a crash leaves."""

from __future__ import annotations

import psycopg
import pytest

CUSTOMER = "wmDesk01"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"


@pytest.fixture
def ask():
    """Ask what the sample does not cover; return the card."""

    async def run(service, question=OPEN_QUESTION):
        service.wecom.add_customer(CUSTOMER, nickname="小满")
        await service.wecom.customer_says(CUSTOMER, question)
        return await service.telegram.wait_for_message(
            lambda message: question in message.text and message.buttons, timeout=20
        )

    return run


@pytest.fixture
async def card(service, ask):
    return await ask(service)


def data(card, action):
    return next(button.data for button in card.buttons if button.data.startswith(f"{action}:"))


async def shown(service, words, count=1):
    """Wait until the desk was told this so often; return the last such message."""
    telegram = service.telegram

    def found():
        return [message for message in telegram.messages if words in message.text]

    await telegram.wait_until(lambda: len(found()) >= count, 20, what=words)
    return found()[-1]


async def named(service, name):
    await service.telegram.wait_until(lambda: service.telegram.topics[0].name == name, 20, what=name)


async def test_one_person_at_a_time(make_service, ask):
    service = await make_service(KEFU_TAKE_MINUTES="1")
    await service.serve()
    card = await ask(service)
    telegram, topic = service.telegram, card.topic_id
    await named(service, "🔴 小满")
    await telegram.agent_presses(card.message_id, data(card, "take"), agent="小王")
    await shown(service, "小王 已接手")
    await named(service, "🟡 小满 · 小王")
    refused = await telegram.agent_writes("我来说", topic_id=topic, agent="小李")
    assert (await shown(service, "小王 正在接待")).reply_to == refused

    with psycopg.connect(service.database_uri) as conn:
        conn.execute("update tickets set acted_at = acted_at - interval '61 seconds'")
    await telegram.agent_writes("/take", topic_id=topic, agent="小李")
    await shown(service, "小李 已接手")
    await telegram.agent_writes("可以刻字", topic_id=topic, agent="小李")
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)
    await telegram.agent_writes("/done", topic_id=topic, agent="小李")
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    await named(service, "🟢 小满")
    assert "我来说" not in service.wecom.texts_to(CUSTOMER)


async def test_two_who_press_at_once(service, card):
    await service.telegram.agent_presses(card.message_id, data(card, "take"), agent="小王")
    await service.telegram.agent_presses(card.message_id, data(card, "take"), agent="小李")
    await service.telegram.wait_until(lambda: len(service.telegram.callback_answers) == 2, 20)
    words = [answer.text for answer in service.telegram.callback_answers]
    assert words[0] == "✓"
    assert "小王 正在接待" in words[1]
    assert service.rows("select taken_name from tickets") == [("小王",)]


async def test_every_message_is_marked_and_the_budget_told(service, card):
    telegram, topic = service.telegram, card.topic_id
    first = await telegram.agent_writes("一", topic_id=topic)
    await telegram.wait_until(lambda: first in telegram.reactions, 20)
    for number, text in enumerate(("二", "三", "四"), start=2):
        message_id = await telegram.agent_writes(text, topic_id=topic)
        await telegram.wait_until(lambda: message_id in telegram.reactions, 20)  # noqa: B023 -- awaited at once
        if number > 2:
            left = await shown(service, f"还能再发 {4 - number} 条")
            assert left.reply_to == message_id
    late = await telegram.agent_writes("五", topic_id=topic)
    failed = await shown(service, "没有送达客户")
    assert (failed.reply_to, "已发满 5 条" in failed.text) == (late, True)
    assert late not in telegram.reactions
    assert "五" not in service.wecom.texts_to(CUSTOMER)


async def test_the_commands(service, card):
    telegram, topic = service.telegram, card.topic_id
    note = await telegram.agent_writes("/note 老客户,给九折", topic_id=topic)
    assert (await shown(service, "已记录")).reply_to == note
    await telegram.agent_writes("/who", topic_id=topic)
    who = await shown(service, "👤 接待")
    assert "还没有人接手" in who.text
    assert "47 小时" in who.text
    await telegram.agent_writes("/refund 100", topic_id=topic)
    await shown(service, "怎么回复客户")
    await telegram.agent_writes("/kb 如何退款?", topic_id=topic)
    found = await shown(service, "知识库里最接近的内容")
    await telegram.agent_presses(found.message_id, found.buttons[0].data)
    assert "申请退款" in await service.wecom.wait_for_text(CUSTOMER, 2, timeout=20)
    await telegram.agent_writes("/history", topic_id=topic)
    history = await shown(service, "最近的对话")
    for words in (f"客户:{OPEN_QUESTION}", "备注 小王:老客户,给九折", "人工:"):
        assert words in history.text
    await telegram.agent_writes("/close", topic_id=topic)
    await telegram.wait_until(lambda: telegram.topics[0].is_closed, 20)
    assert len(service.wecom.texts_to(CUSTOMER)) == 2


async def test_a_muted_bot_is_silent_until_it_is_told_to_speak(service, card):
    telegram, topic = service.telegram, card.topic_id
    await telegram.agent_writes("/done", topic_id=topic)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    await telegram.agent_writes("/mute", topic_id=topic)
    await named(service, "🟢🔇 小满")
    await service.wecom.customer_says(CUSTOMER, "如何退款?")
    await shown(service, "👤 小满:如何退款?")
    await telegram.agent_writes("/unmute", topic_id=topic)
    await named(service, "🟢 小满")
    await service.wecom.customer_says(CUSTOMER, "运费谁承担?")
    await service.wecom.wait_for_text(CUSTOMER, "运费险", timeout=20)
    assert not any("申请退款" in text for text in service.wecom.texts_to(CUSTOMER))


async def test_an_edited_message_and_a_repeated_update(service, card):
    telegram = service.telegram
    message_id = await telegram.agent_writes("可以刻字", topic_id=card.topic_id)
    await telegram.repeat_last_update()
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)
    await telegram.agent_edits(message_id, "不可以刻字")
    assert (await shown(service, "仍是第一版")).reply_to == message_id
    assert [text for text in service.wecom.texts_to(CUSTOMER) if "刻字" in text] == ["可以刻字"]


async def test_after_the_end_words_still_arrive_and_old_buttons_do_nothing(service, card):
    telegram, topic = service.telegram, card.topic_id
    await telegram.agent_presses(card.message_id, data(card, "done"))
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    await telegram.agent_writes("补充一句", topic_id=topic, reply_to=card.message_id)
    await service.wecom.wait_for_text(CUSTOMER, "补充一句", timeout=20)
    await shown(service, "没有待处理的工单")
    await telegram.agent_presses(card.message_id, data(card, "take"))
    await telegram.wait_until(lambda: "失效" in telegram.callback_answers[-1].text, 20)


async def test_a_long_text_is_confirmed_and_marked_where_it_was_written(service, card):
    telegram, topic = service.telegram, card.topic_id
    text = "这是一句很长的话。" * 120
    message_id = await telegram.agent_writes(text, topic_id=topic)
    question = await shown(service, "分成 2 条")
    await service.wecom.customer_says(CUSTOMER, "在吗")
    await shown(service, "在吗")
    assert len(service.wecom.texts_to(CUSTOMER)) == 1
    await telegram.agent_presses(question.message_id, question.buttons[0].data)
    await telegram.wait_until(lambda: message_id in telegram.reactions, 20)
    assert "".join(service.wecom.texts_to(CUSTOMER)[1:]) == text


async def test_a_deleted_topic_is_made_anew(service, card):
    telegram = service.telegram
    await telegram.delete_topic(card.topic_id)
    await service.wecom.customer_says(CUSTOMER, "在吗,急")
    relayed = await shown(service, "在吗,急")
    assert relayed.topic_id != card.topic_id
    await telegram.agent_writes("可以刻字", topic_id=relayed.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字", timeout=20)


async def test_a_new_ticket_opens_the_closed_topic_again(service, card, ask):
    telegram = service.telegram
    await telegram.agent_writes("/close", topic_id=card.topic_id)
    await telegram.wait_until(lambda: telegram.topics[0].is_closed, 20)
    again = await ask(service, "你们的老板属什么生肖?")
    assert again.topic_id == card.topic_id
    await named(service, "🔴 小满")
    assert [topic.is_closed for topic in telegram.topics] == [False]


async def test_a_crash_between_lock_and_answer_keeps_the_lock(make_service, ask):
    service = await make_service()
    process = await service.serve()
    card = await ask(service)
    telegram, topic = service.telegram, card.topic_id
    await telegram.agent_writes("/take", topic_id=topic, agent="小王")
    await shown(service, "小王 已接手")
    await service.kill(process)
    message_id = await telegram.agent_writes("可以刻字", topic_id=topic, agent="小王")
    await telegram.agent_writes("我也说", topic_id=topic, agent="小李")
    await service.serve()
    await telegram.wait_until(lambda: message_id in telegram.reactions, 30)
    await shown(service, "小王 正在接待")
    assert [text for text in service.wecom.texts_to(CUSTOMER) if text in {"可以刻字", "我也说"}] == ["可以刻字"]


async def test_without_topics_and_reactions_it_is_all_said_in_words(make_service, ask):
    service = await make_service(forum=False)
    service.telegram.set_reactions(allowed=False)
    await service.serve()
    card = await ask(service)
    await service.telegram.agent_presses(card.message_id, data(card, "take"), agent="小王")
    await shown(service, "小王 已接手")
    refused = await service.telegram.agent_writes("我来说", reply_to=card.message_id, agent="小李")
    assert (await shown(service, "小王 正在接待")).reply_to == refused
    message_id = await service.telegram.agent_writes("可以刻字", reply_to=card.message_id, agent="小王")
    assert (await shown(service, "✓ 已送达客户")).reply_to == message_id
    assert service.telegram.topics == ()
