from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import SecretStr

from tools.errors import ConfigurationError, ForeignCorpError, InvalidSignatureError, MalformedCallbackError
from tools.wecom.callback import CallbackCrypto

TOKEN = "kfTestToken0123456789abcdefABCDE"
CORP = "ww1234567890abcdef"
K1 = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"
K2 = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OFFICIAL_TOKEN = "QDG6eK"
OFFICIAL_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
OFFICIAL_CORP = "wx5823bf96d3bd56c7"
O1_ENCRYPT = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
O2_ENCRYPT = (
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg"
    "3W/sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+k"
    "DZ+HMZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6ti"
    "WSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p"
    "8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
)
V1_ENCRYPT = (
    "Al31VOORMRWx6emIpmL5qtx52525dXehfzw9iPE8/KBynvOIa17pbhBxjzrTZeDPwpOEAKYj3Wy93AW0ZYXVcbsMvhg/QvNcsZGO"
    "iBfvooWmzCt6Hs8O9nEMo9K6+bspw2BFEI4cvH6mVgvPVUQvF1MSGS4/RHf94izsuLpxCz5h4JIKh1TX2A2fz2s/kLDPo68H8ihb"
    "iwobO8+kuD9F1OcqsnIp84TFL6FByTPMy/QUftBYkdLQKBjeqlTD2nSLQJCzoa9XUM/JpZh0hFL81fujLpoty52GTAavskTQjZMl"
    "8+C1DN2s4N66e17fCE8sw0huX5lU4dDWL4sMxHo0umaleeXGDby6pPM+ptrUCSSmSP9dub0hpQ78EB+i5OFgHB5Z4jPakc5bxygh"
    "d6WrXyW0tjesyKHHFlHnWu/aEts="
)
V2_ENCRYPT = (
    "DpQeJfnf/MGZ/+GTIspwVIMWouEiei1IgCUFXaVc0mQkMUOBoKsF5F/ZloPiWzagtQsbBfAENq3NS5V7Dl4iViCyFsr0FLoOjbna"
    "vzmDUGFM2iVUG8yWFc8z2t6HtGH0AaZS49griDGnvjwQUx3gjXD8FWmwa0czX7rT8axq6OOkcPVkqKGejCCPtRLPNSJm/2vNVUJG"
    "cmK28q5VMv7pX30dTUgO8XhbYlYy1cggMq8HPbqhwOvHTeWYeRS0mfyb52WXCZhP6umZXYd0lXpSCXcS26Ug7j4SK3Rz8i+EUHwg"
    "bGhPIxi0K8wwGoEgDCWBj15Qsc+19QPvmFQcCOt3WcTDjNSkOBH+dCiN2dyCDDnsEK4XEBkyC2qp6xWXuNbmJn8L2MsUVkvL8cko"
    "I2GA5PiE6gEafAywcng6ENHmCHmq5aePqwcMOhnk9tc8x56u3t7YfEzfjIZ6AsCx1V1t/2SMVxTyQ80xX9mNuryORyVBR2KV0EuA"
    "y84VJywOiVLv3fLAnmLiXpCYjbO7O4kbV4EAlRPpj4yPlTGDPr9Gj/Rhm9RHeRjJU6hyPFb2HaWSZTy2X7w+xH6pb5I9rgaDqt4D"
    "KVoVuC+M1yZi1wqQu+aY/5r0fEaCIlSQt+NsQZYeNncb56LJoyqYgbEYsHIigbjF8qhLKhJOTjA4ETk4nns="
)
V3_ENCRYPT = "eJqx2X1l/bLjW5SPVPRSO2wcxEcx1r966MinXYIk2zOD8rSRlHW4idOt6zyn7fH3KzZZsqXD7EEDNQJGUn0KRw=="
V4_ENCRYPT = (
    "Al31VOORMRWx6emIpmL5qiHKScaPS+um97EkX/scrhg5bzO/kIHYnvRG4pluvVadSodZzM5Qho7EKqn8YksXx1VxxHUPY4s9nlw+"
    "+GEDUp+TJbwxN49qNYPk3idpc8E4ZqDLo/gg/xc1pbaf8vrdExnMJkKMjPdyGPvC8bxhVrI="
)
V5_ENCRYPT = (
    "Al31VOORMRWx6emIpmL5qhYT3D1vzNFFukxqemqrbbug7kYNYTzHykeY3m0jXUmF8NFOOHRN9c6sO9Sc8cpd5iVkeg4+yeVYCdAl"
    "3AF3NrBhjy9TXtJ/NPF3tC/pUgPzMiFYgUj7cbAbIKQTF599rwfWKEBIB3BovR0Ec+/GYuEi1jIZVJFedudRZvV5JU4gKt+BsdRk"
    "rB+pj8K9t1z4lw=="
)
V6_ENCRYPT = (
    "Al31VOORMRWx6emIpmL5qtx52525dXehfzw9iPE8/KBynvOIa17pbhBxjzrTZeDPwpOEAKYj3Wy93AW0ZYXVcbsMvhg/QvNcsZGO"
    "iBfvooWmzCt6Hs8O9nEMo9K6+bspw2BFEI4cvH6mVgvPVUQvF1MSGS4/RHf94izsuLpxCz5h4JIKh1TX2A2fz2s/kLDPo68H8ihb"
    "iwobO8+kuD9F1OcqsnIp84TFL6FByTPMy/QUftBYkdLQKBjeqlTD2nSLQJCzoa9XUM/JpZh0hFL81fujLpoty52GTAavskTQjZMl"
    "8+C1DN2s4N66e17fCE8sw0huX5lU4dDWL4sMxHo0umaleeXGDby6pPM+ptrUCSQAUI6snglzx5PAFuasb030mokWW5cJgNYaT7DU"
    "MoBCwnYXr7+KyaK5IYRQLumENhk="
)


