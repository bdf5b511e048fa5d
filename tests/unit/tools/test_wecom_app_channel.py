"""What members write to the app, from callbacks to messages; and what WeCom refuses to tell them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from tools.errors import BadRequestError, ChannelSetupError, StaffUnavailableError
from tools.messages import File, Inbound, Outbound
from tools.simulators.wecom import WecomSimulator
from tools.wecom.app import WecomApp
from tools.wecom.app_channel import UPLOADS, WecomAppChannel, to_inbound

AGENT_ID = 1000002
HALF_A_DAY = 12 * 3600


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sim(clock: Clock) -> AsyncIterator[WecomSimulator]:
    made = WecomSimulator(
        corp_id="ww1", secret="s", token="t" * 16, encoding_aes_key="a" * 43, agent_id=AGENT_ID, clock=clock
    )
    async with made:
        made.members.known = {"zhangsan", "lisi"}
        yield made


@pytest.fixture
async def channel(sim: WecomSimulator, clock: Clock) -> AsyncIterator[WecomAppChannel]:
    app = WecomApp(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s"), agent_id=AGENT_ID)
    made = WecomAppChannel(app, agents=["LiSi"])
    yield made
    await made.close()


def written(kind: str = "text", **fields: str) -> dict[str, Any]:
    facts = {
        "FromUserName": "zhangsan",
        "CreateTime": "1800000000",
        "MsgType": kind,
        "MsgId": "71",
        "AgentID": "1000002",
    }
    return facts | ({"Content": "年假怎么休?"} if kind == "text" else {}) | fields


def read(fields: dict[str, Any]) -> Inbound:
    inbound = to_inbound(fields, agent_id=AGENT_ID)
    assert inbound is not None
    return inbound


def outbound(text: str = "五天。", key: str = "k1", *, is_said_again: bool = False, **fields: Any) -> Outbound:
    facts: dict[str, Any] = {"account_id": "1000002", "customer_id": "zhangsan", "key": key, "text": text}
    return Outbound(**facts, is_said_again=is_said_again, **fields)


def test_a_text_is_a_message_of_its_writer_to_the_app() -> None:
    inbound = read(written())
    assert inbound.thread_id == "wecom-app:1000002:zhangsan"
    assert (inbound.text, inbound.kind, inbound.sender, inbound.message_id) == ("年假怎么休?", "text", "customer", "71")
    assert inbound.sent_at == 1_800_000_000
    assert inbound.extra == {}


@pytest.mark.parametrize("kind", ["image", "voice", "video", "file"])
def test_a_file_is_kept_by_where_it_is(kind: str) -> None:
    inbound = read(written(kind, MediaId="m1", FileName="a.pdf"))
    assert inbound.extra["media"] == {"kind": kind, "ref": "m1", "name": "a.pdf"}


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("location", {"Label": "人民广场"}, "[位置] 人民广场"),
        ("link", {"Title": "请假制度", "Url": "https://example.com/1"}, "[链接] 请假制度"),
        ("emotion", {}, "[暂不支持的消息]"),
    ],
)
def test_a_card_is_told_in_words(kind: str, fields: dict[str, str], words: str) -> None:
    assert read(written(kind, **fields)).text == words


@pytest.mark.parametrize(
    "fields",
    [
        written("event", Event="enter_agent"),
        written(AgentID="1000003"),
        written(MsgId=""),
        written(FromUserName=""),
        {"MsgType": ["text"]},
    ],
    ids=["event", "another app", "no id", "no writer", "nonsense"],
)
def test_what_nobody_wrote_to_this_app_is_no_message(fields: dict[str, Any]) -> None:
    assert to_inbound(fields, agent_id=AGENT_ID) is None


async def test_agents_of_the_desk_are_nobody_s_customers(channel: WecomAppChannel) -> None:
    assert channel.read(written(FromUserName="lisi")) is None
    assert channel.read(written()) is not None


async def test_a_repeated_attempt_arrives_once_and_the_same_answer_again_arrives_again(
    channel: WecomAppChannel, sim: WecomSimulator
) -> None:
    await channel.send(outbound())
    await channel.send(outbound())
    assert sim.members.texts_to("zhangsan") == ["五天。"]
    await channel.send(outbound(key="k2", is_said_again=True))
    assert sim.members.texts_to("zhangsan") == ["五天。", "五天。"]


async def test_after_four_hours_the_same_answer_needs_no_mark(
    channel: WecomAppChannel, sim: WecomSimulator, clock: Clock
) -> None:
    await channel.send(outbound())
    clock.now += HALF_A_DAY
    await channel.send(outbound(key="k2"))
    assert sim.members.texts_to("zhangsan") == ["五天。", "五天。"]


async def test_a_lost_answer_is_asked_for_again_without_harm(channel: WecomAppChannel, sim: WecomSimulator) -> None:
    sim.faults.reset_after_effect("message/send")
    await channel.send(outbound())
    assert sim.members.texts_to("zhangsan") == ["五天。"]


async def test_a_member_who_left_is_a_final_refusal(channel: WecomAppChannel, sim: WecomSimulator) -> None:
    sim.members.known = {"lisi"}
    with pytest.raises(BadRequestError, match="可见范围") as refused:
        await channel.send(outbound())
    assert refused.value.transient is False


async def test_a_wrong_app_waits_for_an_operator(channel: WecomAppChannel, sim: WecomSimulator) -> None:
    sim.members.agent_id = 1
    with pytest.raises(ChannelSetupError, match="WECOM_AGENT_ID"):
        await channel.send(outbound())


async def test_only_so_many_uploads_are_remembered(channel: WecomAppChannel, sim: WecomSimulator) -> None:
    file = File(kind="file", name="a.pdf", content=b"%PDF-1")
    for number in range(UPLOADS + 1):
        await channel.send(outbound("[文件]", f"k{number}", file=file))
    sim.members.messages.clear()
    await channel.send(outbound("[文件]", f"k{UPLOADS}", file=file))
    assert sim.members.texts_to("zhangsan") == []
    await channel.send(outbound("[文件]", "k0", file=file))
    assert sim.members.texts_to("zhangsan") == ["[file]"]


async def test_long_texts_are_cut_where_wecom_would_cut_them_without_a_word(channel: WecomAppChannel) -> None:
    parts = channel.split("请假。" * 500)
    assert len(parts) == 3
    assert all(len(part.encode()) <= 2048 for part in parts)


async def test_nothing_is_pulled_and_nobody_is_handed_to_staff(channel: WecomAppChannel) -> None:
    page = await channel.pull("1000002", cursor="c", token="")
    assert (page.messages, page.next_cursor, await channel.account_ids()) == ((), "c", ())
    assert await channel.session("1000002", "zhangsan") == "bot"
    assert await channel.customer_name("zhangsan") == "zhangsan"
    with pytest.raises(StaffUnavailableError):
        await channel.hand_to_staff("1000002", "zhangsan", "lisi")
