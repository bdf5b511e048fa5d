"""Checks of WeCom: what the API says about us, and what our callback URL says to WeCom."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from api.doctor.checks import Check, OffError, TroubleError
from tools.settings import WecomSettings
from tools.wecom.callback import CallbackCrypto
from tools.wecom.client import Account, WecomClient

PATH = "/wecom/callback"
HTTP_TIMEOUT = httpx.Timeout(4, connect=3)
MAX_SKEW_SECONDS = 60
HINT = "check that this server reaches the internet, and WECOM_API_BASE"
MANAGE = "add it under 通过API管理微信客服账号 to this app (微信客服 → API → 可调用接口的应用)"
REACH = "check DNS, firewall, certificate and proxy, and that `kefu serve` runs; WeCom must get in from the internet"


class WecomChecks:
    """Asks as the service would, over a client of its own."""

    def __init__(
        self, settings: WecomSettings, client: WecomClient, *, url: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._client = client
        self._url = url
        self._clock = clock
        self._accounts: tuple[Account, ...] = ()

    def checks(self) -> list[Check]:
        """List the checks."""
        return [
            Check(name="wecom token", run=self.has_token, hint=HINT),
            Check(name="wecom accounts", run=self.sees_accounts, hint=HINT, needs="wecom token"),
            Check(name="wecom servicers", run=self.has_servicers, hint=HINT, needs="wecom accounts"),
            Check(name="wecom callback keys", run=self.keys_work, hint="copy WECOM_ENCODING_AES_KEY again"),
            Check(name="wecom callback url", run=self.is_reached, hint=REACH, needs="wecom callback keys"),
            Check(name="clock", run=self.clock_agrees, hint=HINT),
        ]

    async def has_token(self) -> str:
        """Get an access token."""
        if not self._settings.is_configured:
            raise OffError(
                "WeCom is not configured: no customer reaches this service; set WECOM_CORP_ID and the others"
            )
        await self._client.tokens.get()
        return "corp id and secret are accepted"

    async def sees_accounts(self) -> str:
        """List the kf accounts; this call is also the first that needs permissions and a trusted address."""
        self._accounts = await self._client.accounts()
        if not self._accounts:
            raise TroubleError("this app sees no kf account", f"make one under 微信客服, and {MANAGE}")
        closed = [account.name or account.open_kfid for account in self._accounts if not account.is_managed]
        if closed:
            raise TroubleError(f"this app may not answer for {', '.join(closed)}", MANAGE)
        return ", ".join(account.name or account.open_kfid for account in self._accounts)

    async def has_servicers(self) -> str:
        """Look for accounts that no member serves now."""
        listed = await asyncio.gather(*(self._client.servicers(account.open_kfid) for account in self._accounts))
        problems = []
        for account, servicers in zip(self._accounts, listed, strict=True):
            name = account.name or account.open_kfid
            if not servicers:
                problems.append(f"{name} has none")
            elif not any(servicer.is_receiving for servicer in servicers):
                problems.append(f"none of {name} is receiving")
        if problems:
            raise TroubleError(
                ", ".join(problems),
                "add 接待人员 to the account (微信客服 → 账号详情), have one log in to WeCom and switch 接待中 on",
            )
        return "every account has one who is receiving"

    async def keys_work(self) -> str:
        """Encrypt, sign, verify and decrypt one echo here."""
        crypto, echo = self._crypto(), secrets.token_hex(8)
        if crypto.verify_url(**self._signed(crypto, echo)) != echo:
            raise TroubleError("an encrypted text does not come back", "copy WECOM_ENCODING_AES_KEY again")
        return "token and AES key encrypt, sign and decrypt"

    async def is_reached(self) -> str:
        """Play WeCom's URL verification against the running server."""
        if not self._url:
            raise OffError("not tried; give `--url https://your-host` to play WeCom's URL verification")
        echo, host = secrets.token_hex(8), urlsplit(self._url).hostname
        started = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=HTTP_TIMEOUT) as http:
                response = await http.get(f"{self._url}{PATH}", params=self._signed(self._crypto(), echo))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # `from None` because a request's URL carries the signature.
            raise TroubleError(f"{host} does not answer ({type(error).__name__})", REACH) from None
        if response.status_code == 200 and response.content == echo.encode():
            return f"{host} answers as WeCom expects, in {time.monotonic() - started:.2f} s (WeCom waits 1 s)"
        text = response.text[:2000]
        if response.status_code == 403 and not text:
            # The only refusal of ours that says nothing.
            raise OffError(
                f"{host} answers, and lets only WECOM_CALLBACK_ALLOWED_IPS in: this machine is not among them"
            )
        raise _judge(response.status_code, text)

    async def clock_agrees(self) -> str:
        """Compare the clock with WeCom's."""
        if not self._settings.is_configured:
            raise OffError("compared with WeCom's, which is not configured")
        try:
            async with httpx.AsyncClient(timeout=HTTP_TIMEOUT) as http:
                # Without a token: it is refused, and dated.
                response = await http.get(f"{self._settings.wecom_api_base}getcallbackip")
            theirs = parsedate_to_datetime(response.headers["Date"])
        except (httpx.HTTPError, KeyError, ValueError):
            raise OffError("WeCom did not tell the time") from None
        ahead = self._clock() - theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp()
        if abs(ahead) > MAX_SKEW_SECONDS:
            side = "ahead of" if ahead > 0 else "behind"
            raise TroubleError(
                f"this machine's clock is {abs(ahead):.0f} s {side} WeCom's",
                "synchronise it (timedatectl set-ntp true, or chrony): windows and codes are counted by it",
            )
        return f"within {MAX_SKEW_SECONDS} s of WeCom's"

    def _crypto(self) -> CallbackCrypto:
        wecom = self._settings
        if wecom.wecom_token is None or wecom.wecom_encoding_aes_key is None:
            raise OffError("WeCom is not configured")
        return CallbackCrypto(wecom.wecom_token, wecom.wecom_encoding_aes_key, wecom.wecom_corp_id)

    def _signed(self, crypto: CallbackCrypto, echo: str) -> dict[str, str]:
        return crypto.signed_echo(echo, timestamp=str(int(self._clock())), nonce=secrets.token_hex(5))


