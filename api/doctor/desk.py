"""Checks of the desk and of Redis."""

from __future__ import annotations

from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from api.doctor.checks import Check, OffError, TroubleError
from tools.errors import DeskError, DeskUnavailableError
from tools.settings import RedisSettings, TelegramSettings
from tools.telegram import TelegramDesk
from tools.wecom.desk import WecomDesk

HINT = "check that this server reaches Telegram (a proxy may be needed), and TELEGRAM_API_BASE"
WECOM_HINT = "compare WECOM_CORP_ID and WECOM_AGENT_SECRET with the app's page in the console"
REDIS_HINT = "check that Redis runs and REDIS_URL, or leave that empty: everything then stays in the process"
_TIMEOUT = 4.0


class DeskChecks:
    """Asks the configured desks without writing anything; a desk is None when there is none."""

    def __init__(self, settings: TelegramSettings, desk: TelegramDesk | None, wecom: WecomDesk | None = None) -> None:
        self._settings = settings
        self._desk = desk
        self._wecom = wecom

    def checks(self) -> list[Check]:
        """List the checks."""
        found = [
            Check(name="telegram", run=self.is_ready, hint=HINT),
            Check(name="telegram updates", run=self.gets_updates, hint=HINT, needs="telegram"),
        ]
        if self._settings.members:
            found.append(Check(name="wecom desk", run=self.is_ready_in_wecom, hint=WECOM_HINT))
        if any(channel.kind == "wecom-webhook" for channel in self._settings.channels):
            found.append(Check(name="wecom webhooks", run=self.are_webhooks_known, hint=""))
        return found

    async def is_ready_in_wecom(self) -> str:
        """Try the app's secret."""
        if self._wecom is None:
            raise TroubleError(
                "NOTIFICATION_CHANNEL names WeCom members, the app that writes to them is not set up",
                "set WECOM_AGENT_ID and WECOM_AGENT_SECRET, from the app's page",
            )
        try:
            return await self._wecom.check()
        except DeskError as error:
            raise TroubleError(str(error), WECOM_HINT) from error

    async def are_webhooks_known(self) -> str:
        """Count them: nothing can be asked of a webhook without writing to its group."""
        count = sum(channel.kind == "wecom-webhook" for channel in self._settings.channels)
        return f"{count}, told in their order; their keys are tried with the first notice only"

    async def is_ready(self) -> str:
        """Try token, chat and rights."""
        if self._desk is None:
            if self._wecom is not None:
                raise OffError("not used: people answer inside WeCom")
            raise OffError(
                "no desk: open questions are only recorded; set TELEGRAM_BOT_TOKEN and"
                " NOTIFICATION_CHANNEL=telegram:<chat id>"
            )
        try:
            found = await self._desk.check()
        except DeskUnavailableError as error:
            raise TroubleError(str(error), HINT) from error
        except DeskError as error:
            cause, _, mend = str(error).partition(": ")
            raise TroubleError(cause, mend) from error
        if "no topics" in found:
            return f"{found}; switch on Topics in the group's settings to get one topic a customer"
        return found

    async def gets_updates(self) -> str:
        """Compare how Telegram hands over updates with how they are expected."""
        assert self._desk is not None, "'telegram' was in order"
        delivery = await self._desk.delivery()
        settings = self._settings
        host = urlsplit(delivery.webhook_url).hostname
        if settings.telegram_mode == "polling":
            if delivery.webhook_url:
                raise TroubleError(
                    f"updates go to a webhook at {host}, TELEGRAM_MODE is polling: nothing arrives here",
                    "start the worker again, which removes it, and end the other program; or set TELEGRAM_MODE=webhook",
                )
            return f"polled, {delivery.waiting} wait"
        if not delivery.webhook_url:
            raise TroubleError(
                "TELEGRAM_MODE is webhook, Telegram has none: nothing arrives",
                "set TELEGRAM_WEBHOOK_URL=https://your-host/telegram/webhook and start `kefu serve` again,"
                " or set TELEGRAM_MODE=polling",
            )
        if settings.telegram_webhook_url not in {"", delivery.webhook_url}:
            raise TroubleError(
                f"updates go to another webhook, at {host}, than TELEGRAM_WEBHOOK_URL says",
                "start `kefu serve` again, which registers it, and end the other program: one program a bot token",
            )
        if delivery.waiting and delivery.last_error:
            raise TroubleError(
                f"{delivery.waiting} updates wait, Telegram does not get through to {host}: {delivery.last_error}",
                "check that `kefu serve` runs, that the internet reaches it over https, and TELEGRAM_WEBHOOK_SECRET",
            )
        return f"posted to {host}, {delivery.waiting} wait"


def redis_check(settings: RedisSettings) -> Check:
    """Check that Redis answers; its errors are told by kind, their text may hold the address with its password."""

    async def answers() -> str:
        if settings.redis_url is None:
            raise OffError("no Redis: everything shared stays in the process; fine for one process")
        try:
            redis = Redis.from_url(
                settings.redis_url.get_secret_value(),
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            raise TroubleError("REDIS_URL is not a URL of Redis", "example: redis://127.0.0.1:6379/0") from None
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            # The client wraps what it is told while it connects.
            if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
                raise TroubleError("Redis refuses the password", "mend user and password in REDIS_URL") from None
            raise TroubleError(f"Redis does not answer ({type(error).__name__})", REDIS_HINT) from None
        finally:
            await redis.aclose()
        return "answers"

    return Check(name="redis", run=answers, hint=REDIS_HINT)
