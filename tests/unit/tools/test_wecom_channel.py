from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tools.errors import BadRequestError, ChannelUnavailableError, DuplicateMessageError, ReplyWindowClosedError
from tools.messages import Inbound, Menu, MenuOption, Outbound
from tools.ports import Channel
from tools.wecom.channel import CHANNEL, WecomChannel
from tools.wecom.client import WecomClient

OK = {"errcode": 0, "errmsg": "ok"}


@pytest.fixture
def channel(wecom_client: WecomClient) -> Channel:
    return WecomChannel(wecom_client)


def message(msgtype: str, payload: Any = None, **changes: Any) -> dict[str, Any]:
    item = {
        "msgid": "m1",
        "open_kfid": "wk1",
        "external_userid": "wm1",
        "send_time": 1735689600,
        "origin": 3,
        "msgtype": msgtype,
    }
    return item | ({} if payload is None else {msgtype: payload}) | changes


def event(**fields: Any) -> dict[str, Any]:
    return {"msgid": "e1", "send_time": 1735689600, "origin": 4, "msgtype": "event", "event": fields}


async def pulled(channel: Channel, server: Any, *items: Any) -> tuple[Inbound, ...]:
    server.answer("kf/sync_msg", OK | {"next_cursor": "c1", "has_more": 0, "msg_list": list(items)})
    return (await channel.pull("wk1", cursor="", token="")).messages


async def test_text_of_a_customer(channel: Channel, wecom_server: Any) -> None:
    (inbound,) = await pulled(channel, wecom_server, message("text", {"content": "如何退款?", "menu_id": "q7"}))
    assert inbound == Inbound(
        channel=CHANNEL,
        account_id="wk1",
        customer_id="wm1",
        message_id="m1",
        sender="customer",
        kind="text",
        text="如何退款?",
        sent_at=1735689600.0,
        extra={"menu_id": "q7"},
    )
    assert inbound.thread_id == "wecom:wk1:wm1"


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        ("location", {"latitude": 1.5, "longitude": 2, "name": "总店", "address": "路1号"}, "[位置] 总店 路1号"),
        ("location", {"latitude": 1.5, "longitude": 2, "name": ""}, "[位置]"),
        ("link", {"title": "活动", "desc": "d", "url": "https://a.b"}, "[链接] 活动"),
        ("business_card", {"userid": "zhangsan"}, "[名片]"),
        ("miniprogram", {"title": "商城", "appid": "wx1", "pagepath": "p.html"}, "[小程序] 商城"),
        ("msgmenu", {"head_content": "您是想问", "list": [{"type": "click"}]}, "[菜单] 您是想问"),
        ("channels_shop_product", {"title": "茶", "sales_price": "900"}, "[商品] 茶 9 元"),
        (
            "channels_shop_order",
            {"order_id": "1", "product_titles": "茶", "state": "已付款"},
            "[订单] 茶 (已付款) 订单号 1",
        ),
        ("merged_msg", {"title": "群聊", "item": [{"msg_content": "{}"}]}, "[聊天记录] 群聊"),
        ("channels", {"sub_type": 1, "nickname": "店", "title": "新品"}, "[视频号] 店 新品"),
        ("meeting", None, "[会议]"),
        ("calendar", None, "[日程]"),
        ("note", None, "[笔记]"),
        ("hologram", {"shape": "cat"}, "[暂不支持的消息]"),
    ],
)
async def test_other_kinds_are_described(
    channel: Channel, wecom_server: Any, kind: str, payload: Any, text: str
) -> None:
    (inbound,) = await pulled(channel, wecom_server, message(kind, payload))
    assert (inbound.kind, inbound.text, inbound.extra) == (kind, text, payload or {})


@pytest.mark.parametrize(
    ("kind", "text"), [("image", "[图片]"), ("voice", "[语音]"), ("video", "[视频]"), ("file", "[文件]")]
)
async def test_a_file_names_where_it_is(channel: Channel, wecom_server: Any, kind: str, text: str) -> None:
    (inbound,) = await pulled(channel, wecom_server, message(kind, {"media_id": "M"}))
    assert (inbound.kind, inbound.text, inbound.extra["media"]) == (kind, text, {"kind": kind, "ref": "M"})


