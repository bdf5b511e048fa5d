"""Who may call back, as the route says it."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from api.callback_addresses import RECENT, CallbackAddresses
from api.routes import wecom
from tools.errors import ChannelUnavailableError
from tools.settings import WecomSettings
from tools.simulators.wecom_callbacks import CallbackSender, event_xml
from tools.wecom.callback import CallbackCrypto

CORP = "wwSenders01"
WECOM = {
    "wecom_corp_id": CORP,
    "wecom_agent_secret": "agent-s3cr3t",
    "wecom_token": "t0k3n",
    "WECOM_ENCODING_AES_KEY": "k" * 43,
}
NAMED, MOVED = "203.0.113.7", "192.0.2.44"


@pytest.fixture
def make_world(pool):
    """A callback's route, what WeCom says of its addresses, and what was stored."""

    def make(setting):
        world = SimpleNamespace(said=[NAMED], asked=0, stored=[])
        settings = WecomSettings(_env_file=None, **WECOM, wecom_callback_allowed_ips=setting)

        async def fetch():
            world.asked += 1
            if isinstance(world.said, Exception):
                raise world.said
            return world.said

        async def store(**facts):
            world.stored.append(facts["token"])

        world.addresses = CallbackAddresses(pool, settings, fetch)
        world.sender = CallbackSender(corp_id=CORP, token="t0k3n", encoding_aes_key="k" * 43, clock=lambda: 1e9)
        services = SimpleNamespace(
            crypto=CallbackCrypto(settings.wecom_token, settings.wecom_encoding_aes_key, CORP),
            inbox=SimpleNamespace(store_callback=store),
            wecom_app=None,
            wecom_intake=None,
        )
        state = {"services": services, "gates": SimpleNamespace(callback_addresses=world.addresses)}
        app = FastAPI()
        app.include_router(wecom.router)

        async def with_state(scope, receive, send):
            await app({**scope, "state": dict(state)}, receive, send)

        async def call_back(host, **forged):
            query, body = world.sender.encrypt(event_xml(CORP, 1, Event="kf_msg_or_event", Token="t", OpenKfId="wk1"))
            transport = httpx.ASGITransport(with_state, client=(host, 1))
            async with httpx.AsyncClient(transport=transport, base_url="https://kefu.test") as client:
                posted = await client.post("/wecom/callback", params={**query, **forged}, content=body)
                echo = body.split(b"<Encrypt><![CDATA[")[1].split(b"]]>")[0].decode()
                got = await client.get("/wecom/callback", params={**query, **forged, "echostr": echo})
            assert got.status_code == posted.status_code
            return posted.status_code, posted.text

        world.call_back = call_back
        return world

    return make


async def age(pool):
    async with pool.connection() as conn:
        await conn.execute("update callback_addresses set fetched_at = fetched_at - %s", (RECENT,))


async def test_when_wecom_moves_its_callbacks_are_taken_from_the_first_on(make_world, pool):
    world = make_world("auto")
    await world.addresses.refresh()
    await age(pool)
    assert (await world.call_back(NAMED))[0] == 200
    world.said = [MOVED]
    await age(pool)
    world.addresses._looked_at = float("-inf")
    assert (await world.call_back(MOVED))[0] == 200
    assert (world.stored, world.asked) == (["t", "t"], 2)


async def test_before_wecom_said_from_where_it_calls_its_callbacks_are_taken_or_put_off(make_world):
    world = make_world("auto")
    world.said = ChannelUnavailableError("down")
    assert (await world.call_back(NAMED))[0] == 503
    assert world.stored == []
    world.addresses._asked_at, world.said = float("-inf"), [NAMED]
    assert (await world.call_back(NAMED))[0] == 200


async def test_who_does_not_sign_is_told_nothing_and_nobody_is_asked(make_world):
    world = make_world("auto")
    assert await world.call_back(MOVED, msg_signature="0" * 40) == (403, "")
    assert (world.asked, world.stored) == (0, [])


@pytest.mark.parametrize("setting", ["auto", "203.0.113.0/24"])
async def test_a_stolen_token_does_not_help_from_elsewhere(make_world, setting):
    world = make_world(setting)
    await world.addresses.refresh()
    assert await world.call_back(MOVED) == (403, "")
    assert await world.call_back("odd") == (403, "")
    assert (await world.call_back(NAMED))[0] == 200
    assert world.stored == ["t"]
