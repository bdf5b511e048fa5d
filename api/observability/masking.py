"""What may not stand in a log: secrets, whoever wrote them there."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import fields
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from api.settings import Settings

MASK = "***"

SHORTEST = 6
"""Characters below which a secret is no string to look for: it would be found in anything."""

_NAMES = (
    r"access_token|suite_access_token|refresh_token|token|corpsecret|secret|client_secret|api_?key|key|password|passwd|pwd"
    r"|authorization|msg_signature|encoding_?aes_?key|welcome_code"
)
_FIELD = re.compile(rf"(?i)(?:\w+_)?(?:{_NAMES})")
"""Facts that are secrets by their name alone."""
_NOT_SECRET = frozenset({"message_key", "key", "input_tokens", "output_tokens"})

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # In queries, forms, and as Python shows arguments; after a colon only where the name is quoted: `TOKEN: missing`
    # tells how to mend it.
    (
        re.compile(rf"(?i)((?<![a-z0-9])(?:{_NAMES})\s*=\s*['\"]?(?:bearer\s+)?)[^\s&'\",;)}}]+"),
        rf"\g<1>{MASK}",
    ),
    (re.compile(rf"(?i)(['\"](?:{_NAMES})['\"]\s*:\s*['\"](?:bearer\s+)?)[^\s'\"]+"), rf"\g<1>{MASK}"),
    (re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]+"), rf"\g<1>{MASK}"),
    # A bot's token in an address of Telegram, and anywhere else.
    (re.compile(r"(?i)(/(?:file/)?bot)[^/\s'\"]+"), rf"\g<1>{MASK}"),
    (re.compile(r"\b\d{6,}:[\w-]{30,}"), MASK),
    (re.compile(r"\b(?:sk|lsv2|pk)[-_][\w-]{8,}"), MASK),
    # The password of an address; it may itself have an @ in it.
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*:)[^\s/'\"]+(?=@)"), rf"\g<1>{MASK}"),
    (re.compile(r"(wecom-webhook:)[^,\s'\"]+"), rf"\g<1>{MASK}"),
)


_HINT = re.compile(r"[=:'\"]|bearer|bot|(?:sk|lsv2|pk)[-_]", re.IGNORECASE)
"""Without any of these no pattern fits; most texts are ids, and every line is looked at."""


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return name not in _NOT_SECRET and _FIELD.fullmatch(name) is not None


class Masker:
    """Masks known secrets wherever they stand, and what looks like one."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        """Mask one event; a processor of structlog."""
        return {name: self._fact(name, value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """Mask a text."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if not _HINT.search(text):
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def _fact(self, name: str, value: object) -> object:
        if value and _is_secret(name):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._fact(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._fact("", item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        # Whatever else it is, it is written as a text.
        return self.text(str(value))


def secrets_of(settings: Settings) -> frozenset[str]:
    """List every secret of the settings, and the passwords inside of addresses."""
    found: set[str] = set()
    for part in fields(settings):
        for _, value in getattr(settings, part.name):
            if isinstance(value, SecretStr):
                secret = value.get_secret_value()
                found |= {secret, *(piece.strip() for piece in secret.split(","))} | _passwords(secret)
    return frozenset(found - {""})


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