async def test_a_file_without_an_id_is_words(channel: Channel, wecom_server: Any) -> None:
    (inbound,) = await pulled(channel, wecom_server, message("image", {"media_id": ""}))
    assert (inbound.text, "media" in inbound.extra) == ("[图片]", False)


@pytest.mark.parametrize(
    ("origin", "sender"),
    [(3, "customer"), (4, "system"), (5, "staff"), (9, "system"), (None, "system"), ("3", "system")],
)
async def test_origin_tells_the_sender(channel: Channel, wecom_server: Any, origin: Any, sender: str) -> None:
    (inbound,) = await pulled(channel, wecom_server, message("text", {"content": "好"}, origin=origin))
    assert inbound.sender == sender


async def test_staff_message_names_the_person(channel: Channel, wecom_server: Any) -> None:
    item = message("text", {"content": "我来处理"}, origin=5, servicer_userid="zhangsan")
    (inbound,) = await pulled(channel, wecom_server, item)
    assert (inbound.sender, inbound.extra) == ("staff", {"servicer_userid": "zhangsan"})


@pytest.mark.parametrize(
    "fields",
    [
        {"event_type": "enter_session", "scene": "s", "scene_param": "p", "welcome_code": "W"},
        {"event_type": "msg_send_fail", "fail_msgid": "k1", "fail_type": 6},
        {"event_type": "session_status_change", "change_type": 3, "msg_code": "C"},
        {"event_type": "user_recall_msg", "recall_msgid": "m0"},
        {"event_type": "servicer_recall_msg", "recall_msgid": "m0"},
        {"event_type": "reject_customer_msg_switch_change", "reject_switch": 1},
        {"event_type": "brand_new_event"},
    ],
)
async def test_event_names_account_and_customer_inside(
    channel: Channel, wecom_server: Any, fields: dict[str, Any]
) -> None:
    payload = {"open_kfid": "wk9", "external_userid": "wm9"} | fields
    (inbound,) = await pulled(channel, wecom_server, event(**payload))
    assert (inbound.account_id, inbound.customer_id, inbound.message_id) == ("wk9", "wm9", "e1")
    assert (inbound.kind, inbound.sender) == (fields["event_type"], "system")
    assert inbound.extra == payload


async def test_event_without_customer_concerns_the_account(channel: Channel, wecom_server: Any) -> None:
    payload = {"event_type": "servicer_status_change", "servicer_userid": "zhangsan", "status": 2, "open_kfid": "wk1"}
    (inbound,) = await pulled(channel, wecom_server, event(**payload))
    assert (inbound.account_id, inbound.customer_id) == ("wk1", "")


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        "text",
        [],
        {},
        {"msgid": "m1"},
        message("text"),
        message("text", "words"),
        message("text", {"content": None}),
        message("text", {"content": "好"}) | {"msgtype": 3},
        message("event"),
        message("event", {"open_kfid": "wk1"}),
        message("event", {"event_type": ["x"]}),
    ],
)
async def test_malformed_item_does_not_break_its_page(channel: Channel, wecom_server: Any, item: Any) -> None:
    good = message("text", {"content": "好"}, msgid="m2")
    bad, after = await pulled(channel, wecom_server, item, good)
    assert (bad.kind, bad.account_id, after.text) == ("unreadable", "wk1", "好")
    assert bad.message_id
    json.dumps(dict(bad.extra), allow_nan=False)


async def test_unreadable_item_keeps_what_is_known(channel: Channel, wecom_server: Any) -> None:
    item = message("text", "words")
    (inbound,) = await pulled(channel, wecom_server, item)
    assert (inbound.customer_id, inbound.message_id, inbound.sender) == ("wm1", "m1", "customer")
    assert (inbound.sent_at, inbound.extra) == (1735689600.0, {"item": item})


async def test_item_without_id_gets_the_same_id_each_time(channel: Channel, wecom_server: Any) -> None:
    item = message("text", {"content": "好"}, msgid="")
    (first,) = await pulled(channel, wecom_server, item)
    (again,) = await pulled(channel, wecom_server, dict(reversed(item.items())))
    (other,) = await pulled(channel, wecom_server, item | {"send_time": 1735689601})
    assert first.message_id == again.message_id != other.message_id
    assert len(first.message_id) == 32


