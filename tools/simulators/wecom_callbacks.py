"""Sends WeCom's callbacks: signed, encrypted, repeated when the service does not answer well."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

import httpx

from tools.simulators.wecom_crypto import CallbackCipher

Params = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver a callback."""

    number: int
    """1 is the first try."""
    status: int | None
    """HTTP status; None when there was no answer."""
    body: str = ""


def event_xml(corp_id: str, created: int, **fields: str | int) -> str:
    """The inner document of an event callback; fields become child elements in the given order."""

    def element(name: str, value: str | int) -> str:
        shown = str(value) if isinstance(value, int) else f"<![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]>"
        return f"<{escape(name)}>{shown}</{escape(name)}>"

    head: dict[str, str | int] = {"ToUserName": corp_id, "CreateTime": created, "MsgType": "event"}
    return "<xml>" + "".join(element(name, value) for name, value in {**head, **fields}.items()) + "</xml>"


class CallbackSender:
    """Delivers callbacks to `url`; attributes are knobs and may change at any time."""

    def __init__(self, *, corp_id: str, token: str, encoding_aes_key: str, clock: Callable[[], float]) -> None:
        self.url: str | None = None
        """Where to; None: nothing is sent."""
        self.timeout = 5.0
        """Seconds until an unanswered callback counts as failed."""
        self.verify_timeout = 1.0
        self.retries = 3
        self.retry_delay = 0.0
        self.retry_on_status = True
        """Whether an answer other than 200 is repeated as well; WeCom's pages disagree."""
        self.renew_nonce = False
        """Whether a repetition is signed afresh."""
        self.attempts: list[Attempt] = []
        self._corp_id = corp_id
        self._clock = clock
        self._cipher = CallbackCipher(token=token, encoding_aes_key=encoding_aes_key, receiveid=corp_id)
        self._client: httpx.AsyncClient | None = None
        self._to_drop = 0
        self._to_duplicate = 0
        self._to_collect = 0
        self._collected: list[str] = []

    async def start(self) -> None:
        """Open the HTTP client."""
        self._client = httpx.AsyncClient(trust_env=False)

    async def stop(self) -> None:
        """Close the HTTP client."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def drop(self, count: int = 1) -> None:
        """Lose the next callbacks."""
        self._to_drop += count

    def duplicate(self, count: int = 1) -> None:
        """Deliver each of the next callbacks twice."""
        self._to_duplicate += count

    def reorder(self, count: int = 2) -> None:
        """Hold the next callbacks until there are `count`, then deliver them last first."""
        self._to_collect = count

    def encrypt(
        self,
        inner_xml: str,
        *,
        receiveid: str | None = None,
        timestamp: int | None = None,
        nonce: str | None = None,
        salt: bytes | None = None,
    ) -> tuple[Params, bytes]:
        """Return query and body of a callback carrying `inner_xml`."""
        encrypted = self._cipher.encrypt(inner_xml, receiveid=receiveid, salt=salt)
        body = (
            f"<xml><ToUserName><![CDATA[{self._corp_id}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        )
        return self._signed(encrypted, timestamp, nonce), body.encode()

    async def verify(self, echo: str) -> bool:
        """Play the URL verification; true when the service echoes exactly `echo` in time."""
        encrypted = self._cipher.encrypt(echo)
        query = {**self._signed(encrypted, None, None), "echostr": encrypted}
        client, url = self._ready()
        try:
            answer = await client.get(url, params=query, timeout=self.verify_timeout)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.content == echo.encode()

    async def send(self, inner_xml: str) -> None:
        """Deliver one callback as the knobs say; returns when it was answered or given up."""
        if self.url is None:
            return
        if self._to_drop:
            self._to_drop -= 1
            return
        batch = [inner_xml]
        if self._to_collect:
            self._collected.append(inner_xml)
            if len(self._collected) < self._to_collect:
                return
            batch, self._collected, self._to_collect = self._collected[::-1], [], 0
        if self._to_duplicate:
            self._to_duplicate -= 1
            batch = [each for each in batch for _ in range(2)]
        for each in batch:
            await self._deliver(each)

    def _signed(self, encrypted: str, timestamp: int | None, nonce: str | None) -> Params:
        stamp = str(int(self._clock()) if timestamp is None else timestamp)
        salt = str(secrets.randbelow(10**10)) if nonce is None else nonce
        signature = self._cipher.sign(timestamp=stamp, nonce=salt, encrypted=encrypted)
        return {"msg_signature": signature, "timestamp": stamp, "nonce": salt}

    def _ready(self) -> tuple[httpx.AsyncClient, str]:
        if self._client is None:
            raise RuntimeError("the simulator is not running: enter it with `async with`")
        if self.url is None:
            raise RuntimeError("callback_url is not set: there is nobody to call")
        return self._client, self.url

    async def _deliver(self, inner_xml: str) -> None:
        query, body = self.encrypt(inner_xml)
        for number in itertools.count(1):
            attempt = await self._post(number, query, body)
            self.attempts.append(attempt)
            is_fine = attempt.status == 200 or (attempt.status is not None and not self.retry_on_status)
            if is_fine or number > self.retries:
                return
            await asyncio.sleep(self.retry_delay)
            if self.renew_nonce:
                query, body = self.encrypt(inner_xml)

    async def _post(self, number: int, query: Params, body: bytes) -> Attempt:
        client, url = self._ready()
        headers = {"Content-Type": "text/xml"}
        try:
            answer = await client.post(url, params=query, content=body, headers=headers, timeout=self.timeout)
        except httpx.TransportError:
            return Attempt(number=number, status=None)
        return Attempt(number=number, status=answer.status_code, body=answer.text)
