"""Voice messages and pictures in a customer's turn: heard once, kept with the message, never in the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api.customers import Customers
from api.transcripts import AT_MOST, Transcripts
from graph.context import Context
from graph.conversation import Conversation
from kb.errors import IndexUnavailableError
from tools.errors import BadRequestError, ChannelUnavailableError, ModelUnavailableError
from tools.messages import File


class Ears:
    """Hears what it is told to; records what it was given."""

    def __init__(self, *heard: str | Exception) -> None:
        self.heard = list(heard)
        self.given: list[File] = []

    def can_read(self, kind: str) -> bool:
        return kind == "voice"

    async def transcribe(self, file: File) -> str:
        self.given.append(file)
        heard = self.heard.pop(0)
        if isinstance(heard, Exception):
            raise heard
        return heard


@pytest.fixture
def voice(works: Any) -> Any:
    """Make a voice message whose file the channel has."""

    def make(ref: str = "v1", **fields: Any) -> Any:
        works.channel.files[ref] = File(kind="voice", name=f"{ref}.amr", content=b"#!AMR")
        media = {"media_id": ref, "media": {"kind": "voice", "ref": ref}}
        return works.message("[语音]", kind="voice", extra=media, **fields)

    return make


def listen(works: Any, *heard: str | Exception) -> Ears:
    ears = Ears(*heard)
    transcripts = Transcripts(pool=works.pool, channels=works.channels, transcriber=ears)
    works.jobs = replace(works.jobs, transcripts=transcripts)
    return ears


async def test_a_voice_message_is_answered_and_kept_as_it_was_heard(works: Any, voice: Any) -> None:
    works.knowledge.entries["如何退款?"] = "答案"
    ears = listen(works, "如何退款?")
    await works.store(voice())
    await works.work()
    assert works.channel.texts == ["答案"]
    assert [file.name for file in ears.given] == ["v1.amr"]
    [row] = await works.rows("select payload ->> 'words' as words from inbox where kind = 'voice'")
    assert row["words"] == "如何退款?"


async def test_a_turn_that_is_tried_again_does_not_pay_again(works: Any, voice: Any, monkeypatch: Any) -> None:
    works.knowledge.entries["如何退款?"] = "答案"
    ears = listen(works, "如何退款?")
    await works.store(voice())
    search, failures = works.knowledge.search, [IndexUnavailableError("down")]

    async def search_later(query: str, *, limit: int) -> Any:
        if failures:
            raise failures.pop()
        return await search(query, limit=limit)

    monkeypatch.setattr(works.knowledge, "search", search_later)
    with pytest.raises(IndexUnavailableError):
        await works.jobs.turn(works.thread())
    await works.work()
    assert works.channel.texts == ["答案"]
    assert len(ears.given) == 1


@pytest.mark.parametrize(
    ("error", "is_tried_again"), [(BadRequestError("gone"), False), (ModelUnavailableError("down"), True)]
)
async def test_what_cannot_be_heard_is_asked_to_be_typed(
    works: Any, voice: Any, error: Exception, is_tried_again: bool
) -> None:
    listen(works, error)
    await works.store(voice())
    await works.work()
    [text] = works.channel.texts
    assert "语音" in text
    [row] = await works.rows("select payload ? 'words' as is_kept from inbox where kind = 'voice'")
    assert row["is_kept"] is not is_tried_again


async def test_a_file_the_channel_does_not_give_is_asked_to_be_typed(works: Any, voice: Any, monkeypatch: Any) -> None:
    async def unavailable(media: Any) -> File:
        raise ChannelUnavailableError("busy")

    ears = listen(works)
    monkeypatch.setattr(type(works.channel), "fetch", lambda self, media: unavailable(media))
    await works.store(voice())
    await works.work()
    assert "语音" in works.channel.texts[0]
    assert ears.given == []


async def test_of_many_files_the_latest_are_heard_at_once(works: Any, voice: Any) -> None:
    gathered = asyncio.Barrier(AT_MOST)
    ears = listen(works)

    async def transcribe(file: File) -> str:
        ears.given.append(file)
        await gathered.wait()
        return f"第{file.name}"

    ears.transcribe = transcribe
    await works.store(*(voice(f"v{number}") for number in range(AT_MOST + 2)), works.message("[图片]", kind="image"))
    async with asyncio.timeout(20):
        await works.work()
    assert {file.name for file in ears.given} == {f"v{number}.amr" for number in range(2, AT_MOST + 2)}


async def test_the_desk_sees_what_was_heard_while_the_bot_is_muted(works: Any, voice: Any) -> None:
    await works.customer("能刻字吗?")
    await works.agent("", action="mute")
    listen(works, "快一点")
    await works.store(voice())
    await works.work()
    assert any("[语音转文字] 快一点" in text for _, text in works.desk.lines)


async def test_without_a_server_voice_is_not_fetched(works: Any, voice: Any) -> None:
    works.jobs = replace(works.jobs, transcripts=Transcripts(pool=works.pool, channels=works.channels))
    works.channel.files.clear()
    await works.store(voice())
    await works.work()
    assert "语音" in works.channel.texts[0]


async def test_rules_learn_where_the_customer_came_from_and_their_tags(works: Any) -> None:
    enter = works.message("", kind="enter_session", sender="system", extra={"scene": "s", "scene_param": "抖音"})
    await works.store(enter)
    customers = Customers(works.pool, works.channels)
    assert await customers.about(works.thread()) == {"source": "抖音", "tags": []}
    async with works.pool.connection() as conn:
        await conn.execute(
            "insert into friends (staff_id, external_userid, source, added_at, tags)"
            " values ('a', 'wm1', 'x', now(), '{VIP,新客户}'), ('b', 'wm1', 'x', now(), '{VIP}')"
        )
    assert await customers.about(works.thread()) == {"source": "抖音", "tags": ["VIP", "新客户"]}
    assert await customers.about("wecom:none:none") == {"source": "", "tags": []}


async def test_the_ticket_keeps_the_rule_and_its_priority(works: Any) -> None:
    from prompts.rule_book import RuleBook

    ports = replace(works.ports, rules=RuleBook())
    from api.checkpoints import make_saver
    from graph.builder import build

    graph = build(ports).compile(checkpointer=make_saver(works.pool))
    works.jobs = replace(works.jobs, conversation=Conversation(graph, works.outbox, Context()))
    await works.customer("再不处理我就找律师起诉你们")
    [row] = await works.rows("select priority, rule, reason from tickets")
    assert row == {"priority": "high", "rule": "律师与曝光", "reason": "rule"}
    [card] = [post.handoff for post in works.desk.posts if post.kind == "card"]
    assert (card.priority, card.rule, card.profile) == ("high", "律师与曝光", ())
