"""Files at a desk on Telegram: what each is sent as, and what becomes of one that cannot be had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tools.errors import DeskError, DeskUnavailableError, TopicGoneError
from tools.files import FILE_BYTES
from tools.messages import DeskPost, File, Media, MediaKind
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk

Show = Callable[..., Awaitable[Any]]
JPG = b"\xff\xd8\xff picture"
TEN_MB = 10 * 1024 * 1024


@pytest.fixture
def with_file(notice: DeskPost) -> Callable[..., DeskPost]:
    """Make a post with a file."""

    def make(kind: MediaKind, content: bytes, text: str = "[图片]", name: str = "") -> DeskPost:
        return replace(notice, kind="customer", text=text, file=File(kind=kind, name=name, content=content))

    return make


@pytest.fixture
def post_file(desk: TelegramDesk, show: Show, with_file: Callable[..., DeskPost]) -> Callable[..., Awaitable[Any]]:
    """Show a file at the desk."""
    return lambda kind, content: show(desk, with_file(kind, content))


@pytest.mark.parametrize(
    ("kind", "content", "field"),
    [
        ("image", JPG, "photo"),
        ("image", b"\x89PNG\r\n\x1a\n", "photo"),
        ("image", b"GIF89a", "document"),
        ("image", JPG + b"x" * TEN_MB, "document"),
        ("video", b"\0\0\0\x18ftypmp42", "video"),
        ("video", b"\x1aE\xdf\xa3 webm", "document"),
        ("voice", b"OggS", "voice"),
        ("voice", b"#!AMR\n", "document"),
        ("file", JPG, "document"),
    ],
)
async def test_a_file_is_sent_as_what_it_is(
    forum: TelegramSimulator,
    post_file: Callable[..., Awaitable[Any]],
    kind: MediaKind,
    content: bytes,
    field: str,
) -> None:
    shown = await post_file(kind, content)
    (message,) = forum.messages
    assert message.file is not None
    assert (message.message_id, message.topic_id) == (shown.message_id, shown.place.topic_id)
    assert (message.file.kind, message.file.content) == (field, content)


@pytest.mark.parametrize("reason", ["PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED"])
async def test_a_picture_that_is_no_photo_goes_as_a_document(
    forum: TelegramSimulator, desk: TelegramDesk, show: Show, with_file: Callable[..., DeskPost], reason: str
) -> None:
    forum.fail_next("sendPhoto", 400, description=f"Bad Request: {reason}")
    await show(desk, with_file("image", JPG, name="杯子.jpg"))
    (message,) = forum.messages
    assert message.file is not None
    assert (message.file.kind, message.file.name) == ("document", "杯子.jpg")


async def test_what_stands_under_a_file_is_escaped_and_fits(
    forum: TelegramSimulator, desk: TelegramDesk, show: Show, with_file: Callable[..., DeskPost]
) -> None:
    await show(desk, with_file("image", JPG, text="<b>" + "&" * 3000))
    (message,) = forum.messages
    assert "<b>&" in message.text
    assert message.text.endswith("…")


async def test_a_deleted_topic_is_told_for_files_too(
    forum: TelegramSimulator, desk: TelegramDesk, show: Show, with_file: Callable[..., DeskPost]
) -> None:
    shown = await show(desk, with_file("image", JPG))
    await forum.delete_topic(shown.place.topic_id)
    with pytest.raises(TopicGoneError):
        await desk.post(with_file("image", JPG), shown.place)


async def test_a_person_s_file_is_fetched_as_it_was_sent(forum: TelegramSimulator, desk: TelegramDesk) -> None:
    content = bytes(range(256)) * 100 + b"\r\n--\r\n"
    await forum.agent_sends_file("document", content, name="账单.bin", topic_id=None)
    fetched = await desk.fetch(Media(kind="file", ref="AgAC0001", name="账单.bin"))
    assert fetched == File(kind="file", name="账单.bin", content=content)


@pytest.mark.parametrize("ref", ["AgAC0001", "unknown"])
async def test_a_file_that_is_too_large_or_unknown_is_final(
    forum: TelegramSimulator, desk: TelegramDesk, ref: str
) -> None:
    await forum.agent_sends_file("document", b"x" * (FILE_BYTES + 1))
    with pytest.raises(DeskError) as refused:
        await desk.fetch(Media(kind="file", ref=ref))
    assert refused.value.transient is False


async def test_a_file_that_vanished_under_its_address_is_final_and_not_the_tokens_fault(
    forum: TelegramSimulator, desk: TelegramDesk
) -> None:
    await forum.agent_sends_file("document", b"content")
    forum.fail_next("download", 404)
    with pytest.raises(DeskError, match="any more") as refused:
        await desk.fetch(Media(kind="file", ref="AgAC0001"))
    assert refused.value.transient is False


@pytest.mark.parametrize(("code", "retry_after"), [(502, None), (429, 7)])
async def test_a_busy_telegram_is_asked_again_and_its_token_is_in_no_log(
    forum: TelegramSimulator,
    desk: TelegramDesk,
    caplog: pytest.LogCaptureFixture,
    code: int,
    retry_after: int | None,
) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", logger="httpx")
    await forum.agent_sends_file("document", b"content")
    forum.fail_next("download", code, retry_after)
    with pytest.raises(DeskUnavailableError) as refused:
        await desk.fetch(Media(kind="file", ref="AgAC0001"))
    assert refused.value.retry_after == retry_after
    await desk.fetch(Media(kind="file", ref="AgAC0001"))
    # As it was written: what a record refers to may change afterwards.
    assert "/file/bot…/" in caplog.text
    assert forum.token not in caplog.text
