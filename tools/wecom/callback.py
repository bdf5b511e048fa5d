"""WeCom callbacks: the bytes that arrived become an event, or a named error; no network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict
from pydantic import SecretStr
from wechatpy.crypto.cryptography import WeChatCipher
from wechatpy.enterprise.crypto import PrpCrypto, WeChatCrypto
from wechatpy.enterprise.exceptions import InvalidCorpIdException

from tools.errors import ConfigurationError, ForeignCorpError, InvalidSignatureError, MalformedCallbackError

_PAD_BLOCK = 32
_AES_KEY = re.compile(r"[0-9A-Za-z]{43}")
# Nothing but an XML declaration may stand before the root, so there is no room for a DTD or an entity declaration.
_PLAIN_ROOT = re.compile(r"\s*(?:<\?xml[^<>]*\?>\s*)?<xml[\s/>]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackEvent:
    """What WeCom wants us to know."""

    event: str
    """The event's name; the plain `MsgType` for what is no event."""
    account_id: str
    """The kf account concerned; empty when the event names none."""
    token: str = field(repr=False)
    """Lets the next pull pass the strict rate limit for 10 minutes; empty when there is none."""
    created_at: int
    """Unix seconds; 0 when the event does not say."""
    fields: Mapping[str, Any] = field(repr=False)
    """The decrypted XML; a repeated tag is a list."""


class CallbackCrypto:
    """Verifies and decrypts what arrives at the callback URL of one corp.

    Raises:
        ConfigurationError: the AES key cannot be one.
    """

    def __init__(self, token: SecretStr, encoding_aes_key: SecretStr, corp_id: str) -> None:
        if not _AES_KEY.fullmatch(encoding_aes_key.get_secret_value()):
            raise ConfigurationError(
                "WECOM_ENCODING_AES_KEY: is not a key; put the 43 letters and digits shown as EncodingAESKey"
            )
        self._token = token
        self._crypto = WeChatCrypto(token.get_secret_value(), encoding_aes_key.get_secret_value(), corp_id)

    def verify_url(self, *, msg_signature: str, timestamp: str, nonce: str, echostr: str) -> str:
        """Return the text WeCom expects back when the callback URL is set.

        Raises:
            InvalidSignatureError: it is not signed with our token.
            ForeignCorpError: it is meant for another corp.
            MalformedCallbackError: it cannot be read.
        """
        return self._decrypt(echostr, msg_signature=msg_signature, timestamp=timestamp, nonce=nonce)

    def signed_echo(self, echo: str, *, timestamp: str, nonce: str) -> dict[str, str]:
        """Return the query of a URL verification as WeCom sends it, to try a running server with."""
        encrypted: str = PrpCrypto(self._crypto.key).encrypt(echo, self._crypto.corp_id).decode()
        signature = self._sign(timestamp, nonce, encrypted).decode()
        return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted}

    def open(self, body: bytes, *, msg_signature: str, timestamp: str, nonce: str) -> CallbackEvent:
        """Return the event inside a callback's body.

        Raises:
            InvalidSignatureError: it is not signed with our token.
            ForeignCorpError: it is meant for another corp.
            MalformedCallbackError: it cannot be read.
        """
        encrypted = _parse(_decode(body), "the body").get("Encrypt")
        if not isinstance(encrypted, str) or not encrypted:
            raise MalformedCallbackError("WeCom callback: the body has no Encrypt element")
        inner = self._decrypt(encrypted, msg_signature=msg_signature, timestamp=timestamp, nonce=nonce)
        return _event(_parse(inner, "the decrypted message"))

    def _decrypt(self, encrypted: str, *, msg_signature: str, timestamp: str, nonce: str) -> str:
        given = {"msg_signature": msg_signature, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise MalformedCallbackError(f"WeCom callback: query parameter {', '.join(missing)} is missing or empty")
        # wechatpy compares with `!=`; this comparison takes the same time whatever differs.
        if not hmac.compare_digest(self._sign(timestamp, nonce, encrypted), msg_signature.encode("utf-8", "replace")):
            raise InvalidSignatureError(
                "WeCom callback: the signature does not match; compare WECOM_TOKEN with the console"
            )
        try:
            self._check_padding(encrypted)
            text: str = self._crypto.check_signature(msg_signature, timestamp, nonce, encrypted)
        except InvalidCorpIdException as error:
            raise ForeignCorpError(
                "WeCom callback: it is meant for another corp; compare WECOM_CORP_ID with the console"
            ) from error
        # ValueError covers bad base64, bad block lengths and bad UTF-8; the others come from a plaintext cut short.
        except (ValueError, IndexError, struct.error) as error:
            raise MalformedCallbackError(
                "WeCom callback: it cannot be decrypted; compare WECOM_ENCODING_AES_KEY with the console"
            ) from error
        return text

    def _sign(self, timestamp: str, nonce: str, encrypted: str) -> bytes:
        parts = sorted([self._token.get_secret_value(), timestamp, nonce, encrypted])
        # The vendor's protocol names SHA-1; the secrecy rests on the token inside.
        digest = hashlib.sha1("".join(parts).encode("utf-8", "replace"), usedforsecurity=False)
        return digest.hexdigest().encode()

    def _check_padding(self, encrypted: str) -> None:
        """Reject padding that wechatpy would strip unseen; the padding lies within the last 32 bytes."""
        raw = base64.b64decode(encrypted, validate=True)
        if not raw or len(raw) % _PAD_BLOCK:
            raise ValueError("not a whole number of blocks")
        key: bytes = self._crypto.key
        chain = key[:16] + raw
        tail: bytes = WeChatCipher(key, chain[-48:-32]).decrypt(raw[-32:])
        size = tail[-1]
        if not 1 <= size <= _PAD_BLOCK or tail[-size:] != bytes([size]) * size:
            raise ValueError("wrong padding")


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedCallbackError("WeCom callback: the body is not UTF-8") from error


def _parse(text: str, what: str) -> dict[str, Any]:
    if not _PLAIN_ROOT.match(text):
        raise MalformedCallbackError(f"WeCom callback: {what} is not a plain <xml> document")
    try:
        content = xmltodict.parse(text, disable_entities=True)["xml"]
    except (ExpatError, ValueError) as error:
        raise MalformedCallbackError(f"WeCom callback: {what} is not well-formed XML") from error
    if not isinstance(content, dict):
        raise MalformedCallbackError(f"WeCom callback: {what} has no elements")
    return content


def _event(fields: Mapping[str, Any]) -> CallbackEvent:
    kind = _text(fields, "MsgType")
    name = _text(fields, "Event") if kind == "event" else kind
    if not name:
        raise MalformedCallbackError("WeCom callback: the decrypted message does not say what it is")
    created = _text(fields, "CreateTime")
    return CallbackEvent(
        event=name,
        account_id=_text(fields, "OpenKfId"),
        token=_text(fields, "Token"),
        created_at=int(created) if re.fullmatch(r"[0-9]{1,12}", created) else 0,
        fields=fields,
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
