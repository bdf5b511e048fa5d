"""From where WeCom may call back."""

from __future__ import annotations

import asyncio
import ipaddress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from api.callback_addresses import (
    ASK_SECONDS,
    FRESH,
    LOOK_AGAIN_SECONDS,
    LOOK_SECONDS,
    RECENT,
    CallbackAddresses,
    parse_list,
)
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


async def test_the_first_callbacks_after_a_start_may_come_together(list_of):
    _, make = list_of("auto")
    await make().refresh()
    started = make()
    assert await asyncio.gather(*(started.allows(address_of("203.0.113.7")) for _ in range(10))) == [True] * 10


async def test_an_address_that_wecom_gave_up_is_let_go_by_every_process(list_of):
    world, make = list_of("auto")
    running, other = make(), make()
    await other.refresh()
    assert await allowed(running, "203.0.113.7") == [True]
    world.now, world.said = world.now + FRESH, ["198.51.100.0/24"]
    await other.refresh()
    world.seconds += LOOK_AGAIN_SECONDS
    assert await allowed(running, "203.0.113.7", "198.51.100.1") == [False, True]


class TestWhoSigns:
    MOVED = address_of("192.0.2.44")

    async def test_when_wecom_moved_it_is_asked_at_once(self, list_of):
        world, make = list_of("auto")
        addresses = make()
        await addresses.refresh()
        world.now, world.said = world.now + RECENT, ["192.0.2.44"]
        assert await allowed(addresses, "192.0.2.44") == [False]
        together = await asyncio.gather(*(addresses.allows_signer(self.MOVED) for _ in range(5)))
        assert (together, world.asked) == ([True] * 5, 2)
        assert await allowed(addresses, "192.0.2.44") == [True]

    async def test_before_there_is_a_list_it_is_asked_for(self, list_of):
        _, make = list_of("auto")
        assert await make().allows_signer(address_of("203.0.113.7"))

    async def test_a_recent_list_is_believed_and_not_asked_for_again(self, list_of):
        world, make = list_of("auto")
        addresses = make()
        await addresses.refresh()
        assert await allowed(addresses, "192.0.2.44") == [False]
        world.now += RECENT - timedelta(seconds=1)
        for _ in range(5):
            world.seconds += ASK_SECONDS
            assert not await addresses.allows_signer(self.MOVED)
        assert world.asked == 1

    @pytest.mark.parametrize("is_known", [False, True])
    async def test_while_wecom_does_not_say_nobody_knows_and_it_is_not_stormed(self, list_of, is_known):
        world, make = list_of("auto")
        addresses = make()
        if is_known:
            await addresses.refresh()
        world.now, world.said, world.asked = world.now + RECENT, ChannelUnavailableError("down"), 0
        for asked in (1, 1, 2):
            with pytest.raises(ChannelUnavailableError):
                await addresses.allows_signer(self.MOVED)
            assert world.asked == asked
            world.seconds += ASK_SECONDS / 2
        assert await allowed(addresses, "203.0.113.7", "192.0.2.44") == [is_known, False]

    async def test_an_answer_that_does_not_come_is_not_waited_for(self, list_of, monkeypatch):
        monkeypatch.setattr("api.callback_addresses.ASK_AT_MOST", 0.05)
        _, make = list_of("auto")
        addresses = make()
        addresses._fetch = asyncio.Event().wait
        async with asyncio.timeout(10):
            with pytest.raises(ChannelUnavailableError):
                await addresses.allows_signer(self.MOVED)

    async def test_what_is_written_down_holds(self, list_of):
        world, make = list_of("203.0.113.0/24")
        assert not await make().allows_signer(self.MOVED)
        assert world.asked == 0


async def test_a_list_that_is_only_half_understood_takes_nothing_away(list_of):
    world, make = list_of("auto")
    addresses = make()
    await addresses.refresh()
    world.now, world.said = world.now + FRESH, ["192.0.2.1", "198.51.100.1-198.51.100.9", ""]
    await addresses.refresh()
    assert await allowed(make(), "192.0.2.1", "203.0.113.7", "198.51.100.5") == [True] * 3
    world.now, world.said = world.now + FRESH, ["192.0.2.1"]
    await addresses.refresh()
    assert await allowed(make(), "192.0.2.1", "203.0.113.7") == [True, False]


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
