"""Whatever a stranger sends to the callback: the right status, nothing stored, no traceback."""

from __future__ import annotations

import base64

import httpx

EVENT = (
    "<xml><ToUserName><![CDATA[{corp}]]></ToUserName><CreateTime>1735689600</CreateTime>"
    "<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[kf_msg_or_event]]></Event>"
    "<Token><![CDATA[ENC1]]></Token><OpenKfId><![CDATA[wk1]]></OpenKfId></xml>"
)
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE xml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><xml><Encrypt>&c;</Encrypt></xml>'
)


def envelope(encrypted: str) -> bytes:
    return f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()


async def statuses(service) -> dict[str, tuple[int, int]]:
    """Send every malformed request; return expected and actual status by name."""
    wecom, url = service.wecom, f"{service.url}/wecom/callback"
    good, body = wecom.encrypt_callback(EVENT.format(corp=wecom.corp_id))
    foreign, foreign_body = wecom.encrypt_callback(EVENT.format(corp="wwOther"), receiveid="wwOther")
    inner, inner_body = wecom.encrypt_callback("this is no xml")
    inner_bomb, inner_bomb_body = wecom.encrypt_callback(BOMB)
    empty, empty_body = wecom.encrypt_callback("")
    encrypted = body.decode().split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    flipped = good["msg_signature"][:-1] + ("0" if good["msg_signature"][-1] != "0" else "1")
    bad = {**good, "msg_signature": flipped}

    def signed(text: str) -> dict[str, str]:
        import hashlib

        parts = sorted([service.environment["WECOM_TOKEN"], good["timestamp"], good["nonce"], text])
        return {**good, "msg_signature": hashlib.sha1("".join(parts).encode()).hexdigest()}

    truncated = encrypted[: len(encrypted) // 2 + 1]
    garbage = base64.b64encode(b"x" * 48).decode()
    cases: dict[str, tuple[int, str, dict[str, str], bytes]] = {
        "bad signature": (403, "POST", bad, body),
        "signature of another body": (403, "POST", foreign, body),
        "wrong corp": (403, "POST", foreign, foreign_body),
        "truncated base64, signed": (400, "POST", signed(truncated), envelope(truncated)),
        "truncated base64, unsigned": (403, "POST", good, envelope(truncated)),
        "garbage ciphertext, signed": (400, "POST", signed(garbage), envelope(garbage)),
        "not base64, signed": (400, "POST", signed("你好!"), envelope("你好!")),
        "entity bomb": (400, "POST", good, BOMB.encode()),
        "entity bomb inside": (400, "POST", inner_bomb, inner_bomb_body),
        "two megabytes": (413, "POST", good, b"x" * 2_000_000),
        "not XML": (400, "POST", good, b"hello"),
        "JSON": (400, "POST", good, b'{"Encrypt": "x"}'),
        "empty body": (400, "POST", good, b""),
        "empty message inside": (400, "POST", empty, empty_body),
        "no XML inside": (400, "POST", inner, inner_body),
        "no Encrypt": (400, "POST", good, b"<xml><A>1</A></xml>"),
        "Encrypt twice": (400, "POST", good, b"<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>"),
        "not UTF-8": (400, "POST", good, b"\xff\xfe<xml></xml>"),
        "no query": (400, "POST", {}, body),
        "empty signature": (400, "POST", {**good, "msg_signature": ""}, body),
        "no echostr": (400, "GET", good, b""),
        "bad echo signature": (403, "GET", {**bad, "echostr": encrypted}, b""),
        "wrong method PUT": (405, "PUT", good, body),
        "wrong method DELETE": (405, "DELETE", good, b""),
    }
    result = {}
    async with httpx.AsyncClient() as client:
        for name, (expected, method, params, content) in cases.items():
            answer = await client.request(method, url, params=params, content=content)
            result[name] = (expected, answer.status_code)
    return result


async def test_every_malformed_callback_is_refused_and_nothing_is_stored(service):
    result = await statuses(service)
    assert len(result) >= 20
    assert {name: actual for name, (_, actual) in result.items()} == {
        name: expected for name, (expected, _) in result.items()
    }
    assert service.rows("select count(*) from callbacks") == [(0,)]
    assert service.rows(
        "select count(*) from procrastinate_jobs where task_name = 'pull' and args ->> 'account_id' = 'wk1'"
    ) == [(0,)]
    assert "Traceback" not in service.log.read_text()


async def test_the_url_is_verified_with_the_bare_echo(service):
    assert await service.wecom.verify_url()


async def test_the_log_holds_no_secret(service):
    await statuses(service)
    log = service.log.read_text()
    assert service.environment["WECOM_TOKEN"] not in log
    assert service.environment["WECOM_ENCODING_AES_KEY"] not in log
    assert service.telegram.token not in log