@dataclass(frozen=True)
class Sent:
    """What the vendor put into the query and the body."""

    timestamp: str
    nonce: str
    msg_signature: str
    encrypt: str

    @property
    def query(self) -> dict[str, str]:
        return {"timestamp": self.timestamp, "nonce": self.nonce, "msg_signature": self.msg_signature}

    @property
    def body(self) -> bytes:
        return (
            f"<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID>"
            f"<Encrypt><![CDATA[{self.encrypt}]]></Encrypt></xml>"
        ).encode()


O1 = Sent("1409659589", "263014780", "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3", O1_ENCRYPT)
O2 = Sent("1409659813", "1372623149", "477715d11cdb4164915debcba66cb864d751f3e6", O2_ENCRYPT)
V1 = Sent("1735689601", "1372623149", "2aa8c3b03ff4e99ddf8479fc6c3b7e71e082e2e5", V1_ENCRYPT)
V2 = Sent("1735689701", "nonceABC", "5ccc6df3d62a107609f2cb90404c6e63b380afff", V2_ENCRYPT)
V3 = Sent("1735689602", "263014780", "52ddd2ea4f40cccabf212a6fa9d44265291ddec0", V3_ENCRYPT)
V4 = Sent("1735689603", "n4", "7d7726602e8a53a8670086368845b22a2ad3f09f", V4_ENCRYPT)
V5 = Sent("1735689604", "n5", "752c5594d86d8b9a2ea4f60a6db2327ee18c1ca9", V5_ENCRYPT)
V6 = Sent("1735689601", "1372623149", "5f5df75dac3082ebb5a9bd9572f24acbdf56d665", V6_ENCRYPT)


def crypto(*, token: str = TOKEN, key: str = K1, corp: str = CORP) -> CallbackCrypto:
    return CallbackCrypto(SecretStr(token), SecretStr(key), corp)


def official() -> CallbackCrypto:
    return crypto(token=OFFICIAL_TOKEN, key=OFFICIAL_KEY, corp=OFFICIAL_CORP)


def echo(receiver: CallbackCrypto, sent: Sent) -> str:
    return receiver.verify_url(echostr=sent.encrypt, **sent.query)


