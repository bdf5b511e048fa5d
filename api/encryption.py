"""Personal data at rest: sealed as it is written, opened as it is read, by the connection itself.

What is personal is marked where it is written (`api.database.personal`); a connection with a key ring seals it then,
value by value, so that a row keeps its shape and SQL may still move, join and gather the values. Whatever a query
returns, from any column, is opened on the way. Without a key ring nothing is sealed, and marked values are plain ones.

AES-256-GCM with a nonce of its own for each value: NIST SP 800-38D, 8.2.2 and 8.3 (at most 2^32 values under a key).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import BaseConnection
from psycopg.abc import Buffer
from psycopg.types.json import Jsonb, JsonbBinaryLoader, JsonbDumper, JsonbLoader
from psycopg.types.string import StrDumper, TextBinaryLoader, TextLoader

KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK = "~k1."
_SEALED = re.compile(r"~k1\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)~")

PLAIN_KEYS = frozenset(
    {
        "action",
        "by",
        "chat_id",
        "desk",
        "entry_id",
        "fail_type",
        "file_id",
        "kind",
        "media_id",
        "menu_id",
        "message_id",
        "move_to",
        "option_id",
        "origin",
        "reason",
        "sources",
        "subject",
        "target",
        "thread_id",
        "ticket_id",
        "used",
        "webhook",
    }
)
"""Names in stored JSON whose values are ids and kinds: SQL compares some, and none says what somebody said."""


SEALED_NUMBERS = frozenset({"latitude", "longitude"})
"""Names in stored JSON whose numbers tell where somebody is; they come back as texts, nobody counts with them."""


class PersonalText(str):
    """A text about or from a person."""

    __slots__ = ()


class PersonalJson(Jsonb):
    """A JSON value in which every text is about or from a person, but those under `PLAIN_KEYS`."""


class KeyRing:
    """The keys of `DATA_ENCRYPTION_KEY`: the first one seals, all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self.current = _key_id(keys[0])
        """The id of the key that seals."""
        self._seal_with = self._ciphers[self.current]

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read keys in base64, comma separated, the current one first.

        Raises:
            ValueError: one of them is no such key; the message names its place and never the key.
        """
        keys = []
        for place, part in enumerate(text.split(","), start=1):
            try:
                key = base64.b64decode(part.strip().replace("-", "+").replace("_", "/"), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if len(key) != KEY_BYTES:
                raise ValueError(
                    f"key {place} is not {KEY_BYTES} bytes in base64; make one with `kefu encryption new-key`"
                )
            if len(set(key)) < KEY_BYTES // 4:
                raise ValueError(f"key {place} is not random; make one with `kefu encryption new-key`")
            keys.append(key)
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one first."""
        return tuple(self._ciphers)

    def seal(self, text: str) -> str:
        """Return the text as only a holder of the key can read it; an empty one stays empty."""
        if not text:
            return text
        # A customer may send half of a surrogate pair; it comes back as it went.
        sealed = base64.urlsafe_b64encode(self._encrypt(text.encode("utf-8", "surrogatepass"))).rstrip(b"=").decode()
        return f"{_MARK}{self.current}.{sealed}~"

    def open(self, text: str) -> str:
        """Return the text with everything that is sealed in it opened; what no key here has sealed stays as it is."""
        return _SEALED.sub(self._opened, text) if _MARK in text else text

    def open_json(self, text: str) -> str:
        """Return a JSON document with everything that is sealed in it opened."""
        return _SEALED.sub(lambda found: json.dumps(self._opened(found))[1:-1], text) if _MARK in text else text

    def is_foreign(self, stored: str) -> bool:
        """Tell whether something in a stored text has the form of what a key seals that is not here."""
        return any(found[1] not in self._ciphers for found in _SEALED.finditer(stored))

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return a name with the key's id, and the sealed bytes: the form LangGraph's serializer asks for."""
        return f"aesgcm-{self.current}", self._encrypt(plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Open what `encrypt` has sealed.

        Raises:
            ValueError: no key here has sealed it, or it was changed.
        """
        cipher = self._ciphers.get(ciphername.removeprefix("aesgcm-"))
        if cipher is None:
            raise ValueError(f"sealed with a key that DATA_ENCRYPTION_KEY does not name: {ciphername}")
        try:
            return cipher.decrypt(ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise ValueError("sealed data was changed") from error

    def _encrypt(self, plaintext: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._seal_with.encrypt(nonce, plaintext, None)

    def _opened(self, found: re.Match[str]) -> str:
        key_id, sealed = found.groups()
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_")
            return self.decrypt(key_id, raw).decode("utf-8", "surrogatepass")
        except (ValueError, binascii.Error):
            # Anybody can type something of this form; it is no reason to stop.
            return found.group()


def sealed_json(ring: KeyRing, value: Any, *, plain: frozenset[str] = PLAIN_KEYS) -> Any:
    """Return a JSON value with its texts sealed, but those under the `plain` names."""
    if isinstance(value, str):
        return ring.seal(value)
    if isinstance(value, Mapping):
        return {
            key: item if key in plain else sealed_json(ring, _as_text(key, item), plain=plain)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [sealed_json(ring, item, plain=plain) for item in value]
    return value


def use_keys(conn: BaseConnection[Any], ring: KeyRing) -> None:
    """Let a connection seal what is marked as personal, and open whatever it reads."""

    class _TextDumper(StrDumper):
        def dump(self, obj: str) -> Buffer | None:
            return super().dump(ring.seal(obj))

    class _JsonDumper(JsonbDumper):
        def dump(self, obj: Any) -> Buffer | None:
            return super().dump(Jsonb(sealed_json(ring, obj.obj)))

    class _OpenText(TextLoader):
        def load(self, data: Buffer) -> Any:
            return _open_text(ring, super().load(data))

    class _OpenTextBinary(TextBinaryLoader):
        def load(self, data: Buffer) -> Any:
            return _open_text(ring, super().load(data))

    class _OpenJson(JsonbLoader):
        def load(self, data: Buffer) -> Any:
            return super().load(ring.open_json(bytes(data).decode()).encode())

    class _OpenJsonBinary(JsonbBinaryLoader):
        def load(self, data: Buffer) -> Any:
            # The first byte is the format's version.
            raw = bytes(data)
            return super().load(raw[:1] + ring.open_json(raw[1:].decode()).encode())

    conn.adapters.register_dumper(PersonalText, _TextDumper)
    conn.adapters.register_dumper(PersonalJson, _JsonDumper)
    conn.adapters.register_loader("text", _OpenText)
    conn.adapters.register_loader("text", _OpenTextBinary)
    conn.adapters.register_loader("jsonb", _OpenJson)
    conn.adapters.register_loader("jsonb", _OpenJsonBinary)


def _open_text(ring: KeyRing, text: str | bytes) -> str | bytes:
    return ring.open(text) if isinstance(text, str) else text


def _as_text(key: str, item: Any) -> Any:
    return str(item) if key in SEALED_NUMBERS and isinstance(item, int | float) else item


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"kefu key " + key).hexdigest()[:8]
