"""The main job, driven from outside: encrypted callback in, kf message out, a person in between."""

from __future__ import annotations

CUSTOMER = "wmAcceptance01"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"


async def ask_a_person(service, customer=CUSTOMER):
    """Ask what the sample does not cover; return the card."""
    service.wecom.add_customer(customer, nickname="小满")
    await service.wecom.customer_says(customer, OPEN_QUESTION)
    hold = await service.wecom.wait_for_text(customer, "⏳", timeout=20)
    assert hold == "⏳ 已为您转接人工客服,请稍候..."
    return await service.telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)


async def test_the_whole_conversation(service):
    wecom, telegram = service.wecom, service.telegram
    wecom.add_customer(CUSTOMER, nickname="小满")

    assert await wecom.enter_session(CUSTOMER)
    assert "智能客服" in await wecom.wait_for_text(CUSTOMER, 1, timeout=20)

    await wecom.customer_says(CUSTOMER, "如何退款?")
    assert "申请退款" in await wecom.wait_for_text(CUSTOMER, 2, timeout=20)

    await wecom.customer_says(CUSTOMER, "那要多久?")
    assert "工作日" in await wecom.wait_for_text(CUSTOMER, 3, timeout=20)

    card = await ask_a_person(service)
    assert "小满" in card.text
    assert "如何退款?" in card.text
    assert card.topic_id is not None
    assert [topic.name for topic in telegram.topics] == ["🔴 小满"]

    await wecom.customer_says(CUSTOMER, "在吗,急")
    relayed = await telegram.wait_for_message(lambda message: "在吗,急" in message.text, timeout=20)
    assert relayed.topic_id == card.topic_id

    await telegram.agent_writes("可以刻字,加 10 元。", topic_id=card.topic_id)
    await wecom.wait_for_text(CUSTOMER, "可以刻字,加 10 元。", timeout=20)

    await telegram.agent_writes("/done", topic_id=card.topic_id)
    await wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)

    await wecom.customer_says(CUSTOMER, "运费谁承担?")
    await wecom.wait_for_text(CUSTOMER, "运费险", timeout=20)

    texts = wecom.texts_to(CUSTOMER)
    assert len(texts) == len(set(texts)) == 7
    assert service.rows("select content, user_id, reason from unknown_questions") == [
        (OPEN_QUESTION, CUSTOMER, "low_confidence")
    ]
    assert service.rows("select count(*) from tickets where closed_at is null") == [(0,)]


async def test_a_reply_after_kill_9_reaches_the_customer_exactly_once(make_service):
    service = await make_service()
    process = await service.serve()
    card = await ask_a_person(service)
    await service.kill(process)

    await service.telegram.agent_writes("可以刻字,加 10 元。", topic_id=card.topic_id)
    await service.serve()
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字,加 10 元。", timeout=30)
    await service.telegram.agent_writes("/done", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    await service.wecom.customer_says(CUSTOMER, "运费谁承担?")
    await service.wecom.wait_for_text(CUSTOMER, "运费险", timeout=20)
    texts = service.wecom.texts_to(CUSTOMER)
    assert texts.count("可以刻字,加 10 元。") == 1
    assert len(texts) == 4


async def test_messages_written_while_the_service_is_dead_are_answered_after_the_start(make_service):
    service = await make_service()
    process = await service.serve()
    await service.wecom.customer_says(CUSTOMER, "如何退款?")
    await service.wecom.wait_for_text(CUSTOMER, 1, timeout=20)
    await service.kill(process)
    service.wecom.callback_url = None
    await service.wecom.customer_says(CUSTOMER, "运费谁承担?")
    await service.serve()
    assert "运费险" in await service.wecom.wait_for_text(CUSTOMER, 2, timeout=30)


async def test_without_topics_people_answer_by_replying_to_the_ticket(make_service):
    service = await make_service(forum=False)
    await service.serve()
    card = await ask_a_person(service)
    assert card.topic_id is None
    await service.telegram.agent_writes("可以刻字。", reply_to=card.message_id)
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字。", timeout=20)
    await service.telegram.agent_writes("/done", reply_to=card.message_id)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)


async def test_strangers_are_not_heard(service):
    card = await ask_a_person(service)
    await service.telegram.agent_writes("我来骗人", topic_id=card.topic_id, chat_id=-100999)
    await service.telegram.agent_writes("我是客服", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "我是客服", timeout=20)
    assert "我来骗人" not in service.wecom.texts_to(CUSTOMER)


async def test_webhook_mode_and_separate_workers(make_service):
    """HTTP in one process, the work in two others, Telegram pushing its updates."""
    secret = "webhook-secret-0123"
    service = await make_service(
        TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET=secret, TELEGRAM_WEBHOOK_URL="http://127.0.0.1:9/not-yet"
    )
    await service.serve("--workers-inline", "0")
    await service.start("worker")
    await service.start("worker")
    card = await ask_a_person(service)
    import httpx

    body = {
        "update_id": 990001,
        "message": {
            "message_id": 99,
            "date": 1,
            "chat": {"id": service.telegram.chat_id, "type": "supergroup", "is_forum": True},
            "from": {"id": 7, "is_bot": False, "first_name": "小王"},
            "message_thread_id": card.topic_id,
            "is_topic_message": True,
            "text": "可以刻字。",
        },
    }
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    async with httpx.AsyncClient() as client:
        for _ in range(2):
            answer = await client.post(f"{service.url}/telegram/webhook", json=body, headers=headers)
            assert answer.status_code in {200, 503}
        while answer.status_code == 503:
            answer = await client.post(f"{service.url}/telegram/webhook", json=body, headers=headers)
    await service.wecom.wait_for_text(CUSTOMER, "可以刻字。", timeout=20)
    await service.wecom.customer_says(CUSTOMER, "好的谢谢")
    await service.telegram.wait_for_message(lambda message: "好的谢谢" in message.text, timeout=20)
    assert service.wecom.texts_to(CUSTOMER).count("可以刻字。") == 1


async def test_a_row_inserted_by_hand_is_found_within_five_seconds(service):
    import asyncio

    import httpx
    import psycopg

    with psycopg.connect(service.database_uri, autocommit=True) as conn:
        conn.execute(
            "insert into knowledge_chunks (content, metadata) values (%s, %s)",
            ("你们招聘吗?\n目前不招聘,感谢关注。", '{"category": "其他"}'),
        )
    async with httpx.AsyncClient() as client, asyncio.timeout(5):
        while True:
            answer = await client.post(f"{service.url}/api/test_kb", json={"query": "你们招聘吗?"})
            if answer.json()["decision"] == "answer":
                break
    assert answer.json()["results"][0]["metadata"]["category"] == "其他"
    await service.wecom.customer_says(CUSTOMER, "你们招聘吗?")
    assert await service.wecom.wait_for_text(CUSTOMER, 1, timeout=20) == "目前不招聘,感谢关注。"
