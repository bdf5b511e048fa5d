"""WeCom on loopback: the service talks to it as to the real one; people and tests play the customers.

async with WecomSimulator(corp_id=..., secret=..., token=..., encoding_aes_key=...) as sim:
    # start the service with WECOM_API_BASE=sim.api_base, then
    sim.callback_url = "http://127.0.0.1:8000/wecom/callback"
    await sim.customer_says("wmAlice", "怎么退款?")
    await sim.wait_for_text("wmAlice", 1)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from tools.simulators.server import LoopbackServer
from tools.simulators.wecom_api import WecomApi
from tools.simulators.wecom_callbacks import CallbackSender, Params
from tools.simulators.wecom_faults import Faults, Tokens
from tools.simulators.wecom_friends import FriendlyPeople
from tools.simulators.wecom_media import StoredFile
from tools.simulators.wecom_members import MemberMessage
from tools.simulators.wecom_native import NativeKnowledge
from tools.simulators.wecom_people import DEFAULT_ACCOUNT
from tools.simulators.wecom_state import Sent

Expected = int | str | Callable[[str], bool]
"""So many texts, a text containing this, or a text of which this is true."""


class WecomSimulator(FriendlyPeople):
    """One corp with kf accounts, customers and staff, and the API that serves them.

    The parts are public for finer play: `kf` (rules and sessions), `log` (what `sync_msg` serves; `log.knobs`),
    `callbacks` (delivery knobs), `contacts` (friends), `members` (who the app writes to), `native` (WeCom's own robot),
    `tokens`, `faults`.
    """

    def __init__(
        self,
        *,
        corp_id: str,
        secret: str,
        token: str,
        encoding_aes_key: str,
        contact_secret: str | None = None,
        agent_secret: str | None = None,
        agent_id: int | None = None,
        account: str = DEFAULT_ACCOUNT,
        clock: Callable[[], float] = time.time,
        run_id: str | None = None,
        port: int = 0,
    ) -> None:
        run_id = run_id or secrets.token_hex(4)
        callbacks = CallbackSender(corp_id=corp_id, token=token, encoding_aes_key=encoding_aes_key, clock=clock)
        super().__init__(corp_id=corp_id, account=account, run_id=run_id, clock=clock, callbacks=callbacks)
        given = {"kf": secret, "externalcontact": contact_secret, "message": agent_secret}
        families = {family: value for family, value in given.items() if value is not None}
        self.members.agent_id = agent_id
        self.tokens = Tokens(corp_id=corp_id, secrets=families, run_id=run_id, clock=clock)
        self.faults = Faults()
        self.native = NativeKnowledge(kf=self.kf, clock=clock)
        self._api = WecomApi(
            kf=self.kf,
            log=self.log,
            contacts=self.contacts,
            members=self.members,
            native=self.native,
            media=self.media,
            tokens=self.tokens,
            faults=self.faults,
            undelivered=self._report_undelivered,
            changed=self._tell_waiters,
            clock=clock,
        )
        self._server = LoopbackServer(self._api.app(), port=port)
        self._api.drop = self._server.drop
        self._news = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._server.start()
        self.contacts.base = self._server.url
        await self.callbacks.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.callbacks.stop()
        await self._server.stop()

    @property
    def api_base(self) -> str:
        """What WECOM_API_BASE must be."""
        return f"{self._server.url}/cgi-bin/"

    @property
    def callback_url(self) -> str | None:
        """Where callbacks go; with None there are none."""
        return self.callbacks.url

    @callback_url.setter
    def callback_url(self, url: str | None) -> None:
        self.callbacks.url = url

    @property
    def calls(self) -> Counter[str]:
        """Requests by path, such as `kf/send_msg`, refused ones included."""
        return self._api.calls

    @property
    def most_at_once(self) -> Counter[str]:
        """The highest number of simultaneous requests by path."""
        return self._api.most_at_once

    @property
    def latency(self) -> dict[str, float]:
        """Seconds each call waits, by path."""
        return self.faults.latency

    @property
    def sent(self) -> list[Sent]:
        """Every message to a customer that was accepted, oldest first."""
        return self.kf.sent

    def texts_to(self, customer: str) -> list[str]:
        """What the customer got to read, oldest first; menus as their lines."""
        return [each.text for each in self.sent if each.customer == customer and each.text and each.is_delivered]

    def files_to(self, customer: str) -> list[StoredFile]:
        """What files the customer got, oldest first."""
        mine = [each for each in self.sent if each.customer == customer and each.is_delivered]
        uploaded = {file.media_id: file for file in self.media.uploads}
        return [uploaded[each.payload["media_id"]] for each in mine if each.payload.get("media_id") in uploaded]

    async def wait_for_file(self, customer: str, count: int = 1, *, timeout: float = 10.0) -> StoredFile:  # noqa: ASYNC109
        """Wait until the customer got so many files; returns the last of these."""
        await self.wait_until(lambda: len(self.files_to(customer)) >= count, timeout=timeout)
        return self.files_to(customer)[count - 1]

    async def wait_for_member(self, member: str, words: str, *, timeout: float = 10.0) -> MemberMessage:  # noqa: ASYNC109
        """Wait until a member got a message with these words; returns the latest one."""

        def found() -> list[MemberMessage]:
            return [message for message in self.members.to(member) if words in message.text]

        try:
            await self.wait_until(lambda: bool(found()), timeout=timeout)
        except TimeoutError:
            texts = self.members.texts_to(member)
            raise TimeoutError(f"{member} did not get {words!r} in {timeout} s, only {texts}") from None
        return found()[-1]

    def fail_next(self, path: str, code: int, *, times: int = 1, status: int = 200) -> None:
        """Answer the next calls of `path` with this errcode (and HTTP status) and without effect."""
        self.faults.fail_next(path, code, times=times, status=status)

    def reset_after_effect(self, path: str, *, times: int = 1) -> None:
        """Carry out the next calls of `path`, then drop the connection instead of answering."""
        self.faults.reset_after_effect(path, times=times)

    def fail_delivery(self, fail_type: int = 4, *, times: int = 1) -> None:
        """Accept the next messages, then report them with the event `msg_send_fail`."""
        self.faults.fail_delivery(fail_type, times=times)

    def encrypt_callback(
        self, inner_xml: str, *, receiveid: str | None = None, timestamp: int | None = None, nonce: str | None = None
    ) -> tuple[Params, bytes]:
        """Return query and body of a callback, to be posted (or spoilt) by hand."""
        return self.callbacks.encrypt(inner_xml, receiveid=receiveid, timestamp=timestamp, nonce=nonce)

    async def verify_url(self, echo: str = "1616140317555161061") -> bool:
        """Play the URL verification of the admin console; true when the service passes."""
        return await self.callbacks.verify(echo)

    async def wait_until(self, is_reached: Callable[[], bool], *, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Wait for a condition that API calls bring about; looked at when a call comes and is answered."""
        async with asyncio.timeout(timeout):
            while not is_reached():
                await self._news.wait()

    async def wait_for_text(self, customer: str, expected: Expected = 1, *, timeout: float = 10.0) -> str:  # noqa: ASYNC109
        """Wait until the customer has got `expected`; returns the text that met it.

        Raises `TimeoutError` that tells what the customer got instead.
        """

        def met() -> str | None:
            texts = self.texts_to(customer)
            if isinstance(expected, int):
                return texts[expected - 1] if len(texts) >= expected else None
            if isinstance(expected, str):
                return next((text for text in texts if expected in text), None)
            return next((text for text in texts if expected(text)), None)

        try:
            await self.wait_until(lambda: met() is not None, timeout=timeout)
        except TimeoutError:
            raise TimeoutError(
                f"{customer} did not get {expected!r} in {timeout} s, only {self.texts_to(customer)}"
            ) from None
        text = met()
        assert text is not None, "texts are never taken back"
        return text

    async def reported(self) -> None:
        """Wait until every pending delivery report was logged and called back."""
        await asyncio.gather(*self._background)

    def _tell_waiters(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _report_undelivered(self, sent: Sent, fail_type: int) -> None:
        event = self._event("msg_send_fail", sent.account, sent.customer, fail_msgid=sent.msgid, fail_type=fail_type)
        task = asyncio.create_task(self._deliver_report(sent.account, event))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _deliver_report(self, account: str, event: dict[str, object]) -> None:
        await self._post(account, event, notify=True)