@pytest.mark.parametrize("time", [None, "soon", -5, True, [], "1e999"])
async def test_impossible_time_is_no_time(channel: Channel, wecom_server: Any, time: Any) -> None:
    (inbound,) = await pulled(channel, wecom_server, message("text", {"content": "好"}, send_time=time))
    assert (inbound.text, inbound.sent_at) == ("好", 0.0)


async def test_what_a_database_cannot_store_is_cleaned(channel: Channel, wecom_server: Any) -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    payload = {"content": "a\0b\ud800c", "menu_id": "q\0", "x": float("nan"), "y": deep}
    (inbound,) = await pulled(channel, wecom_server, message("text", payload))
    assert inbound.text == "ab?c"
    stored = json.dumps(dict(inbound.extra), allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in stored
    assert inbound.extra["menu_id"] == "q"
    assert inbound.extra["x"] is None


async def test_page_carries_cursor_and_more(channel: Channel, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", OK | {"next_cursor": "c1", "has_more": 1, "msg_list": []})
    page = await channel.pull("wk1", cursor="c0", token="t0")
    assert (page.messages, page.next_cursor, page.has_more) == ((), "c1", True)
    assert wecom_server.bodies("kf/sync_msg") == [{"open_kfid": "wk1", "limit": 1000, "cursor": "c0", "token": "t0"}]


async def test_key_of_an_outbound_is_the_msgid(channel: Channel, wecom_server: Any) -> None:
    await channel.send(Outbound(account_id="wk1", customer_id="wm1", key="a" * 32, text="您好"))
    (body,) = wecom_server.bodies("kf/send_msg")
    assert (body["open_kfid"], body["touser"], body["msgid"], body["text"]) == (
        "wk1",
        "wm1",
        "a" * 32,
        {"content": "您好"},
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"errcode": 95018, "errmsg": "send msg session status invalid"}, ReplyWindowClosedError),
        ({"errcode": 40058, "errmsg": "msgid duplicate"}, DuplicateMessageError),
        ("drop", ChannelUnavailableError),
    ],
)
async def test_failed_send_is_a_named_error(
    channel: Channel, wecom_server: Any, answer: Any, error: type[Exception]
) -> None:
    wecom_server.answer("kf/send_msg", answer)
    with pytest.raises(error):
        await channel.send(Outbound(account_id="wk1", customer_id="wm1", key="k1", text="您好"))


async def test_welcome_answers_the_event(channel: Channel, wecom_server: Any) -> None:
    await channel.welcome("CODE", "欢迎光临", "k1")
    expected = {"code": "CODE", "msgid": "k1", "msgtype": "text", "text": {"content": "欢迎光临"}}
    assert wecom_server.bodies("kf/send_msg_on_event") == [expected]


GREETING = Menu(head="您好", options=(MenuOption(option_id="greeted_61", label="如何退款?"),), tail="再见")


async def test_a_greeting_may_be_a_menu(channel: Channel, wecom_server: Any) -> None:
    await channel.welcome("CODE", GREETING, "k1")
    items = [{"type": "click", "click": {"id": "greeted_61", "content": "如何退款?"}}]
    menu = {"head_content": "您好", "list": items, "tail_content": "再见"}
    assert wecom_server.bodies("kf/send_msg_on_event") == [
        {"code": "CODE", "msgid": "k1", "msgtype": "msgmenu", "msgmenu": menu}
    ]


async def test_a_greeting_wecom_does_not_take_goes_out_as_a_list(channel: Channel, wecom_server: Any) -> None:
    wecom_server.answer("kf/send_msg_on_event", {"errcode": 95030, "errmsg": "forbidden type"}, OK)
    await channel.welcome("CODE", GREETING, "k1")
    menu, text = wecom_server.bodies("kf/send_msg_on_event")
    assert (menu["msgtype"], text["msgtype"], text["msgid"]) == ("msgmenu", "text", "k1")
    assert text["text"]["content"] == "您好\n1. 如何退款?\n再见"


