"""The calls that only a check of the set-up makes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from tools.errors import InvalidSignatureError
from tools.simulators.wecom_crypto import CallbackCipher
from tools.wecom.callback import CallbackCrypto
from tools.wecom.client import Servicer, WecomClient
from tools.wecom.transport import error_for

OK = {"errcode": 0, "errmsg": "ok"}
KEY = "k" * 43


async def test_servicers_are_asked_for_with_get(wecom_client: WecomClient, wecom_server: Any) -> None:
    rows = [{"userid": "zhang", "status": 0}, {"userid": "li", "status": 1, "stop_type": 0}, {"department_id": 7}, "x"]
    wecom_server.answer("kf/servicer/list", OK | {"servicer_list": rows})
    assert await wecom_client.servicers("wk1") == (
        Servicer(name="zhang", is_receiving=True),
        Servicer(name="li", is_receiving=False),
        Servicer(name="7", is_receiving=True),
    )
    call = wecom_server.calls[-1]
    assert (call.query, call.body) == ({"access_token": "tok-1", "open_kfid": "wk1"}, None)


async def test_a_rejected_token_is_replaced_for_get_too(wecom_client: WecomClient, wecom_server: Any) -> None:
    wecom_server.answer("kf/servicer/list", {"errcode": 42001, "errmsg": "expired"}, OK)
    assert await wecom_client.servicers("wk1") == ()
    assert wecom_server.calls[-1].query == {"access_token": "tok-2", "open_kfid": "wk1"}


@pytest.mark.parametrize(("given", "expected"), [({"manage_privilege": False}, False), ({}, True)])
async def test_an_account_tells_whether_the_app_may_answer_for_it(
    wecom_client: WecomClient, wecom_server: Any, given: dict[str, bool], expected: bool
) -> None:
    wecom_server.answer("kf/account/list", OK | {"account_list": [{"open_kfid": "wk1", **given}]})
    assert [account.is_managed for account in await wecom_client.accounts()] == [expected]


@pytest.mark.parametrize(
    ("errmsg", "words"),
    [
        ("not allow to access from your ip, hint: [1], from ip: 203.0.113.7, more info at https://x", "(203.0.113.7)"),
        ("not allow, from ip: 2001:db8::1, more info", "(2001:db8::1)"),
        ("not allow", "the address of this server is not in"),
    ],
)
def test_an_untrusted_address_is_named(errmsg: str, words: str) -> None:
    assert words in str(error_for("kf/account/list", 60020, errmsg))


def test_a_signed_echo_is_what_wecom_would_send() -> None:
    crypto = CallbackCrypto(SecretStr("t0k3n"), SecretStr(KEY), "ww1")
    query = crypto.signed_echo("1616140317555161061", timestamp="1735689600", nonce="n1")
    cipher = CallbackCipher(token="t0k3n", encoding_aes_key=KEY, receiveid="ww1")
    expected = cipher.sign(timestamp="1735689600", nonce="n1", encrypted=query["echostr"])
    assert query["msg_signature"] == expected
    assert crypto.verify_url(**query) == "1616140317555161061"
    with pytest.raises(InvalidSignatureError):
        CallbackCrypto(SecretStr("other"), SecretStr(KEY), "ww1").verify_url(**query)
