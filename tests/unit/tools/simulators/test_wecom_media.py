"""Files in the WeCom simulator: its rules, and the client that keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from tools.errors import BadRequestError
from tools.messages import File, MediaKind, Outbound
from tools.simulators.wecom import WecomSimulator
from tools.wecom.channel import WecomChannel
from tools.wecom.client import WecomClient

JPG = b"\xff\xd8\xff picture"
TEN_MB = 10 * 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sim(clock: Clock) -> AsyncIterator[WecomSimulator]:
    made = WecomSimulator(
        corp_id="ww1", secret="s", token="t" * 16, encoding_aes_key="a" * 43, account="wk1", clock=clock
    )
    async with made:
        await made.customer_says("wm1", "在吗", notify=False)
        yield made


@pytest.fixture
async def client(sim: WecomSimulator) -> AsyncIterator[WecomClient]:
    async with WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("s")) as made:
        yield made


async def test_a_file_lives_three_days(sim: WecomSimulator, client: WecomClient, clock: Clock) -> None:
    media_id = await client.upload_media("file", name="说明.pdf", content=b"%PDF-1.7\r\n--x--")
    clock.now += 3 * 24 * 3600 - 10
    await client.tokens.refresh("")
    found = await client.download_media(media_id)
    assert (found.content, found.name) == (b"%PDF-1.7\r\n--x--", "说明.pdf")
    clock.now += 20
    with pytest.raises(BadRequestError) as gone:
        await client.download_media(media_id)
    assert gone.value.code == 40007


@pytest.mark.parametrize(
    ("kind", "content", "code"),
    [
        ("image", b"GIF89a", 40005),
        ("image", JPG + b"x" * TEN_MB, 40009),
        ("voice", b"OggS voice", 40005),
        ("video", b"no video", 40005),
        ("video", b"\0\0\0\x18ftypmp42" + b"x" * TEN_MB, 40006),
        ("file", b"tiny!", 40006),
    ],
)
async def test_what_a_kind_does_not_take_is_refused(
    client: WecomClient, kind: MediaKind, content: bytes, code: int
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.upload_media(kind, name="x", content=content)
    assert refused.value.code == code


async def test_a_message_must_name_a_file_of_its_kind(sim: WecomSimulator, client: WecomClient) -> None:
    media_id = await client.upload_media("file", name="a.pdf", content=b"%PDF-1.7")
    for kind, ref, code in (("image", media_id, 40004), ("file", "unknown", 40007)):
        with pytest.raises(BadRequestError) as refused:
            await client.send_media("wk1", "wm1", kind, ref, msgid="k1")
        assert refused.value.code == code
    await client.send_media("wk1", "wm1", "file", media_id, msgid="k1")
    assert [file.content for file in sim.files_to("wm1")] == [b"%PDF-1.7"]


@pytest.mark.parametrize(
    ("kind", "content", "sent_as"),
    [
        ("image", JPG, "image"),
        ("image", b"GIF89a", "file"),
        ("image", JPG + b"x" * TEN_MB, "file"),
        ("video", b"\0\0\0\x18ftypmp42", "video"),
        ("video", b"\0\0\0\x18ftypmp42" + b"x" * TEN_MB, "file"),
        ("voice", b"#!AMR\n", "voice"),
        ("voice", b"OggS voice", "file"),
        ("file", JPG, "file"),
    ],
)
async def test_the_channel_sends_a_file_as_what_wecom_takes(
    sim: WecomSimulator, client: WecomClient, kind: MediaKind, content: bytes, sent_as: str
) -> None:
    await WecomChannel(client).send(_outbound(kind, content))
    (file,) = sim.files_to("wm1")
    assert (file.kind, file.content) == (sent_as, content)


async def test_a_picture_wecom_does_not_take_after_all_goes_as_a_file(sim: WecomSimulator, client: WecomClient) -> None:
    sim.fail_next("media/upload", 40005)
    await WecomChannel(client).send(_outbound("image", JPG))
    assert [file.kind for file in sim.files_to("wm1")] == ["file"]


async def test_more_than_wecom_takes_is_refused_before_it_is_sent(sim: WecomSimulator, client: WecomClient) -> None:
    with pytest.raises(BadRequestError, match="larger"):
        await WecomChannel(client).send(_outbound("file", b"x" * (2 * TEN_MB + 1)))
    assert sim.calls["media/upload"] == 0


def _outbound(kind: MediaKind, content: bytes) -> Outbound:
    file = File(kind=kind, name="", content=content)
    return Outbound(account_id="wk1", customer_id="wm1", key="k1", text="[文件]", file=file)