async def test_a_dead_code_is_not_tried_again_as_a_list(channel: Channel, wecom_server: Any) -> None:
    wecom_server.answer("kf/send_msg_on_event", {"errcode": 95007, "errmsg": "code expired"})
    with pytest.raises(BadRequestError):
        await channel.welcome("CODE", GREETING, "k1")
    assert wecom_server.count("kf/send_msg_on_event") == 1


async def test_accounts_are_listed(channel: Channel, wecom_server: Any) -> None:
    wecom_server.answer("kf/account/list", OK | {"account_list": [{"open_kfid": "wk1"}, {"open_kfid": "wk2"}]})
    assert list(await channel.account_ids()) == ["wk1", "wk2"]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (OK | {"customer_list": [{"external_userid": "wm1", "nickname": "小王"}]}, "小王"),
        (OK | {"customer_list": [], "invalid_external_userid": ["wm1"]}, ""),
        (OK | {"customer_list": [{"external_userid": "wm1", "nickname": None}]}, ""),
        ({"errcode": 48002, "errmsg": "api forbidden"}, ""),
        ((500, b""), ""),
    ],
)
async def test_customer_name_is_empty_when_unknown(channel: Channel, wecom_server: Any, answer: Any, name: str) -> None:
    wecom_server.answer("kf/customer/batchget", answer)
    assert await channel.customer_name("wm1") == name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" \n\t", []),
        ("  您好  ", ["您好"]),
        ("中" * 700, ["中" * 682, "中" * 18]),
        ("中" * 682 + "ab", ["中" * 682 + "ab"]),
        ("中" * 682 + "abc", ["中" * 682 + "ab", "c"]),
        ("句" * 300 + "。" + "话" * 300 + "！" + "尾" * 300, ["句" * 300 + "。" + "话" * 300 + "！", "尾" * 300]),
        ("句" * 300 + "，" + "话" * 600, ["句" * 300 + "，", "话" * 600]),
        ("句" * 300 + "。" + "话" * 300 + "，" + "尾" * 300, ["句" * 300 + "。", "话" * 300 + "，" + "尾" * 300]),
        ("word " * 410, [("word " * 409).rstrip(), "word"]),
        ("他说：“" + "好" * 400 + "。”" + "话" * 400, ["他说：“" + "好" * 400 + "。”", "话" * 400]),
        ("问" * 300 + "\n\n" + "答" * 600, ["问" * 300, "答" * 600]),
        ("好。" + "https://a.b/c?d=1;e=" + "f" * 2020 + " 完", ["好。", "https://a.b/c?d=1;e=" + "f" * 2020 + " 完"]),
        ("x" * 2040 + "1,000,000", ["x" * 2040 + "1,000,00", "0"]),
    ],
)
def test_text_is_cut_where_a_reader_pauses(channel: Channel, text: str, parts: list[str]) -> None:
    assert channel.split(text) == parts


@pytest.mark.parametrize(
    "cluster",
    ["👨‍👩‍👧‍👦", "👍🏽", "❤️", "e\u0301", "🇨🇳", "1\ufe0f\u20e3", "🏴\U000e0067\U000e0062\U000e007f", "क्\u200dष"],
)
@pytest.mark.parametrize("offset", range(0, 40, 3))
def test_cut_keeps_what_is_seen_as_one_character_together(channel: Channel, cluster: str, offset: int) -> None:
    room = 2048 - offset
    parts = channel.split("x" * room + cluster + "中" * 100)
    assert "".join(parts) == "x" * room + cluster + "中" * 100
    assert any(cluster in part for part in parts)
    assert all(len(part.encode()) <= 2048 for part in parts)


def test_endless_cluster_is_cut_all_the_same(channel: Channel) -> None:
    text = "a" + "\u0301" * 5000
    parts = channel.split(text)
    assert "".join(parts) == text
    assert all(0 < len(part.encode()) <= 2048 for part in parts)


def test_half_an_emoji_is_replaced(channel: Channel) -> None:
    assert channel.split("好\ud83d") == ["好?"]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_but_space_is_lost(channel: Channel, seed: int) -> None:
    dice = random.Random(seed)
    text = "".join(dice.choices("中文字abc0。！？!?;；，, \n”)👍🏽\u200d\u0301", k=dice.randint(1, 6000)))
    parts = channel.split(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part == part.strip() != "" and len(part.encode()) <= 2048 for part in parts)
