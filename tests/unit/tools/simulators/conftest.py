"""A WeCom simulator on a settable clock, a caller of its API, and a service that receives its callbacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import xmltodict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wechatpy.enterprise.crypto import WeChatCrypto

from tools.simulators.server import LoopbackServer
from tools.simulators.wecom import WecomSimulator

CORP = "ww1234567890abcdef"
SECRET = "kf-secret-for-tests"
TOKEN = "kfTestToken0123456789abcdefABCDE"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Caller:
    """Calls the API over the socket, with a valid token unless told otherwise."""

    http: httpx.AsyncClient
    account: str
    token: str = ""

    async def login(self) -> None:
        answer = await self.http.get("gettoken", params={"corpid": CORP, "corpsecret": SECRET})
        self.token = answer.json()["access_token"]

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = await self.http.get(path, params={"access_token": self.token, **query})
        assert answer.status_code == 200
        return answer.json()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(path, params={"access_token": self.token}, json=body)
        assert answer.status_code == 200
        return answer.json()

    async def say(self, customer: str, text: str = "您好", **extra: Any) -> dict[str, Any]:
        body = {"touser": customer, "open_kfid": self.account, "msgtype": "text", "text": {"content": text}, **extra}
        return await self.post("kf/send_msg", body)

    async def move(self, customer: str, state: int, **extra: Any) -> dict[str, Any]:
        body = {"open_kfid": self.account, "external_userid": customer, "service_state": state, **extra}
        return await self.post("kf/service_state/trans", body)

    async def state(self, customer: str) -> int:
        body = {"open_kfid": self.account, "external_userid": customer}
        return (await self.post("kf/service_state/get", body))["service_state"]

    async def greet(self, code: str | None, **extra: Any) -> int:
        body = {"code": code, "msgtype": "text", "text": {"content": "欢迎"}, **extra}
        return (await self.post("kf/send_msg_on_event", body))["errcode"]

    async def codes(self, *answers: Awaitable[dict[str, Any]]) -> list[int]:
        """The errcodes of calls made one after the other."""
        return [(await answer)["errcode"] for answer in answers]

    async def pull(self, cursor: str = "", token: str = "", **extra: Any) -> dict[str, Any]:
        body = {"open_kfid": self.account, "cursor": cursor, "token": token, **extra}
        return await self.post("kf/sync_msg", body)

    async def walk(self, cursor: str = "", most: int = 200) -> list[dict[str, Any]]:
        """Every page from `cursor` on."""
        pages = []
        for _ in range(most):
            pages.append(await self.pull(cursor))
            cursor = pages[-1]["next_cursor"]
            if not pages[-1]["has_more"]:
                return pages
        raise AssertionError(f"still more after {most} pages")


@dataclass
class Service:
    """Receives callbacks and reads them with wechatpy, which shares no code with the simulator."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    """What to answer, in order; 200 afterwards."""
    events: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    echo_suffix: str = ""

    def __post_init__(self) -> None:
        self.crypto = WeChatCrypto(TOKEN, AES_KEY, CORP)

    async def verify(self, request: Request) -> Response:
        query = request.query_params
        echo = self.crypto.check_signature(query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"])
        text = echo.decode() if isinstance(echo, bytes) else echo
        return Response(text + self.echo_suffix)

    async def receive(self, request: Request) -> Response:
        query = dict(request.query_params)
        inner = self.crypto.decrypt_message(
            await request.body(), query["msg_signature"], query["timestamp"], query["nonce"]
        )
        self.queries.append(query)
        self.events.append(xmltodict.parse(inner)["xml"])
        return Response("success", status_code=self.statuses.pop(0) if self.statuses else 200)

    def app(self) -> Starlette:
        get = Route("/wecom/callback", self.verify, methods=["GET"])
        return Starlette(routes=[get, Route("/wecom/callback", self.receive, methods=["POST"])])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sim(clock: Clock) -> AsyncIterator[WecomSimulator]:
    async with WecomSimulator(
        corp_id=CORP, secret=SECRET, token=TOKEN, encoding_aes_key=AES_KEY, clock=clock, run_id="t"
    ) as running:
        yield running


@pytest.fixture
async def caller(sim: WecomSimulator) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(base_url=sim.api_base, trust_env=False) as http:
        opened = Caller(http, sim.account)
        await opened.login()
        yield opened


@pytest.fixture
async def service(sim: WecomSimulator) -> AsyncIterator[Service]:
    receiving = Service()
    async with LoopbackServer(receiving.app()) as server:
        receiving.url = sim.callback_url = f"{server.url}/wecom/callback"
        yield receiving
