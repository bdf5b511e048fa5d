"""Sealing and opening: what was written comes back, and nobody else reads it."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.encryption import KEY_BYTES, KeyRing, sealed_json

OLD, NEW = (base64.b64encode(bytes((start + 7 * n) % 256 for n in range(KEY_BYTES))).decode() for start in (1, 2))
RING = KeyRing.parse(NEW)


@given(st.text(max_size=200))
def test_a_text_comes_back(text: str) -> None:
    sealed = RING.seal(text)
    assert RING.open(sealed) == text
    assert RING.open(f"<{sealed}\n{sealed}>") == f"<{text}\n{text}>"
    assert text in ("", "~") or len(text) < 4 or text not in sealed


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert RING.seal("退款") != RING.seal("退款")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_json_value_comes_back(value: object) -> None:
    assert json.loads(RING.open_json(json.dumps(sealed_json(RING, value)))) == value


def test_ids_and_kinds_stay_readable_and_texts_do_not() -> None:
    sealed = sealed_json(RING, {"kind": "text", "text": "我的电话", "list": [{"label": "甲"}], "n": 3})
    assert (sealed["kind"], sealed["n"]) == ("text", 3)
    assert "我的电话" not in json.dumps(sealed, ensure_ascii=False)
    assert "甲" not in json.dumps(sealed, ensure_ascii=False)


def test_an_older_key_opens_and_the_first_one_seals() -> None:
    sealed = KeyRing.parse(OLD).seal("旧的")
    both = KeyRing.parse(f"{NEW}, {OLD}")
    assert both.open(sealed) == "旧的"
    assert RING.open(both.seal("新的")) == "新的"


@pytest.mark.parametrize("forged", ["~k1.00000000.AAAA~", f"~k1.{RING.current}.AAAA~", f"~k1.{RING.current}.A~"])
def test_what_somebody_typed_stays_as_typed(forged: str) -> None:
    assert RING.open(f"看 {forged}") == f"看 {forged}"


def test_what_somebody_sealed_inside_a_text_is_not_opened_with_it() -> None:
    secret = RING.seal("别人的话")
    assert RING.open(RING.seal(f"我写: {secret}")) == f"我写: {secret}"


def test_changed_bytes_are_refused() -> None:
    name, sealed = RING.encrypt(b"checkpoint")
    assert RING.decrypt(name, sealed) == b"checkpoint"
    with pytest.raises(ValueError, match="was changed"):
        RING.decrypt(name, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(ValueError, match="does not name"):
        RING.decrypt("aesgcm-00000000", sealed)


@pytest.mark.parametrize(
    ("text", "place"),
    [("", 1), ("secret", 1), (base64.b64encode(b"x" * 16).decode(), 1), (f"{NEW},{'A' * 43}=", 2), (f"{NEW},", 2)],
)
def test_what_is_no_key_is_named_by_its_place(text: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"key {place} .*new-key"):
        KeyRing.parse(text)