def sign(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def signed(encrypt: str) -> Sent:
    """Sign anything with our token: what only a sender who knows it, or a broken one, could do."""
    return Sent("1735689605", "n", sign(TOKEN, "1735689605", "n", encrypt), encrypt)


def encrypted(plain: bytes) -> str:
    """Encrypt whole blocks as they are, without adding padding."""
    key = base64.b64decode(K1 + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def frame(message: bytes, *, corp: str = CORP, length: int | None = None) -> bytes:
    body = bytes(16) + struct.pack(">I", len(message) if length is None else length) + message + corp.encode()
    pad = 32 - len(body) % 32
    return body + bytes([pad]) * pad


def carrying(message: bytes) -> Sent:
    return signed(encrypted(frame(message)))


def test_official_echo_is_decrypted() -> None:
    assert echo(official(), O1) == "1616140317555161061"


def test_official_message_is_opened() -> None:
    event = official().open(O2.body, **O2.query)
    assert (event.event, event.account_id, event.token, event.created_at) == ("text", "", "", 1409659813)
    assert event.fields == {
        "ToUserName": "wx5823bf96d3bd56c7",
        "FromUserName": "mycreate",
        "CreateTime": "1409659813",
        "MsgType": "text",
        "Content": "hello",
        "MsgId": "4561255354251345929",
        "AgentID": "218",
    }


def test_kf_event_is_opened() -> None:
    event = crypto().open(V1.body, **V1.query)
    assert event.event == "kf_msg_or_event"
    assert event.account_id == "wkTestKf0001"
    assert event.token == "ENCToken0001"
    assert event.created_at == 1735689600


def test_non_ascii_event_is_opened_with_a_key_with_trailing_bits() -> None:
    event = crypto(key=K2).open(V2.body, **V2.query)
    assert (event.event, event.account_id, event.created_at) == ("change_external_contact", "", 1735689700)
    assert event.fields["State"] == "渠道A"
    assert event.fields["ChangeType"] == "add_external_contact"
    assert event.fields["WelcomeCode"] == "WELCOME0001"
    assert json.loads(json.dumps(event.fields)) == event.fields


def test_echo_is_decrypted() -> None:
    assert echo(crypto(), V3) == "1616140317555161061"


def test_full_block_of_padding_is_stripped() -> None:
    assert echo(crypto(), V4) == "x" * 58


def test_empty_receiver_is_accepted_where_it_is_ours() -> None:
    assert json.loads(echo(crypto(corp=""), V5))["text"] == {"content": "hello"}
    with pytest.raises(ForeignCorpError):
        echo(crypto(), V5)


def test_other_corp_is_refused() -> None:
    with pytest.raises(ForeignCorpError, match="WECOM_CORP_ID"):
        crypto().open(V6.body, **V6.query)
    with pytest.raises(ForeignCorpError):
        echo(crypto(), V6)


@pytest.mark.parametrize("sent", [O1, O2, V1, V2, V3, V4, V5, V6])
def test_flipped_signature_is_refused(sent: Sent) -> None:
    first = "0" if sent.msg_signature[0] != "0" else "1"
    forged = replace(sent, msg_signature=first + sent.msg_signature[1:])
    for receiver in (crypto(), official(), crypto(key=K2)):
        with pytest.raises(InvalidSignatureError, match="WECOM_TOKEN"):
            echo(receiver, forged)
        with pytest.raises(InvalidSignatureError):
            receiver.open(forged.body, **forged.query)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "1735689602"},
        {"nonce": "other"},
        {"nonce": "\ud800"},
        {"msg_signature": V1.msg_signature.upper()},
        {"msg_signature": V1.msg_signature + "0"},
        {"msg_signature": "签名"},
        {"msg_signature": "\ud800"},
        {"encrypt": V1.encrypt[:-4]},
        {"encrypt": "not base64!"},
    ],
)
def test_changed_part_breaks_the_signature(change: dict[str, str]) -> None:
    forged = replace(V1, **change)
    with pytest.raises(InvalidSignatureError) as caught:
        crypto().open(forged.body, **forged.query)
    assert type(caught.value) is InvalidSignatureError


@pytest.mark.parametrize("name", ["msg_signature", "timestamp", "nonce"])
def test_empty_query_parameter_is_malformed(name: str) -> None:
    with pytest.raises(MalformedCallbackError, match=name):
        crypto().open(V1.body, **(V1.query | {name: ""}))
    with pytest.raises(MalformedCallbackError, match=name):
        crypto().verify_url(echostr=V3.encrypt, **(V3.query | {name: ""}))


def test_empty_echo_is_malformed() -> None:
    with pytest.raises(MalformedCallbackError, match="echostr"):
        crypto().verify_url(echostr="", **V3.query)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE xml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<xml><Encrypt>&b;</Encrypt></xml>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"hello",
        b'{"encrypt":"x"}',
        b"<xml>",
        b"<xml/>",
        b"<xml></xml>",
        b"<xml>text</xml>",
        b"<xml><Encrypt></Encrypt></xml>",
        b"<xml><Encrypt/></xml>",
        b"<xml><Encrypt><a>1</a></Encrypt></xml>",
        b"<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>",
        b'<xml><Encrypt a="1">b</Encrypt></xml>',
        b"<root><Encrypt>a</Encrypt></root>",
        b"<xml><Encrypt>a</Encrypt></xml><xml/>",
        b"<xml><Encrypt>\xff\xfe</Encrypt></xml>",
        b"<xml><Encrypt>a\x00b</Encrypt></xml>",
        b"<xml><Encrypt>&undefined;</Encrypt></xml>",
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b"\xef\xbb\xbf" + BOMB.encode(),
        b'<!DOCTYPE xml SYSTEM "file:///etc/hostname"><xml><Encrypt>a</Encrypt></xml>',
        b"<!-- c --><!DOCTYPE xml><xml><Encrypt>a</Encrypt></xml>",
        b"<xml><!DOCTYPE xml><Encrypt>a</Encrypt></xml>",
    ],
)
def test_unreadable_envelope_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedCallbackError):
        crypto().open(body, **V1.query)


