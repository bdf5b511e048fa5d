from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from tools.errors import (
    BadRequestError,
    ChannelError,
    ChannelSetupError,
    ChannelUnavailableError,
    DuplicateMessageError,
    RateLimitedError,
    ReplyWindowClosedError,
)
from tools.wecom.client import Account, ServiceState, WecomClient
from tools.wecom.transport import CONCURRENT_CALLS, error_for

Make = Callable[..., WecomClient]
OK = {"errcode": 0, "errmsg": "ok"}
PAGE = OK | {"next_cursor": "c1", "has_more": 0, "msg_list": []}
TOKEN = OK | {"access_token": "tok-secret", "expires_in": 7200}


def refusal(code: int, errmsg: str = "no") -> dict[str, Any]:
    return {"errcode": code, "errmsg": errmsg}


async def send(client: WecomClient, text: str = "您好", msgid: str = "k1") -> None:
    await client.send_text("wk1", "wm1", text, msgid=msgid)


async def test_fifty_concurrent_calls_need_one_token(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", PAGE)
    await asyncio.gather(*(wecom_client.sync_msg("wk1") for _ in range(50)))
    assert wecom_server.count("gettoken") == 1
    assert wecom_server.count("kf/sync_msg") == 50


async def test_token_travels_in_the_query_of_the_configured_base(wecom_client: WecomClient, wecom_server: Any) -> None:
    await send(wecom_client)
    fetch, call = wecom_server.calls
    assert (fetch.path, fetch.query) == ("gettoken", {"corpid": "ww1", "corpsecret": "s3cret-of-the-app"})
    assert call.query == {"access_token": "tok-1"}
    assert call.headers["content-type"] == "application/json"
    assert call.body == {
        "touser": "wm1",
        "open_kfid": "wk1",
        "msgid": "k1",
        "msgtype": "text",
        "text": {"content": "您好"},
    }


async def test_two_clients_share_a_token_through_redis(
    wecom_make_client: Make, wecom_server: Any, wecom_redis: Redis
) -> None:
    one, two = wecom_make_client(redis=wecom_redis), wecom_make_client(redis=wecom_redis)
    await asyncio.gather(send(one), send(two))
    assert wecom_server.count("gettoken") == 1
    assert {call.query["access_token"] for call in wecom_server.calls if call.path == "kf/send_msg"} == {"tok-1"}


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_rejected_token_is_replaced_once(wecom_client: WecomClient, wecom_server: Any, code: int) -> None:
    wecom_server.answer("kf/send_msg", refusal(code), OK)
    await send(wecom_client)
    used = [call.query["access_token"] for call in wecom_server.calls if call.path == "kf/send_msg"]
    assert used == ["tok-1", "tok-2"]
    assert wecom_server.count("gettoken") == 2


async def test_rejected_token_is_replaced_once_for_concurrent_calls(
    wecom_client: WecomClient, wecom_server: Any
) -> None:
    async def reject_the_first(call: Any) -> dict[str, Any]:
        return refusal(42001) if call.query["access_token"] == "tok-1" else PAGE

    wecom_server.answer("kf/sync_msg", reject_the_first)
    await asyncio.gather(*(wecom_client.sync_msg("wk1") for _ in range(20)))
    assert wecom_server.count("gettoken") == 2


@pytest.mark.parametrize("code", [40014, 42001])
async def test_token_rejected_for_ever_is_no_loop(wecom_client: WecomClient, wecom_server: Any, code: int) -> None:
    wecom_server.answer("kf/sync_msg", refusal(code))
    with pytest.raises(ChannelError) as caught:
        await wecom_client.sync_msg("wk1")
    assert caught.value.code == code
    assert caught.value.transient, "a message must not be given up for it"
    assert (wecom_server.count("gettoken"), wecom_server.count("kf/sync_msg")) == (2, 2)


async def test_wrong_secret_names_the_setting(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/send_msg", refusal(40001, "invalid credential"))
    with pytest.raises(BadRequestError, match=r"40001 invalid credential — wrong secret; compare WECOM_KF_SECRET"):
        await send(wecom_client)
    assert wecom_server.count("kf/send_msg") == 2


async def test_secret_refused_by_gettoken_makes_no_further_call(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("gettoken", refusal(40001, "invalid credential"))
    for _ in range(2):
        with pytest.raises(BadRequestError, match="WECOM_KF_SECRET"):
            await send(wecom_client)
    assert [call.path for call in wecom_server.calls] == ["gettoken"]


async def test_silent_vendor_is_unavailable(wecom_make_client: Make, wecom_server: Any) -> None:
    wecom_server.answer("kf/send_msg", wecom_server.hang)
    client = wecom_make_client(timeout=httpx.Timeout(5, read=0.05))
    with pytest.raises(ChannelUnavailableError, match=r"kf/send_msg: no answer \(ReadTimeout\)"):
        await send(client)
    assert wecom_server.count("kf/send_msg") == 1


async def test_nobody_listening_is_unavailable(wecom_make_client: Make, unused_tcp_port: int) -> None:
    client = wecom_make_client(api_base=f"http://127.0.0.1:{unused_tcp_port}/cgi-bin/")
    with pytest.raises(ChannelUnavailableError, match="gettoken: no answer"):
        await send(client)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b"oops"), ChannelUnavailableError),
        ((503, b'{"errcode":0}'), ChannelUnavailableError),
        ((200, b"<html>"), ChannelUnavailableError),
        ((200, b"\xff\xfe"), ChannelUnavailableError),
        ((200, b""), ChannelUnavailableError),
        ((200, b"[]"), ChannelUnavailableError),
        ((200, b'{"errmsg":"ok"}'), ChannelUnavailableError),
        ((200, b"[" * 100_000), ChannelUnavailableError),
        ((302, b""), ChannelUnavailableError),
        ((429, b"slow down"), RateLimitedError),
        ("drop", ChannelUnavailableError),
    ],
)
async def test_useless_answer_is_transient(
    wecom_client: WecomClient, wecom_server: Any, answer: Any, error: type[ChannelError]
) -> None:
    wecom_server.answer("kf/send_msg", answer)
    with pytest.raises(ChannelError) as caught:
        await send(wecom_client)
    assert type(caught.value) is error
    assert caught.value.transient


