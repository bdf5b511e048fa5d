"""From where WeCom may call back."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from api.callback_addresses import FRESH, LOOK_SECONDS, CallbackAddresses, parse_list
from api.client_address import address_of
from tools.errors import ChannelUnavailableError
from tools.settings import WecomSettings
from tools.simulators.wecom import WecomSimulator

WECOM = {
    "wecom_corp_id": "wwAccess01",
    "wecom_agent_secret": "agent-s3cr3t",
    "wecom_token": "t0k3n",
    "WECOM_ENCODING_AES_KEY": "k" * 43,
}


@pytest.fixture
def list_of(pool):
    """A list, with what WeCom says and the two clocks to turn."""

    def make(setting, **more):
        world = SimpleNamespace(
            said=["203.0.113.7", "198.51.100.0/24"], asked=0, now=datetime(2026, 3, 4, tzinfo=UTC), seconds=0.0
        )

        async def fetch():
            world.asked += 1
            if isinstance(world.said, Exception):
                raise world.said
            return world.said

        settings = WecomSettings(_env_file=None, **{**WECOM, "wecom_callback_allowed_ips": setting, **more})
        return world, lambda: CallbackAddresses(
            pool, settings, fetch, clock=lambda: world.now, monotonic=lambda: world.seconds
        )

    return make


async def allowed(addresses, *hosts):
    return [await addresses.allows(address_of(host)) for host in hosts]


async def test_without_a_list_the_signature_decides_alone(list_of):
    _, make = list_of("")
    assert await allowed(make(), "203.0.113.7", "::1", "odd") == [True, True, True]


async def test_a_written_list_lets_only_itself_in(list_of):
    world, make = list_of("203.0.113.0/24, 192.0.2.1")
    addresses = make()
    hosts = ("203.0.113.9", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "odd", "")
    assert await allowed(addresses, *hosts) == [True, True, True, False, False, False, False]
    assert not await addresses.allows(None)
    await addresses.refresh()
    assert world.asked == 0


async def test_wecom_s_own_list_is_kept_for_every_process_and_the_next_start(list_of):
    _, make = list_of("auto")
    waiting = make()
    assert await allowed(waiting, "203.0.113.7") == [False]
    await make().refresh()
    assert await allowed(make(), "203.0.113.7", "198.51.100.200", "203.0.113.8") == [True, True, False]


async def test_who_waits_for_the_list_sees_it_soon(list_of):
    world, make = list_of("auto")
    waiting = make()
    assert await allowed(waiting, "203.0.113.7") == [False]
    await make().refresh()
    world.seconds += LOOK_SECONDS
    assert await allowed(waiting, "203.0.113.7") == [True]


async def test_strangers_do_not_make_it_look_at_every_request(list_of, pool):
    _, make = list_of("auto")
    addresses = make()
    await addresses.refresh()
    assert await allowed(addresses, "203.0.113.7") == [True]
    async with pool.connection() as conn:
        await conn.execute("delete from callback_addresses")
    assert await allowed(addresses, *["192.0.2.9"] * 50) == [False] * 50
    assert await allowed(addresses, "203.0.113.7") == [True]


async def test_it_is_asked_for_once_a_day(list_of):
    world, make = list_of("auto")
    addresses = make()
    for passed, asked in ((timedelta(), 1), (FRESH - timedelta(seconds=1), 1), (timedelta(seconds=1), 2)):
        world.now += passed
        await addresses.refresh()
        assert world.asked == asked


@pytest.mark.parametrize("said", [ChannelUnavailableError("down"), [], ["nonsense"], ["0.0.0.0/0"]])
async def test_a_refresh_that_fails_keeps_the_last_list_and_is_tried_again(list_of, said):
    world, make = list_of("auto")
    await make().refresh()
    world.now, world.said = world.now + FRESH, said
    addresses = make()
    for asked in (2, 3):
        await addresses.refresh()
        assert world.asked == asked
        assert await allowed(addresses, "203.0.113.7", "192.0.2.9") == [True, False]


async def test_a_list_that_never_came_lets_only_the_written_ones_in(list_of):
    world, make = list_of("auto,192.0.2.0/24")
    world.said = ChannelUnavailableError("down")
    addresses = make()
    await addresses.refresh()
    assert await allowed(addresses, "192.0.2.9", "203.0.113.7") == [True, False]


async def test_a_database_that_is_away_leaves_what_is_known(list_of, pool):
    world, make = list_of("auto")
    addresses = make()
    await addresses.refresh()
    assert await allowed(addresses, "203.0.113.7") == [True]
    await pool.close()
    world.seconds += LOOK_SECONDS
    assert await allowed(addresses, "192.0.2.9", "203.0.113.7") == [False, True]


async def test_wecom_itself_is_asked(pool):
    async with WecomSimulator(
        corp_id=WECOM["wecom_corp_id"], secret="agent-s3cr3t", token="t0k3n", encoding_aes_key="k" * 43
    ) as wecom:
        settings = WecomSettings(
            _env_file=None, **WECOM, wecom_callback_allowed_ips="auto", wecom_api_base=wecom.api_base
        )
        addresses = CallbackAddresses(pool, settings)
        await addresses.refresh()
    assert await allowed(addresses, "127.0.0.1", "192.0.2.9") == [True, False]


def test_every_way_of_writing_a_network_is_read_and_everybody_is_none():
    parts = ["101.226.103.*", "10.*.*.*", " 1.2.3.4 ", "10.0.0.9/8", "2001:db8::/32", "0.0.0.0/0", "::/0", "*", "", "x"]
    assert parse_list(parts) == [
        ipaddress.ip_network(text)
        for text in ("101.226.103.0/24", "10.0.0.0/8", "1.2.3.4/32", "10.0.0.0/8", "2001:db8::/32")
    ]
