"""The simulator's crypto gives the known vectors byte for byte."""

from __future__ import annotations

import json

import pytest

from tools.simulators.wecom_crypto import CallbackCipher

TOKEN = "kfTestToken0123456789abcdefABCDE"
CASES = (
    "kf event",
    "key with trailing bits, Chinese text",
    "url verification",
    "full pad block",
    "empty receiveid",
    "other corp",
)


@pytest.fixture
def vector(request: pytest.FixtureRequest) -> dict[str, str]:
    vectors = json.loads(request.path.with_name("callback_vectors.json").read_text(encoding="utf-8"))
    assert tuple(each["name"] for each in vectors) == CASES
    return next(each for each in vectors if each["name"] == request.param)


@pytest.mark.parametrize("vector", CASES, indirect=True)
def test_encrypts_and_signs_like_the_vector(vector: dict[str, str]) -> None:
    cipher = CallbackCipher(token=TOKEN, encoding_aes_key=vector["encoding_aes_key"], receiveid=vector["receiveid"])
    encrypted = cipher.encrypt(vector["plain"], salt=vector["salt"].encode())
    assert encrypted == vector["encrypted"]
    signature = cipher.sign(timestamp=vector["timestamp"], nonce=vector["nonce"], encrypted=encrypted)
    assert signature == vector["signature"]


@pytest.mark.parametrize("vector", ["other corp"], indirect=True)
def test_another_receiveid_can_be_forced(vector: dict[str, str]) -> None:
    cipher = CallbackCipher(token=TOKEN, encoding_aes_key=vector["encoding_aes_key"], receiveid="ww1234567890abcdef")
    forged = cipher.encrypt(vector["plain"], receiveid=vector["receiveid"], salt=vector["salt"].encode())
    assert forged == vector["encrypted"]


@pytest.mark.parametrize("key", ["short", "a" * 44, "", "/" * 43])
def test_a_key_of_the_wrong_shape_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="EncodingAESKey"):
        CallbackCipher(token=TOKEN, encoding_aes_key=key, receiveid="")
