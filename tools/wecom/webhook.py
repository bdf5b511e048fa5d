"""A group's webhook (消息推送): lines for whoever reads the group; nobody can answer there."""

from __future__ import annotations

import re

from pydantic import SecretStr

from tools.errors import BadRequestError, ChannelSetupError, RateLimitedError
from tools.telegram_cards import without_directions
from tools.wecom.app import TEXT_BYTES
from tools.wecom.splitting import split_text
from tools.wecom.transport import WecomTransport

BAD_KEY = 93000


class SlowDownError(RateLimitedError):
    """The webhook had more than the 20 messages it takes in a minute (doc 99110)."""

    retry_after = 60


class Webhook(WecomTransport):
    """One group's webhook; its key is a secret and stands in no error."""

    def __init__(self, *, api_base: str, key: SecretStr) -> None:
        super().__init__(api_base=api_base, corp_id="", secret=SecretStr(""))
        self._key = key

    async def send(self, text: str) -> None:
        """Post one text.

        Raises:
            SlowDownError: it had too many within a minute.
            ChannelSetupError: WeCom does not know the key any more.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        body = {"msgtype": "text", "text": {"content": split_text(text, TEXT_BYTES)[0]}}
        try:
            await self.call_openly("webhook/send", {"key": self._key.get_secret_value()}, body)
        except RateLimitedError as error:
            raise SlowDownError(str(error), code=error.code) from None
        except BadRequestError as error:
            if error.code != BAD_KEY:
                raise
            words = "WeCom refuses a webhook (93000): it was removed; copy its key again into NOTIFICATION_CHANNEL"
            raise ChannelSetupError(words, code=BAD_KEY) from None


def plain(text: str, limit: int) -> str:
    """Return a customer's words on one line of at most `limit` characters, unable to address anybody."""
    text = re.sub(r"[<@]", lambda found: "＜" if found[0] == "<" else "＠", " ".join(without_directions(text).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
