"""The calls of 客户联系 on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from tenacity import wait_none

from tools.errors import BadRequestError, ChannelSetupError, ChannelUnavailableError, RateLimitedError
from tools.wecom.contacts import TIMEOUT, Tag, WecomContacts

OK = {"errcode": 0, "errmsg": "ok"}
WAY = {"config_id": "c1", "qr_code": "http://x/c1.png"}


@pytest.fixture
async def contacts(wecom_server: Any) -> AsyncIterator[WecomContacts]:
    options = {"api_base": wecom_server.base, "corp_id": "ww1", "timeout": TIMEOUT, "wait": wait_none()}
    async with WecomContacts(**options, secret=SecretStr("s3cret-of-the-contacts")) as opened:
        yield opened


async def test_a_welcome_carries_code_and_text(contacts: WecomContacts, wecom_server: Any) -> None:
    await contacts.send_welcome("WELCOME0001", "你好")
    expected = {"welcome_code": "WELCOME0001", "text": {"content": "你好"}}
    assert wecom_server.bodies("externalcontact/send_welcome_msg") == [expected]
    assert wecom_server.calls[0].query["corpsecret"] == "s3cret-of-the-contacts"


async def test_a_welcome_too_long_is_refused_before_it_costs_the_code(
    contacts: WecomContacts, wecom_server: Any
) -> None:
    await contacts.send_welcome("W", "好" * 1333)
    with pytest.raises(BadRequestError, match="4000 bytes"):
        await contacts.send_welcome("W", "好" * 1334)
    assert wecom_server.count("externalcontact/send_welcome_msg") == 1


@pytest.mark.parametrize("answer", [{"errcode": -1, "errmsg": "busy"}, (502, b"")])
async def test_a_welcome_is_not_repeated_by_itself(contacts: WecomContacts, wecom_server: Any, answer: Any) -> None:
    wecom_server.answer("externalcontact/send_welcome_msg", answer)
    with pytest.raises(ChannelUnavailableError):
        await contacts.send_welcome("W", "你好")
    assert wecom_server.count("externalcontact/send_welcome_msg") == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [(40001, "WECOM_CONTACT_SECRET"), (48002, "客户联系 → 可调用接口的应用"), (84074, "使用范围"), (60111, "userid")],
)
async def test_a_refusal_says_how_to_mend_it(contacts: WecomContacts, wecom_server: Any, code: int, words: str) -> None:
    wecom_server.answer("externalcontact/add_contact_way", {"errcode": code, "errmsg": "no, hint: [1]"})
    with pytest.raises(ChannelSetupError, match=words) as caught:
        await contacts.add_way(staff_ids=["a"], state="s", remark="r")
    assert str(caught.value).count("—") == 1
    assert caught.value.code == code


async def test_other_refusals_keep_their_code(contacts: WecomContacts, wecom_server: Any) -> None:
    wecom_server.answer("externalcontact/mark_tag", {"errcode": 84061, "errmsg": "not external contact"})
    with pytest.raises(BadRequestError) as caught:
        await contacts.mark_tags("a", "wm1", ["t1"])
    assert caught.value.code == 84061
    wecom_server.answer("externalcontact/mark_tag", {"errcode": 45033, "errmsg": "too many"})
    with pytest.raises(RateLimitedError):
        await contacts.mark_tags("a", "wm1", ["t1"])


async def test_names_tags_and_remarks(contacts: WecomContacts, wecom_server: Any) -> None:
    wecom_server.answer("externalcontact/get", OK | {"external_contact": {"name": "小禾"}})
    assert await contacts.name_of("wm1") == "小禾"
    wecom_server.answer("externalcontact/get", OK | {"external_contact": None})
    assert await contacts.name_of("wm1") == ""
    groups = [
        {"group_name": "来源", "tag": [{"id": "t1", "name": "官网"}, {"id": "t2", "name": "旧", "deleted": True}, 5]},
        {"group_name": 7},
    ]
    wecom_server.answer("externalcontact/get_corp_tag_list", OK | {"tag_group": groups})
    assert await contacts.tags() == (Tag(tag_id="t1", name="官网", group="来源"),)
    wecom_server.answer("externalcontact/add_corp_tag", OK | {"tag_group": groups[0]}, OK)
    assert await contacts.add_tags("来源", ["官网"]) == (Tag(tag_id="t1", name="官网", group="来源"),)
    assert await contacts.add_tags("来源", ["官网"]) == ()
    await contacts.set_remark("a", "wm1", "字" * 25)
    (body,) = wecom_server.bodies("externalcontact/remark")
    assert body == {"userid": "a", "external_userid": "wm1", "remark": "字" * 20}


async def test_a_way_without_its_id_is_an_open_outcome(contacts: WecomContacts, wecom_server: Any) -> None:
    wecom_server.answer("externalcontact/add_contact_way", OK, OK | WAY)
    with pytest.raises(ChannelUnavailableError, match="config_id"):
        await contacts.add_way(staff_ids=["a"], state="s", remark="r")
    way = await contacts.add_way(staff_ids=["a", "b"], state="s", remark="很" * 40)
    assert (way.config_id, way.qr_code) == ("c1", "http://x/c1.png")
    body = wecom_server.bodies("externalcontact/add_contact_way")[-1]
    assert (body["type"], len(body["remark"])) == (2, 30)


async def test_ways_are_listed_page_by_page_from_the_beginning(contacts: WecomContacts, wecom_server: Any) -> None:
    page = {"contact_way": [{"config_id": "c1"}, {}], "next_cursor": "p2"}
    stuck = {"contact_way": [{"config_id": "c2"}], "next_cursor": "p2"}
    wecom_server.answer("externalcontact/list_contact_way", OK | page, OK | stuck)
    assert await contacts.way_ids() == ("c1", "c2")
    first, second = wecom_server.bodies("externalcontact/list_contact_way")
    assert first["start_time"] == 1_625_846_400
    assert second["cursor"] == "p2"


async def test_a_way_is_read_whatever_it_lacks(contacts: WecomContacts, wecom_server: Any) -> None:
    wecom_server.answer("externalcontact/get_contact_way", OK | {"contact_way": {"user": ["a"]}}, OK)
    way = await contacts.way("c1")
    assert (way.config_id, way.state, way.staff_ids, way.qr_code) == ("c1", "", ("a",), "")
    with pytest.raises(ChannelUnavailableError, match="no way"):
        await contacts.way("c1")