def _judge(status: int, text: str) -> TroubleError:
    """Tell from a running server's answer what is wrong with it; never repeats the answer."""
    cause, mend = _judge_kefu(status, text) if "WeCom" in text else _judge_other(status)
    return TroubleError(f"{cause} ({status})", mend)


def _judge_kefu(status: int, text: str) -> tuple[str, str]:
    if status == 403:
        return _differs("WECOM_CORP_ID" if "another corp" in text else "WECOM_TOKEN")
    if status == 400 and "decrypted" in text:
        return _differs("WECOM_ENCODING_AES_KEY")
    if status == 400:
        return "the query does not arrive whole", "have the proxy pass the query on unchanged"
    if status == 503:
        return "the running server has no WeCom settings", "give it the same .env and start it again"
    return _judge_other(status)


def _judge_other(status: int) -> tuple[str, str]:
    if 300 <= status < 400:
        return "it redirects, which WeCom does not follow", "give WeCom the final https URL"
    if status in {404, 405}:
        return f"there is no {PATH} at this address", f"have the proxy pass {PATH} on to `kefu serve` unchanged"
    if status in {401, 403}:
        return "something in front of the service refuses", f"let {PATH} through without a login or filter"
    if status >= 500:
        return "the server or its proxy fails", "check that `kefu serve` runs, and its log"
    return (
        "the answer is not the echo: something else answers, or changes what the service says",
        f"have the proxy pass {PATH} on to `kefu serve` unchanged",
    )


def _differs(name: str) -> tuple[str, str]:
    return (
        f"the running server has another {name}",
        f"set {name} there to the value in the WeCom console, here too, and start it again",
    )
