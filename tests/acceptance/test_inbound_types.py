"""Every kind of message customers can send, over the wire: each does something sensible."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

ALONE = [
    ("text", {"content": "如何退款?"}, "申请退款"),
    ("image", {"media_id": "none"}, "看不懂图片"),
    ("voice", {"media_id": "none"}, "看不懂语音"),
    ("video", {"media_id": "none"}, "看不懂视频"),
    ("file", {"media_id": "none"}, "看不懂文件"),
    ("location", {"latitude": 31.2, "longitude": 121.4, "name": "总店", "address": "人民路1号"}, "收到您发来的位置"),
    ("link", {"title": "活动", "desc": "d", "url": "https://a.example"}, "收到您发来的链接"),
    ("business_card", {"userid": "zhangsan"}, "看不懂名片"),
    ("miniprogram", {"title": "商城", "appid": "wx1", "pagepath": "p"}, "收到您发来的小程序"),
    ("msgmenu", {"head_content": "您想问", "list": [], "tail_content": ""}, "看不懂菜单"),
    ("channels_shop_product", {"product_id": "1", "title": "保温杯", "sales_price": "3990"}, "收到您发来的商品"),
    ("channels_shop_order", {"order_id": "37", "product_titles": "保温杯", "state": "已发货"}, "收到您发来的订单"),
    ("merged_msg", {"title": "群聊", "item": []}, "收到您发来的聊天记录"),
    ("channels", {"sub_type": 1, "nickname": "小店", "title": "新品"}, "收到您发来的视频号内容"),
    ("meeting", {}, "看不懂会议"),
    ("calendar", {}, "看不懂日程"),
    ("note", {}, "看不懂笔记"),
    ("hologram", {"shape": "cat"}, "看不懂这类"),
]


@pytest.fixture
async def ears() -> AsyncIterator[str]:
    """A speech server that always hears the same question; returns its base address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        body = json.dumps({"text": "如何退款?"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
    await server.wait_closed()


async def test_every_kind_gets_an_answer_and_none_a_ticket(service):
    wecom = service.wecom
    await asyncio.gather(*(wecom.customer_sends(f"wmKind{kind}", kind, payload) for kind, payload, _ in ALONE))
    texts = await asyncio.gather(*(wecom.wait_for_text(f"wmKind{kind}", 1, timeout=60) for kind, _, _ in ALONE))
    expected = {kind: words for kind, _, words in ALONE}
    wrong = {kind: text for kind, text in zip(expected, texts, strict=True) if expected[kind] not in text}
    assert wrong == {}
    assert service.rows("select * from tickets") == []
    # A turn is marked as handled after its answer is out; one that runs is finished first.
    await service.stop()
    assert service.rows("select count(*) from inbox where outcome = 'handled'") == [(len(ALONE),)]


async def test_cards_and_questions_belong_together_and_noise_makes_no_ticket(make_service, ears):
    service = await make_service(SPEECH_API_BASE=ears, KEFU_BURST_SECONDS="1")
    await service.serve()
    wecom, card = service.wecom, {"product_titles": "刻字保温杯", "state": "已发货", "order_id": "3705829140017"}
    await wecom.customer_sends("wmCard", "channels_shop_order", card)
    await wecom.customer_says("wmCard", "可以在上面刻我的名字吗?")
    await wecom.wait_for_text("wmCard", "⏳", timeout=30)
    shown = await service.telegram.wait_for_message(lambda message: "刻我的名字" in message.text, timeout=30)
    assert "[订单] 刻字保温杯 (已发货) 订单号 3705829140017" in shown.text
    assert "📇 订单号: 3705829140017" in shown.text

    await wecom.customer_sends_file("wmVoice", "voice", b"#!AMR\n12345")
    await wecom.wait_for_text("wmVoice", "申请退款", timeout=30)
    assert service.rows("select payload ->> 'words' from inbox where kind = 'voice'") == [("如何退款?",)]

    await wecom.customer_says("wmNoise", "😊")
    await wecom.wait_for_text("wmNoise", 1, timeout=30)
    for text in ("？？？", "[动画表情]", ""):
        await wecom.customer_says("wmNoise", text)
    await wecom.customer_says("wmNoise", "如何退款?")
    await wecom.wait_for_text("wmNoise", "申请退款", timeout=30)
    await wecom.customer_says("wmLong", "我上周买了个杯子。" * 300 + "可以在杯子上刻我的名字吗?")
    await wecom.wait_for_text("wmLong", "⏳", timeout=30)
    customers = service.rows("select c.customer_id from tickets join conversations c using (thread_id) order by 1")
    assert customers == [("wmCard",), ("wmLong",)]