def test_deeply_nested_envelope_is_malformed() -> None:
    with pytest.raises(MalformedCallbackError):
        crypto().open(b"<xml>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</xml>", **V1.query)


def test_envelope_may_start_with_a_declaration_and_a_byte_order_mark() -> None:
    body = b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\n' + V1.body
    assert crypto().open(body, **V1.query).event == "kf_msg_or_event"


@pytest.mark.parametrize(
    "encrypt",
    [
        "not base64!",
        "QUJD*",
        "QUJDR",
        "====",
        V1.encrypt[:-3],
        V1.encrypt[:-24],
        base64.b64encode(bytes(16)).decode(),
        encrypted(bytes(32)),
        encrypted(bytes(31) + b"\x21"),
        encrypted(frame(b"<xml/>")[:-2] + b"\x01\x02"),
        encrypted(bytes([32]) * 32),
        encrypted(bytes(14) + bytes([18]) * 18),
        encrypted(frame(b"\xff\xfe\xfd")),
        "签名",
    ],
)
def test_signed_but_undecryptable_part_is_malformed(encrypt: str) -> None:
    sent = signed(encrypt)
    with pytest.raises(MalformedCallbackError):
        crypto().open(sent.body, **sent.query)
    with pytest.raises(MalformedCallbackError):
        echo(crypto(), sent)


def test_length_beyond_the_end_is_refused() -> None:
    with pytest.raises(ForeignCorpError):
        echo(crypto(), signed(encrypted(frame(b"hello", length=2**31))))


def test_wrong_aes_key_names_the_setting() -> None:
    with pytest.raises(MalformedCallbackError, match="WECOM_ENCODING_AES_KEY"):
        crypto(key=K2).open(V1.body, **V1.query)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 58,
        b'{"msgid":"1"}',
        b"<xml/>",
        b"<xml><ToUserName>a</ToUserName></xml>",
        b"<xml><MsgType>event</MsgType></xml>",
        b"<xml><MsgType><a>event</a></MsgType></xml>",
        BOMB.encode(),
        b"<xml><MsgType>event</MsgType><Event>&lol;</Event></xml>",
    ],
)
def test_unreadable_message_is_malformed(message: bytes) -> None:
    sent = carrying(message)
    with pytest.raises(MalformedCallbackError):
        crypto().open(sent.body, **sent.query)


@pytest.mark.parametrize(
    "created", ["", "<CreateTime/>", "<CreateTime>soon</CreateTime>", "<CreateTime>-1</CreateTime>"]
)
def test_event_without_a_time_is_still_an_event(created: str) -> None:
    sent = carrying(f"<xml><MsgType>event</MsgType><Event>kf_msg_or_event</Event>{created}</xml>".encode())
    assert crypto().open(sent.body, **sent.query).created_at == 0


def test_markup_inside_a_text_is_text() -> None:
    content = "<!DOCTYPE html> &lt;b&gt;"
    sent = carrying(f"<xml><MsgType>text</MsgType><Content><![CDATA[{content}]]></Content></xml>".encode())
    assert crypto().open(sent.body, **sent.query).fields["Content"] == content


def test_repeated_elements_become_a_list() -> None:
    inner = "<AuthAddOpenKfId>wk1</AuthAddOpenKfId><AuthAddOpenKfId>wk2</AuthAddOpenKfId>"
    sent = carrying(f"<xml><MsgType>event</MsgType><Event>kf_account_auth_change</Event>{inner}</xml>".encode())
    assert crypto().open(sent.body, **sent.query).fields["AuthAddOpenKfId"] == ["wk1", "wk2"]


@pytest.mark.parametrize("key", ["", "short", K1 + "A", K1[:-1] + "="])
def test_impossible_key_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ConfigurationError, match="WECOM_ENCODING_AES_KEY"):
        crypto(key=key)


def test_secrets_do_not_show_in_a_representation() -> None:
    receiver: Any = crypto()
    assert TOKEN not in repr(vars(receiver))
    assert "ENCToken0001" not in repr(receiver.open(V1.body, **V1.query))
