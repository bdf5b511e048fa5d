"""The WeCom calls this service makes, typed; the vendor's error codes become `tools.errors` here."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

import httpx
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

TIMEOUT = httpx.Timeout(10, connect=3)
TOTAL_SECONDS = 30
"""The longest one exchange may last: the read time-out starts anew with every byte."""
TRIES = 3
CONCURRENT_CALLS = 5
"""Calls in flight per API: WeCom answers 45033 at about ten."""
TEXT_BYTES = 2048
"""Longer texts are cut by WeCom without a word (doc 94677)."""

STALE_TOKEN_CODES = frozenset({40014, 42001})
TOKEN_CODES = STALE_TOKEN_CODES | {40001}
STALE_PULL_TOKEN = 95007
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


class ServiceState(IntEnum):
    """Who has a customer's session, in WeCom's eyes."""

    NEW = 0
    BOT = 1
    QUEUED = 2
    HUMAN = 3
    CLOSED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPage:
    """One answer of kf/sync_msg."""

    items: tuple[Any, ...] = field(repr=False)
    """As the vendor sent them, unchecked."""
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A kf account."""

    open_kfid: str
    name: str
    is_managed: bool = True
    """Whether the app may take and answer this account's messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """Somebody who serves a kf account: a member, or a whole department."""

    name: str
    is_receiving: bool
    """WeCom does not tell it of departments; they count as receiving."""


class WecomClient:
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

    async def sync_msg(self, open_kfid: str, *, cursor: str = "", token: str = "", limit: int = 1000) -> SyncPage:
        """Return the messages after `cursor`; an empty one starts at the oldest kept."""
        body = {"open_kfid": open_kfid, "limit": limit} | ({"cursor": cursor} if cursor else {})
        try:
            answer = await self._call("kf/sync_msg", body | ({"token": token} if token else {}), repeatable=True)
        except BadRequestError as error:
            if error.code != STALE_PULL_TOKEN or not token:
                raise
            answer = await self._call("kf/sync_msg", body, repeatable=True)
        items, next_cursor = answer.get("msg_list"), answer.get("next_cursor")
        next_cursor = next_cursor if isinstance(next_cursor, str) and next_cursor else cursor
        # An unmoved cursor would bring the same page for ever.
        has_more = answer.get("has_more") in (1, True) and next_cursor != cursor
        return SyncPage(
            items=tuple(items) if isinstance(items, list) else (), next_cursor=next_cursor, has_more=has_more
        )

    async def send_text(self, open_kfid: str, external_userid: str, text: str, *, msgid: str) -> None:
        """Send one text; `msgid` makes a repetition harmless."""
        _check_sendable(text, msgid)
        body = {"touser": external_userid, "open_kfid": open_kfid, "msgid": msgid}
        await self._call("kf/send_msg", body | {"msgtype": "text", "text": {"content": text}})

    async def send_menu(self, open_kfid: str, external_userid: str, menu: Mapping[str, Any], *, msgid: str) -> None:
        """Send one menu (`msgmenu`, within its limits); `msgid` makes a repetition harmless."""
        _check_sendable("", msgid)
        body = {"touser": external_userid, "open_kfid": open_kfid, "msgid": msgid}
        await self._call("kf/send_msg", body | {"msgtype": "msgmenu", "msgmenu": menu})

    async def send_text_on_event(self, code: str, text: str, *, msgid: str) -> None:
        """Answer an event with its one-time code."""
        _check_sendable(text, msgid)
        body = {"code": code, "msgid": msgid, "msgtype": "text", "text": {"content": text}}
        await self._call("kf/send_msg_on_event", body)

    async def send_friend_welcome(self, welcome_code: str, text: str) -> None:
        """Greet a new friend of a member within the 20 seconds its code lives."""
        await self._call("externalcontact/send_welcome_msg", {"welcome_code": welcome_code, "text": {"content": text}})

    async def accounts(self) -> tuple[Account, ...]:
        """List every kf account this secret may see."""
        found: dict[str, Account] = {}
        limit = 100
        while True:
            answer = await self._call("kf/account/list", {"offset": len(found), "limit": limit}, repeatable=True)
            page = {row["open_kfid"]: row for row in _rows(answer, "account_list", "open_kfid")}
            is_last = len(page) < limit or page.keys() <= found.keys()
            found |= {kfid: _account(row) for kfid, row in page.items()}
            if is_last:
                return tuple(found.values())

    async def servicers(self, open_kfid: str) -> tuple[Servicer, ...]:
        """List who serves a kf account."""
        answer = await self._call("kf/servicer/list", {"open_kfid": open_kfid}, repeatable=True, method="GET")
        members = [
            # 0 is receiving here; the event servicer_status_change says 1 (doc 94645).
            Servicer(name=row["userid"], is_receiving=row.get("status") == 0)
            for row in _rows(answer, "servicer_list", "userid")
        ]
        departments = _rows(answer, "servicer_list", "department_id", int)
        return (*members, *(Servicer(name=str(row["department_id"]), is_receiving=True) for row in departments))

    async def nicknames(self, external_userids: Sequence[str]) -> dict[str, str]:
        """Return the nicknames of those who were here in the last 48 hours."""
        names: dict[str, str] = {}
        for start in range(0, len(external_userids), 100):
            body = {
                "external_userid_list": list(external_userids[start : start + 100]),
                "need_enter_session_context": 0,
            }
            answer = await self._call("kf/customer/batchget", body, repeatable=True)
            for row in _rows(answer, "customer_list", "external_userid"):
                names[row["external_userid"]] = str(row.get("nickname") or "")
        return names

    async def service_state(self, open_kfid: str, external_userid: str) -> ServiceState:
        """Return who has the customer's session."""
        body = {"open_kfid": open_kfid, "external_userid": external_userid}
        answer = await self._call("kf/service_state/get", body, repeatable=True)
        try:
            return ServiceState(answer["service_state"])
        except (KeyError, ValueError) as error:
            raise ChannelUnavailableError("WeCom kf/service_state/get: the answer names no known state") from error

    async def _call(
        self, path: str, body: Mapping[str, Any], *, repeatable: bool = False, method: str = "POST"
    ) -> Mapping[str, Any]:
        token = await self.tokens.get()
        try:
            return await self._attempt(method, path, body, token, repeatable=repeatable)
        except BadRequestError as error:
            if error.code not in TOKEN_CODES:
                raise
        logger.info("WeCom rejected the access token", extra={"action": "wecom_token_rejected", "path": path})
        fresh = await self.tokens.refresh(token)
        try:
            return await self._attempt(method, path, body, fresh, repeatable=repeatable)
        except BadRequestError as error:
            if error.code in STALE_TOKEN_CODES:
                # Twice in a row is another process's refresh or the vendor's hiccup: later, not never.
                raise ChannelUnavailableError(str(error), code=error.code) from error
            raise

    async def _attempt(
        self, method: str, path: str, body: Mapping[str, Any], token: str, *, repeatable: bool
    ) -> Mapping[str, Any]:
        # Not json=: it refuses the lone surrogates that half an emoji leaves behind.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") if method == "POST" else None
        query = {"access_token": token} | ({} if method == "POST" else dict(body))

        async def send() -> Mapping[str, Any]:
            return await self._exchange(method, path, query, content)

        return await self._repeat(send) if repeatable else await send()

    async def _fetch_token(self) -> FreshToken:
        query = {"corpid": self._corp_id, "corpsecret": self._secret.get_secret_value()}

        async def get() -> Mapping[str, Any]:
            return await self._exchange("GET", "gettoken", query, None)

        answer = await self._repeat(get)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int | float):
            raise ChannelUnavailableError("WeCom gettoken: the answer has no access_token")
        return FreshToken(value=token, expires_in=seconds)

    async def _repeat(self, call: Callable[[], Any]) -> Mapping[str, Any]:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES), wait=self._wait, retry=retry_if_exception(_is_worth_repeating), reraise=True
        )
        answer: Mapping[str, Any] = await retrying(call)
        return answer

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str], content: bytes | None
    ) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            async with self._slots[path], asyncio.timeout(TOTAL_SECONDS):
                response = await self._http.request(method, path, params=dict(query), content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            # The kind says enough; `from None` because a request's URL carries the token.
            raise ChannelUnavailableError(f"WeCom {path}: no answer ({type(error).__name__})") from None
        return _answer(path, response)


def _answer(path: str, response: httpx.Response) -> Mapping[str, Any]:
    """Return the vendor's answer, or raise what it says."""
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


def _check_sendable(text: str, msgid: str) -> None:
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,32}", msgid):
        raise BadRequestError("WeCom msgid: must be 1 to 32 of 0-9 A-Z a-z _ -")
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise BadRequestError(f"WeCom text: longer than {TEXT_BYTES} bytes; split it first")


def _account(row: Mapping[str, Any]) -> Account:
    is_managed = row.get("manage_privilege") is not False
    return Account(open_kfid=row["open_kfid"], name=str(row.get("name", "")), is_managed=is_managed)


def _rows(answer: Mapping[str, Any], name: str, key: str, kind: type = str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    return [r for r in rows if isinstance(r, dict) and isinstance(r.get(key), kind)] if isinstance(rows, list) else []


def _without_query(record: logging.LogRecord) -> bool:
    """Take the query off every URL in a log record."""
    if isinstance(record.args, tuple):
        record.args = tuple(a.copy_with(query=None) if isinstance(a, httpx.URL) else a for a in record.args)
    return True
