"""Callbacks of the app's chat as desk events."""

from __future__ import annotations

import pytest

from tools.messages import Media
from tools.wecom.desk_updates import Stranger, is_from_the_app, parse_act

MEMBERS = ("lisi", "WangWu")


def said(**fields):
    head = {"FromUserName": "lisi", "CreateTime": "1", "MsgType": "text", "MsgId": "71", "AgentID": "1"}
    return {**head, "Content": "可以", **fields}


def clicked(**fields):
    head = {"FromUserName": "lisi", "CreateTime": "1", "MsgType": "event", "Event": "template_card_event"}
    return {**head, "EventKey": "take:t1", "TaskId": "k1", "ResponseCode": "rc1", **fields}


def test_a_text_is_for_the_customer_and_known_by_its_id():
    event = parse_act(said(), members=MEMBERS)
    assert (event.action, event.text, event.agent, event.agent_id) == ("text", "可以", "lisi", "wecom:lisi")
    assert (event.update_id, event.message_id, event.key) == (71, 71, "wecom-71")
    assert event.place.desk == "wecom"


def test_the_case_of_a_userid_does_not_matter():
    assert parse_act(said(FromUserName="wangwu"), members=MEMBERS).agent_id == "wecom:WangWu"


@pytest.mark.parametrize(
    ("content", "action", "text"),
    [
        ("/done", "done", ""),
        ("/DONE now", "done", ""),
        ("/note 老客户", "note", "老客户"),
        ("/note", "help", ""),
        ("/kb 怎么退款", "kb", "怎么退款"),
        ("/transfer", "transfer", ""),
        ("/refund 100", "help", ""),
    ],
)
def test_commands_are_read(content, action, text):
    event = parse_act(said(Content=content), members=MEMBERS)
    assert (event.action, event.text) == (action, text)


@pytest.mark.parametrize("kind", ["image", "voice", "video", "file"])
def test_a_file_is_for_the_customer(kind):
    event = parse_act(said(MsgType=kind, Content=None, MediaId="m1"), members=MEMBERS)
    assert (event.action, event.media) == ("text", Media(kind=kind, ref="wecom:m1"))


def test_what_cannot_be_passed_on_is_told_as_such():
    assert parse_act(said(MsgType="location", Content=None), members=MEMBERS).action == "unsupported"


def test_a_click_is_the_same_when_it_comes_again_and_another_when_it_is_another():
    first, again = (parse_act(clicked(), members=MEMBERS) for _ in range(2))
    assert (first.action, first.ticket_id, first.callback_id) == ("take", "t1", "rc1")
    assert first.update_id == again.update_id < 0
    others = [parse_act(clicked(**change), members=MEMBERS) for change in ({"CreateTime": "2"}, {"ResponseCode": "x"})]
    assert len({first.update_id, *(other.update_id for other in others)}) == 3


def test_a_stranger_is_told_apart():
    assert parse_act(said(FromUserName="zhaoliu"), members=MEMBERS) == Stranger(member="zhaoliu")
    assert parse_act(clicked(FromUserName="zhaoliu"), members=MEMBERS) == Stranger(member="zhaoliu")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        said(FromUserName=None),
        said(MsgId="x"),
        said(MsgId=str(2**63)),
        said(Content=None),
        said(MsgType="event", Event="enter_agent"),
        clicked(EventKey="?"),
        clicked(EventKey=["take:t1"]),
    ],
)
def test_what_is_no_act_is_nothing(fields):
    assert parse_act(fields, members=MEMBERS) is None


def test_only_the_app_s_callbacks_are_the_desk_s():
    assert all(is_from_the_app(kind) for kind in ("text", "image", "file", "location", "template_card_event"))
    assert not any(is_from_the_app(kind) for kind in ("kf_msg_or_event", "change_external_contact", "subscribe"))
