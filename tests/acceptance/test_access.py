"""Who reaches what of the whole service, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import httpx
import pytest

from api.patient_http import HEADER_SECONDS

EVENT = (
    "<xml><ToUserName><![CDATA[{corp}]]></ToUserName><CreateTime>1735689600</CreateTime>"
    "<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[kf_msg_or_event]]></Event>"
    "<Token><![CDATA[ENC1]]></Token><OpenKfId><![CDATA[wk1]]></OpenKfId></xml>"
)


@pytest.fixture
async def http():
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def call_back(service, http, **headers):
    query, body = service.wecom.encrypt_callback(EVENT.format(corp=service.wecom.corp_id))
    return await http.post(f"{service.url}/wecom/callback", params=query, content=body, headers=headers)


async def until(check):
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.2)


async def test_wecom_s_own_list_closes_the_callback_for_everybody_else(make_service, http):
    service = await make_service(WECOM_CALLBACK_ALLOWED_IPS="auto")
    await service.serve()

    async def is_in():
        return (await call_back(service, http)).status_code == 200

    # The simulator names 127.0.0.1.
    await until(is_in)
    stranger = await call_back(service, http, **{"X-Forwarded-For": "203.0.113.9"})
    assert (stranger.status_code, stranger.content) == (403, b"")
    # What a client claims stands left of what the proxy saw.
    liar = await call_back(service, http, **{"X-Forwarded-For": "127.0.0.1, 203.0.113.9"})
    assert liar.status_code == 403
    log = service.log.read_text()
    assert "Address may not call back" in log
    assert "Traceback" not in log


async def test_a_proxy_that_is_not_trusted_is_not_believed(make_service, http):
    service = await make_service(WECOM_CALLBACK_ALLOWED_IPS="203.0.113.0/24", KEFU_TRUSTED_PROXIES="192.0.2.1")
    await service.serve()
    answer = await call_back(service, http, **{"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 403


async def test_a_storm_of_forged_callbacks_does_not_shut_wecom_out(make_service, http):
    service = await make_service(KEFU_FAILURES_PER_MINUTE="3")
    await service.serve()
    forged = {"msg_signature": "0" * 40, "timestamp": "1", "nonce": "1"}
    statuses = [
        (await http.post(f"{service.url}/wecom/callback", params=forged, content=b"<xml><Encrypt>eA==</Encrypt></xml>"))
        for _ in range(6)
    ]
    assert [answer.status_code for answer in statuses] == [403] * 3 + [429] * 3
    assert int(statuses[-1].headers["Retry-After"]) > 0
    assert (await call_back(service, http)).status_code == 200


async def test_the_console_s_password_opens_and_the_logout_closes(make_service, http):
    password = secrets.token_hex(12)
    service = await make_service(CONSOLE_PASSWORD=password)
    await service.serve()
    assert (await http.get(f"{service.url}/console/session")).status_code == 401
    wrong = await http.post(f"{service.url}/console/login", json={"password": password + "x"})
    assert wrong.status_code == 401
    entered = await http.post(f"{service.url}/console/login", json={"password": password})
    assert entered.status_code == 200
    assert (await http.get(f"{service.url}/console/session")).json()["name"] == "admin"
    headers = {"X-CSRF-Token": entered.json()["csrf_token"]}
    assert (await http.post(f"{service.url}/console/logout")).status_code == 403
    assert (await http.post(f"{service.url}/console/logout", headers=headers)).status_code == 204
    assert (await http.get(f"{service.url}/console/session")).status_code == 401
    assert password not in service.log.read_text()
    assert entered.cookies["kefu_console"] not in service.log.read_text()


async def test_metrics_are_for_this_machine_and_for_tokens(make_service, http):
    token = secrets.token_hex(16)
    service = await make_service(API_TOKEN=token)
    await service.serve()
    assert (await http.get(f"{service.url}/metrics")).status_code == 200
    afar = {"X-Forwarded-For": "203.0.113.9"}
    assert (await http.get(f"{service.url}/metrics", headers=afar)).status_code == 401
    answer = await http.get(f"{service.url}/metrics", headers=afar | {"Authorization": f"Bearer {token}"})
    assert (answer.status_code, "kefu_" in answer.text) == (200, True)


async def test_headers_that_drip_are_cut_off_and_others_are_served(service, http):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(b"POST /wecom/callback HTTP/1.1\r\nHost: kefu\r\nX-Drip: ")
        closed = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(HEADER_SECONDS * 3):
            while not closed.done():
                assert (await http.get(f"{service.url}/ready")).status_code == 200
                with contextlib.suppress(OSError):
                    writer.write(b"x")
                    await writer.drain()
                await asyncio.wait([closed], timeout=0.5)
        assert await closed == b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
