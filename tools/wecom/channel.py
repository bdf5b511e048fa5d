"""The customers' channel over 微信客服: pages in, texts out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tools.errors import BadRequestError, ChannelError
from tools.messages import Menu, Outbound, Page, SendLimits, Session
from tools.wecom.client import TEXT_BYTES, ServiceState, WecomClient
from tools.wecom.inbound import CHANNEL, to_inbound
from tools.wecom.menus import SHAPE_REFUSED, fitted, to_msgmenu
from tools.wecom.splitting import split_text

__all__ = ["CHANNEL", "WecomChannel"]

logger = logging.getLogger(__name__)

_SESSIONS: Mapping[ServiceState, Session] = {
    ServiceState.NEW: "bot",
    ServiceState.BOT: "bot",
    ServiceState.QUEUED: "queued",
    ServiceState.HUMAN: "staff",
    ServiceState.CLOSED: "closed",
}


class WecomChannel:
    """`tools.ports.Channel` over the kf calls."""

    limits = SendLimits(units=5, window_seconds=48 * 3600)
    """Messages after each of the customer's, and for how long (doc 94677)."""

    def __init__(self, client: WecomClient) -> None:
        self._client = client

    async def pull(self, account_id: str, *, cursor: str, token: str) -> Page:
        """Return the page after `cursor`; what cannot be read is in it as kind `unreadable`."""
        page = await self._client.sync_msg(account_id, cursor=cursor, token=token)
        return Page(
            messages=tuple(to_inbound(item, account_id) for item in page.items),
            next_cursor=page.next_cursor,
            has_more=page.has_more,
        )

    async def send(self, outbound: Outbound) -> None:
        """Send one text or menu under its key; a menu WeCom does not take goes out as a numbered list.

        Raises:
            DuplicateMessageError: an earlier attempt under this key was accepted.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        text = outbound.text
        if outbound.menu is not None:
            menu = fitted(outbound.menu)
            if await self._offer(outbound, menu):
                return
            text = self.split(menu.text)[0]
        await self._client.send_text(outbound.account_id, outbound.customer_id, text, msgid=outbound.key)

    async def _offer(self, outbound: Outbound, menu: Menu) -> bool:
        """Send a menu; False when WeCom does not take its shape."""
        try:
            await self._client.send_menu(
                outbound.account_id, outbound.customer_id, to_msgmenu(menu), msgid=outbound.key
            )
        except BadRequestError as error:
            if error.code not in SHAPE_REFUSED:
                raise
            logger.warning(
                "WeCom did not take a menu; sending it as a list", extra={"action": "menu_refused", "code": error.code}
            )
            return False
        return True

    async def welcome(self, code: str, text: str, key: str) -> None:
        """Answer an `enter_session` event within the 20 seconds its code lives."""
        await self._client.send_text_on_event(code, text, msgid=key)

    async def account_ids(self) -> Sequence[str]:
        """List the kf accounts this secret may see."""
        return [account.open_kfid for account in await self._client.accounts()]

    async def customer_name(self, customer_id: str) -> str:
        """Return the customer's nickname; empty when WeCom does not tell."""
        try:
            return (await self._client.nicknames([customer_id])).get(customer_id, "")
        except ChannelError:
            return ""

    async def session(self, account_id: str, customer_id: str) -> Session:
        """Tell who has the customer's session now."""
        return _SESSIONS[await self._client.service_state(account_id, customer_id)]

    def split(self, text: str) -> list[str]:
        """Cut a text into parts kf/send_msg takes whole."""
        return split_text(text, TEXT_BYTES)
