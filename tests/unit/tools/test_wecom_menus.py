"""Menus over the kf calls: their shape, their limits, and the list in their place."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from tools.errors import BadRequestError, ChannelUnavailableError, DuplicateMessageError
from tools.messages import Menu, MenuOption, Outbound
from tools.simulators.wecom import WecomSimulator
from tools.wecom.channel import WecomChannel
from tools.wecom.client import WecomClient
from tools.wecom.splitting import shorten

OK = {"errcode": 0, "errmsg": "ok"}


@pytest.fixture
def channel(wecom_client: WecomClient) -> WecomChannel:
    return WecomChannel(wecom_client)


def outbound(*labels: str, head: str = "您是想问:", tail: str = "请选一项") -> Outbound:
    options = tuple(MenuOption(option_id=f"o{number}", label=label) for number, label in enumerate(labels))
    menu = Menu(head=head, options=options, tail=tail)
    return Outbound(account_id="wk1", customer_id="wm1", key="k1", text=menu.text, menu=menu)


async def test_a_menu_is_sent_as_one_message_to_click(channel: WecomChannel, wecom_server: Any) -> None:
    wecom_server.answer("kf/send_msg", OK)
    await channel.send(outbound("怎么退款", "怎么换货"))
    assert wecom_server.bodies("kf/send_msg") == [
        {
            "touser": "wm1",
            "open_kfid": "wk1",
            "msgid": "k1",
            "msgtype": "msgmenu",
            "msgmenu": {
                "head_content": "您是想问:",
                "list": [
                    {"type": "click", "click": {"id": "o0", "content": "怎么退款"}},
                    {"type": "click", "click": {"id": "o1", "content": "怎么换货"}},
                ],
                "tail_content": "请选一项",
            },
        }
    ]


@pytest.mark.parametrize("code", [40008, 40058, 95008, 95009, 95030])
async def test_a_menu_that_is_not_taken_goes_out_as_a_list_under_its_key(
    channel: WecomChannel, wecom_server: Any, code: int
) -> None:
    wecom_server.answer("kf/send_msg", {"errcode": code, "errmsg": "no"}, OK)
    await channel.send(outbound("怎么退款", "怎么换货"))
    body = wecom_server.bodies("kf/send_msg")[-1]
    assert (body["msgid"], body["msgtype"]) == ("k1", "text")
    assert body["text"]["content"] == "您是想问:\n1. 怎么退款\n2. 怎么换货\n请选一项"


@pytest.mark.parametrize(
    ("code", "errmsg", "error"),
    [
        (60030, "not allowed", BadRequestError),
        (-1, "busy", ChannelUnavailableError),
        (40099, "msgid already exists", DuplicateMessageError),
    ],
)
async def test_any_other_failure_is_the_menu_s_own(
    channel: WecomChannel, wecom_server: Any, code: int, errmsg: str, error: type[Exception]
) -> None:
    wecom_server.answer("kf/send_msg", {"errcode": code, "errmsg": errmsg})
    with pytest.raises(error):
        await channel.send(outbound("怎么退款"))
    assert wecom_server.count("kf/send_msg") == 1


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("如何退款?", 128, "如何退款?"),
        ("中" * 42 + "ab", 128, "中" * 42 + "ab"),
        ("中" * 43, 128, "中" * 41 + "…"),
        ("第一行\n第二行", 128, "第一行 第二行"),
        ("一二三四 五六七", 18, "一二三四…"),
        ("x" * 4 + "👍🏽" + "y" * 9, 13, "xxxx…"),
        ("好\ud83d", 128, "好?"),
    ],
)
def test_a_label_is_shortened_between_characters(text: str, limit: int, short: str) -> None:
    assert shorten(text, limit) == short
    assert len(short.encode()) <= limit


@pytest.fixture
async def sim() -> AsyncIterator[WecomSimulator]:
    async with WecomSimulator(
        corp_id="ww1", secret="s", token=secrets.token_hex(8), encoding_aes_key="a" * 43, account="wk1"
    ) as made:
        yield made


async def test_the_longest_menu_is_taken_and_its_clicks_come_back(sim: WecomSimulator) -> None:
    async with WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s")) as client:
        channel = WecomChannel(client)
        await sim.customer_says("wm1", "hi", notify=False)
        await channel.send(outbound("很长的问题" * 100, "短的", "a" * 129, head="头" * 400, tail="尾" * 400))
        [sent] = sim.sent
        assert sent.msgtype == "msgmenu"
        await sim.customer_clicks("wm1", "o1", notify=False)
        clicked = (await channel.pull("wk1", cursor="", token="")).messages[-1]
        assert (clicked.text, clicked.extra["menu_id"]) == ("短的", "o1")


async def test_the_list_in_its_place_fits_into_one_text(sim: WecomSimulator) -> None:
    async with WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s")) as client:
        await sim.customer_says("wm1", "hi", notify=False)
        sim.fail_next("kf/send_msg", 95030)
        await WecomChannel(client).send(outbound(*["很长的问题" * 100] * 4))
        [sent] = sim.sent
        assert sent.msgtype == "text"
        assert sent.payload["content"] == sent.text
        assert sent.text.endswith("请选一项")
