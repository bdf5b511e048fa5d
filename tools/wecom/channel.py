"""The customers' channel over 微信客服: pages in, texts, menus and files out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tools.errors import BadRequestError, ChannelError, ChannelSetupError, StaffUnavailableError
from tools.files import FILE_BYTES, file_name, format_of
from tools.messages import File, Media, MediaKind, Menu, Outbound, Page, SendLimits, Session
from tools.wecom.client import TEXT_BYTES, ServiceState, WecomClient
from tools.wecom.inbound import CHANNEL, to_inbound
from tools.wecom.menus import SHAPE_REFUSED, fitted, to_msgmenu
from tools.wecom.splitting import split_text

__all__ = ["CHANNEL", "WecomChannel"]

logger = logging.getLogger(__name__)

PICTURE_BYTES = VIDEO_BYTES = 10 * 1024 * 1024
VOICE_BYTES = 2 * 1024 * 1024
"""What is larger or of another format than these kinds take goes as a file (doc 96484)."""

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
        """Send one text, menu or file under its key; a menu WeCom does not take goes out as a numbered list.

        Raises:
            DuplicateMessageError: an earlier attempt under this key was accepted.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        text = outbound.text
        if outbound.file is not None:
            await self._send_file(outbound, outbound.file)
            return
        if outbound.menu is not None:
            menu = fitted(outbound.menu)
            if await self._offer(outbound, menu):
                return
            text = self.split(menu.text)[0]
        await self._client.send_text(outbound.account_id, outbound.customer_id, text, msgid=outbound.key)

    async def fetch(self, media: Media) -> File:
        """Return a file that a customer sent; WeCom keeps it for three days.

        Raises:
            BadRequestError: it is gone, or too large.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        found = await self._client.download_media(media.ref)
        return File(
            kind=media.kind,
            name=file_name(media.kind, media.name or found.name, found.content),
            content=found.content,
        )

    async def _send_file(self, outbound: Outbound, file: File) -> None:
        """Upload a file and send it; whatever was uploaded before is left to its three days."""
        if len(file.content) > FILE_BYTES:
            raise BadRequestError(f"WeCom media/upload: the file is larger than {FILE_BYTES} bytes")
        name, kind = file_name(file.kind, file.name, file.content), _kind_of(file)
        try:
            media_id = await self._client.upload_media(kind, name=name, content=file.content)
        except BadRequestError as error:
            if kind == "file" or isinstance(error, ChannelSetupError):
                raise
            logger.warning(
                "WeCom did not take a picture or recording; sending it as a file",
                extra={"action": "media_refused", "code": error.code},
            )
            kind = "file"
            media_id = await self._client.upload_media(kind, name=name, content=file.content)
        await self._client.send_media(outbound.account_id, outbound.customer_id, kind, media_id, msgid=outbound.key)

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

    async def welcome(self, code: str, greeting: str | Menu, key: str) -> None:
        """Answer an `enter_session` event within the 20 seconds its code lives."""
        if isinstance(greeting, Menu):
            menu = fitted(greeting)
            try:
                await self._client.send_menu_on_event(code, to_msgmenu(menu), msgid=key)
            except BadRequestError as error:
                if error.code not in SHAPE_REFUSED:
                    raise
                logger.warning(
                    "WeCom did not take a greeting; sending it as a list",
                    extra={"action": "menu_refused", "code": error.code},
                )
            else:
                return
            greeting = self.split(menu.text)[0]
        await self._client.send_text_on_event(code, greeting, msgid=key)

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

    async def hand_to_staff(self, account_id: str, customer_id: str, staff_id: str) -> Session:
        """Give the customer to a servicer who receives, else to the account's queue (doc 94669).

        Raises:
            StaffUnavailableError: nobody receives customers now.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        state = await self._client.service_state(account_id, customer_id)
        if state is ServiceState.HUMAN:
            return "staff"
        receiving = [each.name for each in await self._client.servicers(account_id) if each.is_receiving]
        servicer = next((name for name in receiving if staff_id and name.lower() == staff_id.lower()), "")
        if not receiving:
            raise StaffUnavailableError("WeCom kf/servicer/list: nobody of this account receives customers now")
        if servicer:
            await self._client.move(account_id, customer_id, ServiceState.HUMAN, servicer)
            return "staff"
        if state is not ServiceState.QUEUED:
            await self._client.move(account_id, customer_id, ServiceState.QUEUED)
        return "queued"

    def split(self, text: str) -> list[str]:
        """Cut a text into parts kf/send_msg takes whole."""
        return split_text(text, TEXT_BYTES)


def _kind_of(file: File) -> MediaKind:
    """Return what WeCom takes a file as."""
    found, size = format_of(file.content), len(file.content)
    if file.kind == "image" and found in {"jpg", "png"} and size <= PICTURE_BYTES:
        return "image"
    if file.kind == "video" and found == "mp4" and size <= VIDEO_BYTES:
        return "video"
    if file.kind == "voice" and found == "amr" and size <= VOICE_BYTES:
        return "voice"
    return "file"
