"""Opening every configured desk."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass

from redis.asyncio import Redis

from api.desk.desks import Desks, Group
from api.settings import Settings
from tools.messages import DeskName
from tools.ports import Desk
from tools.telegram import TelegramDesk
from tools.wecom.app import WecomApp
from tools.wecom.desk import WecomDesk
from tools.wecom.webhook import Webhook

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDesks:
    """The desks, and by their kind what only one kind can do."""

    desks: Desks
    telegram: TelegramDesk | None
    wecom: WecomDesk | None


async def open_desks(settings: Settings, redis: Redis | None, stack: contextlib.AsyncExitStack) -> OpenedDesks:
    """Open what `NOTIFICATION_CHANNEL` names; nothing is asked of a desk yet, so a dead one does not stop the start."""
    telegram, wecom = make_telegram(settings), make_wecom(settings, redis)
    desks: dict[DeskName, Desk] = {}
    for desk in (telegram, wecom):
        if desk is not None:
            stack.push_async_callback(desk.close)
            desks["telegram" if isinstance(desk, TelegramDesk) else "wecom"] = desk
    groups: dict[str, Group] = {}
    for channel in settings.telegram.channels:
        if channel.key is not None:
            webhook = Webhook(api_base=settings.wecom.wecom_api_base, key=channel.key)
            groups[channel.name] = await stack.enter_async_context(webhook)
    if not desks:
        logger.warning("No desk is configured: open questions are only recorded", extra={"action": "desk_off"})
    order = [channel.name for channel in settings.telegram.channels]
    return OpenedDesks(desks=Desks(desks=desks, groups=groups, order=order), telegram=telegram, wecom=wecom)


def make_telegram(settings: Settings, *, timeout: float = 10) -> TelegramDesk | None:
    """Make the desk on Telegram, None when there is none."""
    telegram = settings.telegram
    if telegram.chat_id is None or telegram.telegram_bot_token is None:
        return None
    return TelegramDesk(
        token=telegram.telegram_bot_token,
        chat_id=telegram.chat_id,
        api_base=telegram.telegram_api_base,
        timeout=timeout,
    )


def make_wecom(settings: Settings, redis: Redis | None = None) -> WecomDesk | None:
    """Make the desk inside WeCom, None when there is none."""
    wecom, members = settings.wecom, settings.telegram.members
    if not members or wecom.wecom_agent_id is None or wecom.wecom_agent_secret is None:
        return None
    app = WecomApp(
        api_base=wecom.wecom_api_base,
        corp_id=wecom.wecom_corp_id,
        secret=wecom.wecom_agent_secret,
        agent_id=wecom.wecom_agent_id,
        redis=redis,
    )
    return WecomDesk(app, members)
