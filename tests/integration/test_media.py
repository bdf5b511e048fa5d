"""Files in the rows: shown once, counted, told in words in the end, and never merged into texts."""

from __future__ import annotations

import pytest

from tools.errors import ChannelUnavailableError, DeskError, DeskUnavailableError
from tools.messages import File, Media

PICTURE = File(kind="image", name="a.jpg", content=b"\xff\xd8\xff picture")


def sent_picture(works, ref="r1", **fields):
    works.channel.files[ref] = PICTURE
    extra = {"media": {"kind": "image", "ref": ref}}
    return works.message("[图片]", kind="image", extra=extra, **fields)


def shown(works):
    return [(post.kind, post.text, post.file) for post in works.desk.posts]


@pytest.fixture
async def waiting(works):
    """A shop where a customer waits for a person."""
    await works.customer("能刻字吗?")
    works.desk.posts.clear()
    return works


async def test_a_picture_alone_is_one_post(waiting):
    await waiting.store(sent_picture(waiting))
    await waiting.work()
    assert shown(waiting) == [("customer", "[图片]", PICTURE)]


async def test_the_same_turn_twice_shows_a_file_once(waiting):
    await waiting.store(waiting.message("看", "m90"), sent_picture(waiting, message_id="m91"))
    await waiting.jobs.turn(waiting.thread())
    rows = await waiting.rows("select turn_id from inbox where message_id = 'm91'")
    await waiting.outbox.relay(waiting.thread(), rows[0]["turn_id"], "relay", "看\n[图片]")
    await waiting.jobs.deliver(waiting.thread(), "desk")
    assert shown(waiting) == [("customer", "看\n[图片]", None), ("customer", "[图片]", PICTURE)]


async def test_a_recalled_picture_is_not_shown(waiting):
    await waiting.store(sent_picture(waiting, message_id="m91"), waiting.recall("m91"))
    await waiting.work()
    assert shown(waiting) == []


async def test_a_ticket_brings_the_latest_files_that_no_ticket_had(works):
    for number in range(7):
        await works.store(sent_picture(works, ref=f"r{number}"), cursor=f"c{number}")
        await works.work()
    await works.customer("能刻字吗?")
    assert [post.kind for post in works.desk.posts] == ["card"] + ["customer"] * 5
    await works.agent("", action="done")
    await works.store(sent_picture(works, ref="r9"), cursor="c90")
    await works.work()
    await works.customer("能烤字吗?")
    assert [post.kind for post in works.desk.posts if post.kind != "notice"] == [
        "card",
        *["customer"] * 5,
        "card",
        "customer",
    ]


async def test_files_older_than_the_vendor_keeps_them_stay_away(works):
    await works.store(sent_picture(works))
    await works.work()
    await works.run("update inbox set received_at = now() - interval '73 hours'")
    await works.customer("能刻字吗?")
    assert [post.kind for post in works.desk.posts] == ["card"]


async def test_an_outage_holds_a_file_back_only_so_long(waiting, monkeypatch):
    async def fetch(media: Media) -> File:
        raise ChannelUnavailableError("WeCom does not answer")

    monkeypatch.setattr(waiting.channel, "fetch", fetch)
    await waiting.store(sent_picture(waiting))
    await waiting.jobs.turn(waiting.thread())
    for _ in range(5):
        with pytest.raises(ChannelUnavailableError):
            await waiting.jobs.deliver(waiting.thread(), "desk")
    await waiting.jobs.deliver(waiting.thread(), "desk")
    ((kind, text, file),) = shown(waiting)
    assert (kind, file, text.startswith("[图片]"), "does not answer" in text) == ("customer", None, True, True)


async def test_a_desk_that_falls_silent_over_a_file_gets_words_in_the_end(waiting):
    waiting.desk.errors = [DeskUnavailableError("no answer") for _ in range(6)]
    await waiting.store(sent_picture(waiting))
    await waiting.jobs.turn(waiting.thread())
    for _ in range(5):
        with pytest.raises(DeskUnavailableError):
            await waiting.jobs.deliver(waiting.thread(), "desk")
    await waiting.jobs.deliver(waiting.thread(), "desk")
    assert [(kind, file) for kind, _, file in shown(waiting)] == [("customer", None)]


async def test_a_person_s_file_and_its_words_are_two_rows_and_one_line_of_history(waiting):
    waiting.desk.files["t1"] = PICTURE
    await waiting.agent("您看", media=Media(kind="image", ref="t1"), message_id=5)
    assert [(sent.text, sent.file) for sent in waiting.channel.sent[-2:]] == [("[图片]", PICTURE), ("您看", None)]
    snapshot = await waiting.graph.aget_state({"configurable": {"thread_id": waiting.thread()}})
    assert snapshot.values["messages"][-1].content == "[图片] 您看"
    assert [post.reply_to for post in waiting.desk.marks] == [5]


async def test_files_are_never_merged_into_texts(waiting):
    waiting.desk.files["t1"] = PICTURE
    waiting.set_limits(units=4)
    for text, media in (("一", None), ("", Media(kind="image", ref="t1")), ("二", None)):
        await waiting.act(await waiting.event(text, media=media))
    await waiting.jobs.turn(waiting.thread())
    await waiting.run("update conversations set units_used = 3")
    await waiting.jobs.deliver(waiting.thread(), "customer")
    assert [sent.text for sent in waiting.channel.sent[-1:]] == ["一"]
    rows = await waiting.rows("select state from outbox where part like 'human%%' order by id")
    assert "merged" not in {row["state"] for row in rows}


async def test_words_too_long_for_one_message_are_confirmed_with_their_file(waiting):
    waiting.desk.files["t1"] = PICTURE
    outcome = await waiting.agent("一|二", media=Media(kind="image", ref="t1"), message_id=5)
    (button, _) = waiting.desk.posts[-1].buttons
    assert (outcome, len(waiting.channel.sent)) == ("held_back", 1)
    await waiting.agent("", action="confirm", subject=button.subject, callback_id="c1")
    assert [sent.text for sent in waiting.channel.sent[1:]] == ["[图片]", "一", "二"]


async def test_a_file_that_is_gone_at_the_desk_does_not_stop_the_words(waiting):
    await waiting.agent("您看", media=Media(kind="image", ref="gone"), message_id=5)
    assert [sent.text for sent in waiting.channel.sent[1:]] == ["您看"]
    assert any("没有送达客户" in post.text and post.reply_to == 5 for post in waiting.desk.posts)


async def test_the_desk_is_asked_for_a_file_only_so_often(waiting, monkeypatch):
    async def fetch(media: Media) -> File:
        raise DeskUnavailableError("no answer")

    monkeypatch.setattr(waiting.desk, "fetch", fetch)
    await waiting.act(await waiting.event("您看", media=Media(kind="image", ref="t1")))
    await waiting.jobs.turn(waiting.thread())
    for _ in range(8):
        with pytest.raises(DeskError):
            await waiting.jobs.deliver(waiting.thread(), "customer")
    await waiting.jobs.deliver(waiting.thread(), "customer")
    assert waiting.channel.texts[1:] == ["您看"]
