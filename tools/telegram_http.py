"""HTTP for the Telegram client: 429 and strange answers read here, no token in any log, no proxy on loopback."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import re
from typing import Any
from urllib.parse import urlsplit

from telegram.error import TelegramError
from telegram.request import HTTPXRequest

_BOT = re.compile(r"/bot[^/\s]+/")


def without_token(record: logging.LogRecord) -> bool:
    """Take the token out of the addresses a log record names."""
    if isinstance(record.args, tuple):
        record.args = tuple(_BOT.sub("/bot…/", str(part)) if "/bot" in str(part) else part for part in record.args)
    return True


class SlowDownError(TelegramError):
    """Telegram wants fewer requests."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("Too Many Requests")
        self.retry_after = retry_after


class BotRequest(HTTPXRequest):
    """HTTP for the client: reads 429 and strange answers itself, and leaves proxies out on loopback."""

    def __init__(self, timeout: float, api_base: str) -> None:
        super().__init__(
            connect_timeout=timeout,
            read_timeout=timeout,
            write_timeout=timeout,
            pool_timeout=timeout,
            httpx_kwargs={"trust_env": not _is_loopback(api_base)},
        )

    async def do_request(self, url: str, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Send, and raise where the client would not do: its RetryAfter warns of its future type whenever it is made.

        A success without a result would escape it as a KeyError.
        """
        status, payload = await super().do_request(url, *args, **kwargs)
        if status == 429:
            raise SlowDownError(_retry_after(payload))
        if "/file/bot" in url:
            # A refused file is told by its status alone: the client would log the answer as broken JSON.
            return status, payload if status < 300 else b"{}"
        if status < 300 and not _has_result(payload):
            raise TelegramError("this is not the Bot API; check TELEGRAM_API_BASE")
        return status, payload


def _retry_after(payload: bytes) -> float | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return float(json.loads(payload)["parameters"]["retry_after"])
    return None


def _has_result(payload: bytes) -> bool:
    with contextlib.suppress(ValueError):
        answer: object = json.loads(payload)
        return isinstance(answer, dict) and "result" in answer
    return False


def _is_loopback(api_base: str) -> bool:
    host = urlsplit(api_base).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
