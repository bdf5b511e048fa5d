"""`NOTIFICATION_CHANNEL`: where people are told of customers, in the order it is tried."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

EXAMPLE = "telegram:-1001234567890, wecom:zhangsan|lisi, wecom-webhook:<key>"

_CHAT = re.compile(r"-?[0-9]{1,19}")
_MEMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.@-]{0,63}")
_KEY = re.compile(r"[0-9A-Za-z-]{8,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskChannel:
    """One of the places, with what its kind needs."""

    kind: Literal["telegram", "wecom", "wecom-webhook"]
    chat_id: int = 0
    members: tuple[str, ...] = ()
    """Their userids."""
    key: SecretStr | None = None

    @property
    def name(self) -> str:
        """The desk's name; of a webhook an id that does not tell its key."""
        if self.key is None:
            return self.kind
        return f"webhook-{hashlib.sha256(self.key.get_secret_value().encode()).hexdigest()[:12]}"


def parse_channels(value: str) -> tuple[DeskChannel, ...]:
    """Read the variable.

    Raises:
        ValueError: what is wrong with it, with an example; never with a webhook's key.
    """
    channels = tuple(_channel(part) for piece in value.split(",") if (part := piece.strip()))
    for kind, mend in (("telegram", "give one chat"), ("wecom", "list all members in one: wecom:zhangsan|lisi")):
        if sum(channel.kind == kind for channel in channels) > 1:
            raise ValueError(f"names {kind!r} twice; {mend}")
    if len({channel.name for channel in channels}) < len(channels):
        raise ValueError("names a webhook twice")
    return channels


def _channel(part: str) -> DeskChannel:
    kind, _, value = part.partition(":")
    value = value.strip()
    if kind == "telegram" and _CHAT.fullmatch(value):
        return DeskChannel(kind="telegram", chat_id=int(value))
    if kind == "wecom":
        members = tuple(dict.fromkeys(member for each in value.split("|") if (member := each.strip())))
        if not members or not all(_MEMBER.fullmatch(member) for member in members):
            raise ValueError(f"{part!r} names no members; example: wecom:zhangsan|lisi (their userids)")
        return DeskChannel(kind="wecom", members=members)
    if kind == "wecom-webhook":
        if not _KEY.fullmatch(value):
            raise ValueError("'wecom-webhook' needs what follows key= in the webhook's address, without the rest of it")
        return DeskChannel(kind="wecom-webhook", key=SecretStr(value))
    # It may be a key that was pasted without its kind.
    shown = repr(part) if kind == "telegram" else repr(kind) if re.fullmatch(r"[a-z-]{1,20}", kind) else "one part"
    raise ValueError(f"{shown} is not a channel; example: {EXAMPLE}")
