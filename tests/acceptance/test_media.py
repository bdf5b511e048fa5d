"""Files over the wire, both ways: what arrives, what is told when it cannot, what an outage and a lost answer leave."""

from __future__ import annotations

import pytest

CUSTOMER = "wmMedia01"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"
JPG = b"\xff\xd8\xff\xe0" + b"a picture" * 20
PNG = b"\x89PNG\r\n\x1a\n" + b"another" * 20
AMR = b"#!AMR\n" + b"speech" * 20
OGG = b"OggS" + b"voice" * 20
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"moving" * 20
PDF = b"%PDF-1.7 and so on"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"sticker" * 20
TWENTY_MB = 20 * 1024 * 1024


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


async def shown_file(service, content, *, seconds=20):
    """Wait until the desk was shown this file; return the message."""
    return await service.telegram.wait_for_message(
        lambda message: message.file is not None and message.file.content == content, timeout=seconds
    )


async def shown(service, words):
    return await service.telegram.wait_for_message(lambda message: words in message.text, timeout=20)


async def delivered(service, message_id):
    await service.telegram.wait_until(lambda: message_id in service.telegram.reactions, 20, what="a mark")


async def test_what_a_customer_sends_is_seen_at_the_desk(service, card):
    sent = [
        ("image", JPG, "photo", "[图片]"),
        ("voice", AMR, "document", "[语音]"),
        ("video", MP4, "video", "[视频]"),
        ("file", PDF, "document", "[文件]"),
    ]
    for kind, content, field, label in sent:
        await service.wecom.customer_sends_file(CUSTOMER, kind, content, "说明.pdf" if kind == "file" else "")
        message = await shown_file(service, content)
        assert (message.topic_id, message.file.kind, label in message.text) == (card.topic_id, field, True)
        assert "小满" in message.text
    assert message.file.name == "说明.pdf"


async def test_a_picture_before_the_question_comes_along_with_the_card_once(service, ask):
    await service.wecom.customer_sends_file(CUSTOMER, "image", JPG)
    await service.wecom.wait_for_text(CUSTOMER, "看不懂图片", timeout=20)
    card = await ask(service)
    assert (await shown_file(service, JPG)).message_id > card.message_id
    await service.wecom.customer_sends_file(CUSTOMER, "image", PNG)
    await shown_file(service, PNG)
    files = [message.file.content for message in service.telegram.messages if message.file]
    assert files == [JPG, PNG]


async def test_words_and_a_picture_of_one_turn_are_both_shown(service, card):
    await service.wecom.customer_says(CUSTOMER, "这里裂了", notify=False)
    await service.wecom.customer_sends_file(CUSTOMER, "image", JPG)
    picture = await shown_file(service, JPG)
    assert (await shown(service, "这里裂了")).message_id < picture.message_id


