"""The customers' channels: each conversation has one, and its limits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from api.settings import Settings
from tools.errors import BadRequestError
from tools.memory import MemoryChannel
from tools.messages import File, Media, Outbound, SendLimits, channel_of
from tools.ports import Channel
from tools.settings import WecomSettings
from tools.wecom.app import WecomApp
from tools.wecom.app_channel import CHANNEL as APP_CHANNEL
from tools.wecom.app_channel import WecomAppChannel
from tools.wecom.channel import CHANNEL, WecomChannel
from tools.wecom.client import WecomClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Channels:
    """Finds the channel of a conversation by the name its id begins with."""

    by_name: Mapping[str, Channel]

    @property
    def pulled(self) -> Channel:
        """微信客服: the one that is asked what customers wrote; callbacks of all others bring it along."""
        return self.by_name[CHANNEL]

    def of(self, thread_id: str) -> Channel:
        """Return the channel of a conversation; one that refuses everything when it is switched off by now."""
        name = channel_of(thread_id)
        return self.by_name.get(name) or ChannelSwitchedOff(name=name)

    def limits(self, thread_id: str) -> SendLimits:
        """Return how much may be sent in a conversation."""
        return self.of(thread_id).limits

    def split(self, thread_id: str, text: str) -> list[str]:
        """Cut a text into parts that the conversation's channel can send whole."""
        return self.of(thread_id).split(text)


@dataclass(slots=True)
class ChannelSwitchedOff(MemoryChannel):
    """Stands for a channel whose conversations are left over."""

    name: str = ""

    async def send(self, outbound: Outbound) -> None:
        """Refuse.

        Raises:
            BadRequestError: always; people at the desk read it.
        """
        del outbound
        raise BadRequestError(f"the channel {self.name} is switched off")

    async def fetch(self, media: Media) -> File:
        """Refuse.

        Raises:
            BadRequestError: always.
        """
        del media
        raise BadRequestError(f"the channel {self.name} is switched off")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedChannels:
    """The channels, and what only one of them can do."""

    channels: Channels
    app: WecomAppChannel | None
    """Reads callbacks."""


async def open_channels(settings: Settings, redis: Redis | None, stack: contextlib.AsyncExitStack) -> OpenedChannels:
    """Open what is configured; nothing is asked of a vendor yet."""
    channels: dict[str, Channel] = {CHANNEL: await _open_kf(settings.wecom, redis, stack)}
    app = _make_app(settings, redis)
    if app is not None:
        channels[APP_CHANNEL] = app
        stack.push_async_callback(app.close)
    return OpenedChannels(channels=Channels(channels), app=app)


async def _open_kf(wecom: WecomSettings, redis: Redis | None, stack: contextlib.AsyncExitStack) -> Channel:
    if not wecom.is_configured:
        logger.warning("WeCom is not configured: no customer reaches this service", extra={"action": "wecom_off"})
        return MemoryChannel()
    client = WecomClient(
        api_base=wecom.wecom_api_base, corp_id=wecom.wecom_corp_id, secret=wecom.kf_secret, redis=redis
    )
    return WecomChannel(await stack.enter_async_context(client))


def _make_app(settings: Settings, redis: Redis | None) -> WecomAppChannel | None:
    wecom = settings.wecom
    if not wecom.kefu_app_channel:
        return None
    assert wecom.wecom_agent_id is not None, "checked by the settings"
    assert wecom.wecom_agent_secret is not None, "checked by the settings"
    app = WecomApp(
        api_base=wecom.wecom_api_base,
        corp_id=wecom.wecom_corp_id,
        secret=wecom.wecom_agent_secret,
        agent_id=wecom.wecom_agent_id,
        redis=redis,
    )
    return WecomAppChannel(app, agents=settings.telegram.members)