@pytest.mark.parametrize("failure", [refusal(-1), refusal(6000), refusal(45033), (502, b""), "drop"])
async def test_repeatable_call_survives_two_failures(
    wecom_client: WecomClient, wecom_server: Any, failure: Any
) -> None:
    wecom_server.answer("kf/sync_msg", failure, failure, PAGE)
    assert (await wecom_client.sync_msg("wk1")).next_cursor == "c1"
    assert wecom_server.count("kf/sync_msg") == 3


async def test_repeatable_call_gives_up_after_three_tries(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", refusal(-1, "system busy"))
    with pytest.raises(ChannelUnavailableError, match="-1 system busy"):
        await wecom_client.sync_msg("wk1")
    assert wecom_server.count("kf/sync_msg") == 3


async def test_gettoken_is_tried_again(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("gettoken", refusal(-1), (500, b""), TOKEN)
    await send(wecom_client)
    assert wecom_server.count("gettoken") == 3


@pytest.mark.parametrize("body", [OK, OK | {"access_token": "", "expires_in": 1}, OK | {"access_token": "t"}])
async def test_gettoken_without_token_is_unavailable(wecom_client: WecomClient, wecom_server: Any, body: Any) -> None:
    wecom_server.answer("gettoken", body)
    with pytest.raises(ChannelUnavailableError, match="gettoken"):
        await send(wecom_client)


@pytest.mark.parametrize("code", [-1, 45033])
async def test_send_is_left_to_its_caller_to_repeat(wecom_client: WecomClient, wecom_server: Any, code: int) -> None:
    wecom_server.answer("kf/send_msg", refusal(code))
    with pytest.raises(ChannelError):
        await send(wecom_client)
    assert wecom_server.count("kf/send_msg") == 1


async def test_frequency_block_is_not_prolonged_by_repeating(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", refusal(45009))
    with pytest.raises(RateLimitedError):
        await wecom_client.sync_msg("wk1")
    assert wecom_server.count("kf/sync_msg") == 1


async def test_at_most_five_calls_of_one_api_are_in_flight(wecom_client: WecomClient, wecom_server: Any) -> None:
    arrived = asyncio.Semaphore(0)
    leave = asyncio.Event()

    async def hold(call: Any) -> dict[str, Any]:
        arrived.release()
        await leave.wait()
        return OK

    wecom_server.answer("kf/send_msg", hold)
    sends = [asyncio.create_task(send(wecom_client)) for _ in range(12)]
    for _ in range(CONCURRENT_CALLS):
        await arrived.acquire()
    await wecom_client.sync_msg(
        "wk1"
    )  # another API is not held up, and its round trip shows a sixth send would be seen
    leave.set()
    await asyncio.gather(*sends)
    assert wecom_server.count("kf/send_msg") == 12
    assert wecom_server.busiest == CONCURRENT_CALLS + 1


@pytest.mark.parametrize(
    ("code", "error", "transient"),
    [
        (-1, ChannelUnavailableError, True),
        (6000, ChannelUnavailableError, True),
        (45009, RateLimitedError, True),
        (45033, RateLimitedError, True),
        (95001, ReplyWindowClosedError, False),
        (95002, ReplyWindowClosedError, False),
        (95013, ReplyWindowClosedError, False),
        (95018, ReplyWindowClosedError, False),
        (40001, ChannelSetupError, True),
        (40058, BadRequestError, False),
        (40096, BadRequestError, False),
        (60020, ChannelSetupError, True),
        (95000, BadRequestError, False),
        (99999, BadRequestError, False),
    ],
)
def test_code_decides_the_error(code: int, error: type[ChannelError], transient: bool) -> None:
    translated = error_for("kf/send_msg", code, "some words")
    assert (type(translated), translated.code, translated.transient) == (error, code, transient)


@pytest.mark.parametrize(
    ("code", "errmsg", "error"),
    [
        (40058, "duplicate msgid", DuplicateMessageError),
        (95999, "msgid is repeated, hint: [1], from ip: 1.2.3.4", DuplicateMessageError),
        (40058, "Message ID already exists", DuplicateMessageError),
        (40035, "msgid 重复", DuplicateMessageError),
        (40058, "invalid msgid", BadRequestError),
        (40058, "msgid not exist", BadRequestError),
        (40058, "msgid doesn't exist", BadRequestError),
        (40058, "duplicate menu id", BadRequestError),
        (45033, "msgid duplicate", RateLimitedError),
        (95018, "msgid exist, session status invalid", ReplyWindowClosedError),
    ],
)
def test_repeated_msgid_is_known_by_its_words(code: int, errmsg: str, error: type[ChannelError]) -> None:
    assert type(error_for("kf/send_msg", code, errmsg)) is error


def test_only_sends_can_be_duplicates() -> None:
    assert type(error_for("kf/sync_msg", 40058, "duplicate msgid")) is BadRequestError


def test_error_text_drops_the_vendors_noise() -> None:
    errmsg = (
        "send msg session status invalid, hint: [1750671663464083173076547], from ip: 1.2.3.4, "
        "more info at https://open.work.weixin.qq.com/devtool/query?e=95018"
    )
    assert str(error_for("kf/send_msg", 95018, errmsg)) == "WeCom kf/send_msg: 95018 send msg session status invalid"


async def test_pull_asks_with_cursor_and_token(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", PAGE | {"msg_list": [{"a": 1}], "has_more": 1})
    page = await wecom_client.sync_msg("wk1", cursor="c0", token="t0")
    assert wecom_server.bodies("kf/sync_msg") == [{"open_kfid": "wk1", "limit": 1000, "cursor": "c0", "token": "t0"}]
    assert (page.items, page.next_cursor, page.has_more) == (({"a": 1},), "c1", True)


async def test_stale_pull_token_is_left_out(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", refusal(95007), PAGE)
    await wecom_client.sync_msg("wk1", cursor="c0", token="old")
    assert [body.get("token") for body in wecom_server.bodies("kf/sync_msg")] == ["old", None]


async def test_stale_pull_token_without_a_token_is_an_error(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/sync_msg", refusal(95007))
    with pytest.raises(BadRequestError):
        await wecom_client.sync_msg("wk1")
    assert wecom_server.count("kf/sync_msg") == 1


@pytest.mark.parametrize("cursor", [{}, {"next_cursor": ""}, {"next_cursor": "c0"}, {"next_cursor": 7}])
async def test_cursor_that_does_not_move_ends_the_paging(
    wecom_client: WecomClient, wecom_server: Any, cursor: dict[str, Any]
) -> None:
    wecom_server.answer("kf/sync_msg", OK | {"has_more": 1, "msg_list": None} | cursor)
    page = await wecom_client.sync_msg("wk1", cursor="c0")
    assert (page.items, page.next_cursor, page.has_more) == ((), "c0", False)


async def test_raw_control_characters_in_an_answer_are_read(wecom_client: WecomClient, wecom_server: Any) -> None:
    body = b'{"errcode":0,"errmsg":"ok","next_cursor":"c1","has_more":0,"msg_list":[{"t":"a\nb\tc"}]}'
    wecom_server.answer("kf/sync_msg", (200, body))
    assert (await wecom_client.sync_msg("wk1")).items == ({"t": "a\nb\tc"},)


async def test_half_an_emoji_does_not_stop_a_send(wecom_client: WecomClient, wecom_server: Any) -> None:
    await send(wecom_client, "好\ud83d")
    assert wecom_server.bodies("kf/send_msg")[0]["text"]["content"] == "好?"


@pytest.mark.parametrize(("text", "msgid"), [("中" * 683, "k1"), ("好", ""), ("好", "k" * 33), ("好", "k 1")])
async def test_unsendable_text_or_key_is_refused_here(
    wecom_client: WecomClient, wecom_server: Any, text: str, msgid: str
) -> None:
    with pytest.raises(BadRequestError):
        await send(wecom_client, text, msgid)
    with pytest.raises(BadRequestError):
        await wecom_client.send_text_on_event("code", text, msgid=msgid)
    assert wecom_server.calls == []


async def test_event_code_is_answered(wecom_client: WecomClient, wecom_server: Any) -> None:
    await wecom_client.send_text_on_event("CODE", "欢迎", msgid="k1")
    expected = {"code": "CODE", "msgid": "k1", "msgtype": "text", "text": {"content": "欢迎"}}
    assert wecom_server.bodies("kf/send_msg_on_event") == [expected]


async def test_accounts_are_paged(wecom_client: WecomClient, wecom_server: Any) -> None:
    rows = [{"open_kfid": f"wk{n}", "name": f"客服{n}"} for n in range(130)]

    async def page(call: Any) -> dict[str, Any]:
        offset = call.body["offset"]
        return OK | {"account_list": rows[offset : offset + call.body["limit"]]}

    wecom_server.answer("kf/account/list", page)
    accounts = await wecom_client.accounts()
    assert len(accounts) == 130
    assert accounts[129] == Account(open_kfid="wk129", name="客服129")


async def test_accounts_end_when_the_vendor_ignores_the_offset(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/account/list", OK | {"account_list": [{"open_kfid": f"wk{n}"} for n in range(100)]})
    assert len(await wecom_client.accounts()) == 100
    assert wecom_server.count("kf/account/list") == 2


async def test_malformed_account_rows_are_passed_over(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/account/list", OK | {"account_list": ["x", {"name": "no id"}, {"open_kfid": "wk1"}]})
    assert await wecom_client.accounts() == (Account(open_kfid="wk1", name=""),)


async def test_nicknames_are_asked_for_a_hundred_at_a_time(wecom_client: WecomClient, wecom_server: Any) -> None:
    async def known(call: Any) -> dict[str, Any]:
        ids = call.body["external_userid_list"]
        return OK | {"customer_list": [{"external_userid": i, "nickname": f"n-{i}"} for i in ids]}

    wecom_server.answer("kf/customer/batchget", known)
    ids = [f"wm{n}" for n in range(101)]
    assert await wecom_client.nicknames(ids) == {i: f"n-{i}" for i in ids}
    assert [len(b["external_userid_list"]) for b in wecom_server.bodies("kf/customer/batchget")] == [100, 1]


async def test_service_state_is_named(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/service_state/get", OK | {"service_state": 3, "servicer_userid": "zhangsan"}, OK)
    assert await wecom_client.service_state("wk1", "wm1") is ServiceState.HUMAN
    with pytest.raises(ChannelUnavailableError):
        await wecom_client.service_state("wk1", "wm1")


async def test_leaving_the_context_closes_the_connections(wecom_make_client: Make) -> None:
    async with wecom_make_client() as client:
        await send(client)
    assert client._http.is_closed


async def test_secrets_and_tokens_never_reach_the_log(
    wecom_make_client: Make, wecom_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "S3CRETS3CRET"
    wecom_server.answer("gettoken", TOKEN)
    wecom_server.answer("kf/send_msg", refusal(42001), "drop")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        client = wecom_make_client(secret=SecretStr(secret))
        with pytest.raises(ChannelUnavailableError) as caught:
            await send(client, "客户的话")
    logged = [f"{r.getMessage()} {r.__dict__}" for r in caplog.records]
    assert any("gettoken" in line for line in logged)
    assert not [line for line in logged if secret in line or "tok-secret" in line or "客户的话" in line]
    assert "tok-secret" not in f"{caught.value} {caught.value.__cause__}"