async def test_a_muted_customer_s_picture_is_shown_too(service, card):
    await service.telegram.agent_writes("/done", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    await service.telegram.agent_writes("/mute", topic_id=card.topic_id)
    await shown(service, "沉默")
    await service.wecom.customer_sends_file(CUSTOMER, "image", JPG)
    assert (await shown_file(service, JPG)).topic_id == card.topic_id


async def test_a_picture_telegram_refuses_as_a_photo_goes_as_a_document(service, card):
    service.telegram.fail_next("sendPhoto", 400, description="Bad Request: PHOTO_INVALID_DIMENSIONS")
    await service.wecom.customer_sends_file(CUSTOMER, "image", JPG)
    assert (await shown_file(service, JPG)).file.kind == "document"


async def test_a_file_that_cannot_be_shown_is_told_in_words_and_the_line_goes_on(service, card):
    def lost():
        return [message for message in service.telegram.messages if "没能显示在这里" in message.text]

    service.wecom.fail_next("media/get", 40007)
    service.telegram.fail_next("sendDocument", 400, description="Bad Request: not enough rights to send documents")
    for count, content in enumerate((b"gone for good", b"x" * (TWENTY_MB + 1), b"refused there"), start=1):
        await service.wecom.customer_sends_file(CUSTOMER, "file", content)
        await service.telegram.wait_until(lambda: len(lost()) == count, 20, what="words")  # noqa: B023 -- awaited at once
        assert "[文件]" in lost()[-1].text
    await service.wecom.customer_says(CUSTOMER, "收到了吗")
    assert (await shown(service, "收到了吗")).message_id > lost()[-1].message_id
    assert not any(message.file for message in service.telegram.messages)


async def test_a_customer_s_picture_outlives_an_outage_of_the_desk(service, card):
    await service.telegram.stop()
    await service.wecom.customer_sends_file(CUSTOMER, "image", JPG)
    await service.wecom.wait_until(lambda: service.wecom.calls["media/get"] >= 1, timeout=20)
    await service.telegram.start()
    await shown_file(service, JPG, seconds=40)


async def test_what_a_person_sends_reaches_the_customer(service, card):
    sent = [
        ("photo", JPG, "image"),
        ("document", PDF, "file"),
        ("voice", OGG, "file"),
        ("video", MP4, "video"),
    ]
    for count, (field, content, kind) in enumerate(sent, start=1):
        message_id = await service.telegram.agent_sends_file(field, content, topic_id=card.topic_id)
        file = await service.wecom.wait_for_file(CUSTOMER, count, timeout=20)
        assert (file.kind, file.content) == (kind, content)
        await delivered(service, message_id)
    await service.wecom.customer_says(CUSTOMER, "还有吗")
    await shown(service, "还有吗")
    await service.telegram.agent_sends_file("photo", WEBP, topic_id=card.topic_id)
    file = await service.wecom.wait_for_file(CUSTOMER, len(sent) + 1, timeout=20)
    assert (file.kind, file.content) == ("file", WEBP)


async def test_what_is_written_under_a_file_follows_it_and_each_costs_one(service, card):
    telegram, topic = service.telegram, card.topic_id
    message_id = await telegram.agent_sends_file(
        "document", PDF, name="保修卡.pdf", caption="请看第二页", topic_id=topic
    )
    await service.wecom.wait_for_text(CUSTOMER, "请看第二页", timeout=20)
    await delivered(service, message_id)
    sent = [each.msgtype for each in service.wecom.sent]
    assert sent[-2:] == ["file", "text"]
    assert service.wecom.files_to(CUSTOMER)[0].name == "保修卡.pdf"
    assert service.rows("select units_used from conversations") == [(3,)]
    await telegram.agent_writes("/history", topic_id=topic)
    history = await shown(service, "最近的对话")
    assert "人工:[文件]" in history.text
    assert "人工:请看第二页" in history.text


async def test_a_file_and_its_words_that_do_not_fit_are_refused_together(service, card):
    telegram, topic = service.telegram, card.topic_id
    for text in ("一", "二", "三"):
        await delivered(service, await telegram.agent_writes(text, topic_id=topic))
    message_id = await telegram.agent_sends_file("photo", JPG, caption="您看", topic_id=topic)
    refused = await shown(service, "没有发送")
    assert (refused.reply_to, "要占 2 条" in refused.text, "再发 1 条" in refused.text) == (message_id, True, True)
    await delivered(service, await telegram.agent_sends_file("photo", JPG, topic_id=topic))
    assert [file.content for file in service.wecom.files_to(CUSTOMER)] == [JPG]


async def test_a_file_that_is_too_large_is_refused_at_once(service, card):
    telegram = service.telegram
    message_id = await telegram.agent_sends_file("document", b"big", size=TWENTY_MB + 1, topic_id=card.topic_id)
    assert (await shown(service, "文件太大")).reply_to == message_id
    await delivered(service, await telegram.agent_writes("稍后发链接给您", topic_id=card.topic_id))
    assert service.wecom.files_to(CUSTOMER) == []


async def test_a_file_telegram_lost_is_told_under_it_and_what_follows_still_goes(service, card):
    telegram = service.telegram
    telegram.fail_next("getFile", 400, description="Bad Request: wrong file_id or the file is temporarily unavailable")
    message_id = await telegram.agent_sends_file("photo", JPG, caption="您看", topic_id=card.topic_id)
    lost = await shown(service, "没有送达客户")
    assert (lost.reply_to, "[图片]" in lost.text) == (message_id, True)
    await service.wecom.wait_for_text(CUSTOMER, "您看", timeout=20)
    assert message_id not in telegram.reactions


@pytest.mark.parametrize("path", ["media/upload", "kf/send_msg"])
async def test_an_answer_that_got_lost_does_not_double_a_file(service, card, path):
    service.wecom.reset_after_effect(path)
    message_id = await service.telegram.agent_sends_file("photo", JPG, topic_id=card.topic_id)
    await delivered(service, message_id)
    assert [file.content for file in service.wecom.files_to(CUSTOMER)] == [JPG]


async def test_a_person_s_picture_outlives_an_outage_of_telegram_s_files(service, card):
    service.telegram.fail_next("download", 502, times=2)
    message_id = await service.telegram.agent_sends_file("photo", JPG, topic_id=card.topic_id)
    await delivered(service, message_id)
    assert [file.content for file in service.wecom.files_to(CUSTOMER)] == [JPG]


async def test_a_crash_between_the_picture_and_its_delivery_loses_and_doubles_nothing(make_service, ask):
    service = await make_service()
    process = await service.serve()
    card = await ask(service)
    service.wecom.latency["media/upload"] = 30
    await service.telegram.agent_sends_file("photo", JPG, caption="您看", topic_id=card.topic_id)
    await service.wecom.wait_until(lambda: service.wecom.calls["media/upload"] >= 1, timeout=20)
    await service.kill(process)
    service.wecom.latency.clear()
    await service.serve()
    await service.wecom.wait_for_text(CUSTOMER, "您看", timeout=40)
    assert [file.content for file in service.wecom.files_to(CUSTOMER)] == [JPG]


async def test_stickers_are_still_no_message(service, card):
    await service.telegram.agent_sends({"sticker": {"file_id": "s"}}, topic_id=card.topic_id)
    await shown(service, "转发不了")
