"""How WeCom is called with one secret: token, retries, concurrency; its error codes become `tools.errors` here."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self, TypeVar

import httpx
from prometheus_client import Counter
from pydantic import SecretStr
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter
from tenacity.wait import wait_base

from tools.errors import (
    BadRequestError,
    ChannelError,
    ChannelSetupError,
    ChannelUnavailableError,
    DuplicateMessageError,
    RateLimitedError,
    ReplyWindowClosedError,
)
from tools.wecom.tokens import FreshToken, TokenCache

logger = logging.getLogger(__name__)

CALLS = Counter(
    "kefu_wecom_calls", "Calls of WeCom, by its error code; none: no answer that says one", ["path", "code"]
)

T = TypeVar("T")

TIMEOUT = httpx.Timeout(10, connect=3)
TOTAL_SECONDS = 30
"""The longest one exchange may last: the read time-out starts anew with every byte."""
TRIES = 3
CONCURRENT_CALLS = 5
"""Calls in flight per API: WeCom answers 45033 at about ten."""

STALE_TOKEN_CODES = frozenset({40014, 42001})
TOKEN_CODES = STALE_TOKEN_CODES | {40001}
ERRORS: Mapping[int, type[ChannelError]] = {
    -1: ChannelUnavailableError,
    6000: ChannelUnavailableError,
    45009: RateLimitedError,
    45033: RateLimitedError,
    95001: ReplyWindowClosedError,
    95002: ReplyWindowClosedError,
    95013: ReplyWindowClosedError,
    95018: ReplyWindowClosedError,
}
"""Error code to error; any other code is a `BadRequestError`, unless its text says the msgid was used before."""

NO_DUPLICATE_CODES = frozenset(ERRORS) | TOKEN_CODES
"""Codes with a meaning of their own. The code of a repeated msgid is undocumented, so any other may be it."""
_SENDS = frozenset({"kf/send_msg", "kf/send_msg_on_event"})
_DUPLICATE = re.compile(r"(?i)duplicat|repeat|already|exist|重复|已存在")
_NOT_DUPLICATE = re.compile(r"(?i)(?:not|n't|non)[ -]?exist|不存在")

MENDS: Mapping[int, str] = {
    40001: "wrong secret; compare WECOM_KF_SECRET or WECOM_AGENT_SECRET with the console",
    40013: "wrong corp id; compare WECOM_CORP_ID with the console",
    48002: "the app may not call this API; add it to 微信客服 → 可调用接口的应用",
    60020: "the address of this server{address} is not in 企业可信IP; add it",
    60030: "a servicer of this account is outside the app's visible range",
    95011: "the account is managed in the WeCom client; put it under 通过API管理微信客服账号",
    95017: "the API switch of 微信客服 is off",
}
"""What an operator can do about a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file as the vendor served it."""

    content: bytes = field(repr=False)
    content_type: str
    name: str
    """Empty when the vendor did not tell."""


class WecomTransport:
    """Calls WeCom with one secret. Close it, or use it as an async context manager.

    Every call raises a `ChannelError`. Calls that change nothing are tried again when the vendor is
    unavailable; sends are not: their caller repeats them under the same msgid.
    """

    def __init__(
        self,
        *,
        api_base: str,
        corp_id: str,
        secret: SecretStr,
        redis: Redis | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        wait: wait_base | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # httpx logs whole URLs at INFO, and the vendor wants its secrets in the query.
        logging.getLogger("httpx").addFilter(_without_query)
        self._http = httpx.AsyncClient(base_url=api_base, timeout=timeout)
        self._corp_id = corp_id
        self._secret = secret
        self._wait = wait or wait_exponential_jitter(multiplier=0.5, max=4, jitter=0.5)
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CONCURRENT_CALLS))
        self.tokens = TokenCache(self._fetch_token, corp_id=corp_id, secret=secret, redis=redis, clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, path: str, body: Mapping[str, Any], *, repeatable: bool = False, method: str = "POST"
    ) -> Mapping[str, Any]:
        """Call an API and return its answer; `repeatable` when that changes nothing.

        Raises:
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        is_post = method == "POST"
        # Not json=: it refuses the lone surrogates that half an emoji leaves behind.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") if is_post else None
        headers = {"Content-Type": "application/json"} if is_post else {}

        async def send(token: str) -> Mapping[str, Any]:
            query = {"access_token": token} | ({} if is_post else dict(body))
            return _answer(path, await self._exchange(method, path, query, content=content, headers=headers))

        return await self._with_token(path, send, repeatable=repeatable)

    async def call_openly(self, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Post to an API that takes no token: what is in the query opens it.

        Raises:
            ChannelError: as for `call`.
        """
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        return _answer(path, await self._exchange("POST", path, query, content=content, headers=headers))

    async def upload(self, path: str, query: Mapping[str, str], *, name: str, content: bytes) -> Mapping[str, Any]:
        """Post one file as the form field `media` and return the answer; repeating it is harmless.

        Raises:
            ChannelError: as for `call`.
        """

        async def send(token: str) -> Mapping[str, Any]:
            files = {"media": (name, content)}
            return _answer(path, await self._exchange("POST", path, {"access_token": token, **query}, files=files))

        return await self._with_token(path, send, repeatable=True)

    async def download(self, path: str, query: Mapping[str, str], *, at_most: int) -> Downloaded:
        """Get one file; the vendor refuses in JSON (doc 90254).

        Raises:
            BadRequestError: the file is gone, or larger than `at_most` bytes.
            ChannelError: as for `call`.
        """

        async def send(token: str) -> Downloaded:
            response = await self._exchange("GET", path, {"access_token": token, **query})
            disposition = response.headers.get("content-disposition", "")
            kind = response.headers.get("content-type", "").partition(";")[0].strip()
            if response.status_code != 200 or (not disposition and kind in {"application/json", "text/plain"}):
                _answer(path, response)
                raise ChannelUnavailableError(f"WeCom {path}: the answer is no file")
            if len(response.content) > at_most:
                raise BadRequestError(f"WeCom {path}: the file is larger than {at_most} bytes")
            return Downloaded(content=response.content, content_type=kind, name=_file_name(disposition))

        return await self._with_token(path, send, repeatable=True)

    async def _with_token(self, path: str, send: Callable[[str], Awaitable[T]], *, repeatable: bool) -> T:
        """Send with the token; once more with a fresh one when the vendor refuses it."""

        async def attempt(token: str) -> T:
            async def once() -> T:
                return await send(token)

            return await self._repeat(once) if repeatable else await once()

        token = await self.tokens.get()
        try:
            return await attempt(token)
        except BadRequestError as error:
            if error.code not in TOKEN_CODES:
                raise
        logger.info("WeCom rejected the access token", extra={"action": "wecom_token_rejected", "path": path})
        fresh = await self.tokens.refresh(token)
        try:
            return await attempt(fresh)
        except BadRequestError as error:
            if error.code in STALE_TOKEN_CODES:
                # Twice in a row is another process's refresh or the vendor's hiccup: later, not never.
                raise ChannelUnavailableError(str(error), code=error.code) from error
            raise

    async def _fetch_token(self) -> FreshToken:
        query = {"corpid": self._corp_id, "corpsecret": self._secret.get_secret_value()}

        async def get() -> Mapping[str, Any]:
            return _answer("gettoken", await self._exchange("GET", "gettoken", query))

        answer = await self._repeat(get)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int | float):
            raise ChannelUnavailableError("WeCom gettoken: the answer has no access_token")
        return FreshToken(value=token, expires_in=seconds)

    async def _repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES), wait=self._wait, retry=retry_if_exception(_is_worth_repeating), reraise=True
        )
        return await retrying(call)

    async def _exchange(self, method: str, path: str, query: Mapping[str, str], **body: Any) -> httpx.Response:
        try:
            async with self._slots[path], asyncio.timeout(TOTAL_SECONDS):
                return await self._http.request(method, path, params=dict(query), **body)
        except (httpx.HTTPError, TimeoutError) as error:
            CALLS.labels(path, "none").inc()
            # The kind says enough; `from None` because a request's URL carries the token.
            raise ChannelUnavailableError(f"WeCom {path}: no answer ({type(error).__name__})") from None


def _answer(path: str, response: httpx.Response) -> Mapping[str, Any]:
    """Return the vendor's answer, or raise what it says; counted either way."""
    try:
        answer = _read(path, response)
    except ChannelError as error:
        CALLS.labels(path, "none" if error.code is None else str(error.code)).inc()
        raise
    CALLS.labels(path, "0").inc()
    return answer


def _read(path: str, response: httpx.Response) -> Mapping[str, Any]:
    if response.status_code >= 500:
        raise ChannelUnavailableError(f"WeCom {path}: server error (HTTP {response.status_code})")
    try:
        answer = json.loads(response.content, strict=False)  # customers' texts may carry raw control characters
    except (ValueError, RecursionError):
        answer = None
    code = answer.get("errcode") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(code, int):
        kind = RateLimitedError if response.status_code == 429 else ChannelUnavailableError
        raise kind(f"WeCom {path}: the answer cannot be read (HTTP {response.status_code})")
    if code:
        raise error_for(path, code, str(answer.get("errmsg", "")))
    return answer


def _file_name(disposition: str) -> str:
    """Read the name off a Content-Disposition header; an encoded one wins (RFC 6266)."""
    message = Message()
    message["content-disposition"] = disposition
    return message.get_filename() or ""


def error_for(path: str, code: int, errmsg: str) -> ChannelError:
    """Translate the vendor's refusal; decides on the code, except for a repeated msgid."""
    said = re.split(r"(?i),?\s*(?:hint:|from ip|more info)", errmsg, maxsplit=1)[0].strip()[:120]
    mend = MENDS.get(code, "").format(address=_address(errmsg))
    text = f"WeCom {path}: {code} {said}" + (f" — {mend}" if mend else "")
    kind = ERRORS.get(code, ChannelSetupError if mend else BadRequestError)
    if path in _SENDS and code not in NO_DUPLICATE_CODES and _says_duplicate(said):
        kind = DuplicateMessageError
    return kind(text, code=code)


def _address(errmsg: str) -> str:
    """Return the address WeCom says the call came from, ready to be put into a sentence."""
    found = re.search(r"(?i)from ip:\s*([0-9a-f.:]+[0-9a-f])", errmsg)
    return f" ({found[1]})" if found else ""


def _says_duplicate(said: str) -> bool:
    names_msgid = re.search(r"(?i)(?:msg|message)[ _-]?id", said) is not None
    return names_msgid and _DUPLICATE.search(said) is not None and _NOT_DUPLICATE.search(said) is None


def _is_worth_repeating(error: BaseException) -> bool:
    # 45009 blocks for a minute at least, and what waits for an operator is not mended within seconds either.
    if not isinstance(error, ChannelError) or isinstance(error, ChannelSetupError):
        return False
    return error.transient and error.code != 45009


def rows_of(answer: Mapping[str, Any], name: str, key: str, kind: type = str) -> list[dict[str, Any]]:
    """Return the rows of a list in an answer that have a key of this kind; the others cannot be used."""
    rows = answer.get(name)
    return [r for r in rows if isinstance(r, dict) and isinstance(r.get(key), kind)] if isinstance(rows, list) else []


def _without_query(record: logging.LogRecord) -> bool:
    """Take the query off every URL in a log record."""
    if isinstance(record.args, tuple):
        record.args = tuple(a.copy_with(query=None) if isinstance(a, httpx.URL) else a for a in record.args)
    return True
