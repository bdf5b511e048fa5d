"""What every `Channel` does with menus and files, on the memory twin and over the vendor's wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from tools.errors import BadRequestError, DuplicateMessageError
from tools.memory import MemoryChannel
from tools.messages import File, Media, Menu, MenuOption, Outbound
from tools.ports import Channel
from tools.simulators.wecom import WecomSimulator
from tools.wecom.app import WecomApp
from tools.wecom.app_channel import WecomAppChannel
from tools.wecom.channel import WecomChannel
from tools.wecom.client import WecomClient

PICTURE = File(kind="image", name="杯子.jpg", content=b"\xff\xd8\xff\xe0 a picture")
AGENT_ID = 1000002
MENU = Menu(head="您是想问:", options=(MenuOption(option_id="a1", label="怎么退款?"),), tail="请选一项")


@contextlib.asynccontextmanager
async def app_channel() -> AsyncIterator[tuple[WecomAppChannel, WecomSimulator]]:
    sim = WecomSimulator(corp_id="ww1", secret="s", token="t" * 16, encoding_aes_key="a" * 43, agent_id=AGENT_ID)
    async with sim:
        app = WecomApp(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s"), agent_id=AGENT_ID)
        async with app:
            yield WecomAppChannel(app), sim


@pytest.fixture(params=["memory", "wecom", "wecom-app"])
async def channel_and_sent(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Channel, Callable[[], list[str]]]]:
    if request.param == "memory":
        memory = MemoryChannel()
        yield memory, lambda: ["menu" if sent.menu else sent.text for sent in memory.sent]
        return
    if request.param == "wecom-app":
        async with app_channel() as (app, app_sim):
            yield (
                app,
                lambda: ["menu" if "1. 怎么退款?" in text else text for text in app_sim.members.texts_to("wm1")],
            )
        return
    sim = WecomSimulator(corp_id="ww1", secret="s", token="t" * 16, encoding_aes_key="a" * 43, account="wk1")
    async with sim, WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s")) as client:
        await sim.customer_says("wm1", "hi", notify=False)
        yield (
            WecomChannel(client),
            lambda: ["menu" if sent.msgtype == "msgmenu" else sent.text for sent in sim.sent],
        )


def outbound(key: str, menu: Menu | None = None) -> Outbound:
    return Outbound(account_id="wk1", customer_id="wm1", key=key, text=menu.text if menu else "包邮。", menu=menu)


async def test_texts_and_menus_arrive_in_order_once_a_key(channel_and_sent: Any) -> None:
    channel, sent = channel_and_sent
    await channel.send(outbound("k1"))
    await channel.send(outbound("k2", MENU))
    with contextlib.suppress(DuplicateMessageError):
        await channel.send(outbound("k2", MENU))
    assert sent() == ["包邮。", "menu"]


async def test_a_menu_is_one_unit_of_what_the_channel_allows(channel_and_sent: Any) -> None:
    channel, sent = channel_and_sent
    for number in range(min(channel.limits.units, 5)):
        again = number > 0 and channel.limits.same_text_seconds > 0
        await channel.send(replace(outbound(f"k{number}", MENU), is_said_again=again))
    assert sent() == ["menu"] * 5


@pytest.fixture(params=["memory", "wecom", "wecom-app"])
async def channel_and_ref(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Channel, str]]:
    """A channel in which a customer sent the picture, and where it is."""
    if request.param == "memory":
        yield MemoryChannel(files={"r1": PICTURE}), "r1"
        return
    if request.param == "wecom-app":
        async with app_channel() as (app, app_sim):
            yield app, app_sim.media.add("image", PICTURE.content, PICTURE.name)
        return
    sim = WecomSimulator(corp_id="ww1", secret="s", token="t" * 16, encoding_aes_key="a" * 43, account="wk1")
    async with sim, WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s")) as client:
        await sim.customer_sends_file("wm1", "image", PICTURE.content, PICTURE.name, notify=False)
        channel = WecomChannel(client)
        page = await channel.pull("wk1", cursor="", token="")
        yield channel, page.messages[0].extra["media"]["ref"]


async def test_a_customer_s_file_is_fetched_as_it_was_sent(channel_and_ref: tuple[Channel, str]) -> None:
    channel, ref = channel_and_ref
    assert await channel.fetch(Media(kind="image", ref=ref)) == PICTURE


async def test_a_file_that_is_gone_is_a_final_refusal(channel_and_ref: tuple[Channel, str]) -> None:
    channel, ref = channel_and_ref
    with pytest.raises(BadRequestError) as refused:
        await channel.fetch(Media(kind="image", ref=f"{ref}-gone"))
    assert refused.value.transient is False


async def test_a_file_arrives_once_a_key(channel_and_sent: Any) -> None:
    channel, sent = channel_and_sent
    message = Outbound(account_id="wk1", customer_id="wm1", key="k1", text="[图片]", file=PICTURE)
    await channel.send(message)
    with contextlib.suppress(DuplicateMessageError):
        await channel.send(message)
    assert len(sent()) == 1
