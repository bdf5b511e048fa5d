"""The human desk inside WeCom: cards and texts to members, in one app chat for all customers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from tools.errors import (
    BadRequestError,
    ChannelError,
    ChannelSetupError,
    DeskError,
    DeskSetupError,
    DeskUnavailableError,
)
from tools.messages import DeskEvent, DeskPlace, DeskPost, File, Media
from tools.wecom import desk_cards
from tools.wecom.app import NO_SUCH_MEMBER, UNKNOWN_AGENT, WecomApp

logger = logging.getLogger(__name__)

AGENT_PREFIX = "wecom:"
"""Before userids and the ids of files: those of two desks may be the same."""

PLACE = DeskPlace(chat_id=0, topic_id=None, desk="wecom")
"""Every conversation is shown in the same chat."""


class WecomDesk:
    """`tools.ports.Desk` over messages to the listed members.

    Cards go to all of them; what is said about a conversation that one of them has goes to that one.
    """

    def __init__(self, app: WecomApp, members: Sequence[str]) -> None:
        self._app = app
        self._members = tuple(members)

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        """Return the app's chat."""
        del post, known
        return PLACE

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        """Show something; there are no message ids to reply to here.

        Raises:
            DeskUnavailableError: no answer, a server error, or too many messages.
            DeskSetupError: the app or its members must be mended first; the message says which.
            DeskError: WeCom refuses this very message.
        """
        del place
        members = self._receivers(post)
        with self._desk_errors(members):
            # What can fail for long comes first: a repeated attempt must not repeat the words.
            if post.file is not None:
                self._report(await self._app.send_file(members, post.file))
            for card in desk_cards.cards(post):
                self._report(await self._app.send_card(members, card))
            # However often the same: two customers' lines may well be.
            for text in desk_cards.texts(post):
                self._report(await self._app.send_text(members, text))
        return 0

    async def mark(self, post: DeskPost, place: DeskPlace) -> None:
        """Say that a person's message was delivered, and to whom.

        Raises:
            DeskError: as for `post`.
        """
        await self.post(post, place)

    async def label(self, post: DeskPost, place: DeskPlace) -> None:
        """There is no place to label here."""

    async def fetch(self, media: Media) -> File:
        """Return a file that a member sent.

        Raises:
            DeskError: as for `post`; not `transient` when it is gone or too large.
        """
        with self._desk_errors(()):
            found = await self._app.download_media(media.ref.removeprefix(AGENT_PREFIX))
        return File(kind=media.kind, name=media.name or found.name or media.kind, content=found.content)

    async def acknowledge(self, event: DeskEvent, text: str) -> None:
        """Answer a member's action with a text.

        Raises:
            DeskError: as for `post`.
        """
        await self.tell(event.agent_id.removeprefix(AGENT_PREFIX), text)

    async def tell(self, member: str, text: str) -> None:
        """Say something to one member.

        Raises:
            DeskError: as for `post`.
        """
        with self._desk_errors((member,)):
            self._report(await self._app.send_text((member,), text))

    async def settle(self, event: DeskEvent, label: str) -> None:
        """Let the card that was pressed show what became of it instead of its buttons.

        Raises:
            DeskError: as for `post`.
        """
        if event.callback_id:
            member = event.agent_id.removeprefix(AGENT_PREFIX)
            with self._desk_errors((member,)):
                await self._app.update_card(event.callback_id, member, label)

    async def check(self) -> str:
        """Try the app's secret without writing to anybody; return what was found in one line.

        Raises:
            DeskError: as for `post`.
        """
        with self._desk_errors(()):
            await self._app.tokens.get()
        return f"app {self._app.agent_id}, {len(self._members)} members: {', '.join(self._members)}"

    async def close(self) -> None:
        """Close the connections."""
        await self._app.aclose()

    def _receivers(self, post: DeskPost) -> tuple[str, ...]:
        holder = "" if post.kind == "card" else post.label.holder_id
        for agent_id in (post.to, holder):
            only = tuple(member for member in self._members if AGENT_PREFIX + member == agent_id)
            if only:
                return only
        return self._members

    def _report(self, missing: Sequence[str]) -> None:
        if missing:
            logger.warning(
                "WeCom does not find some members of NOTIFICATION_CHANNEL",
                extra={"action": "desk_members_missing", "members": ", ".join(missing)},
            )

    @contextlib.contextmanager
    def _desk_errors(self, members: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except ChannelError as error:
            raise self._translated(error, members) from error

    def _translated(self, error: ChannelError, members: Sequence[str]) -> DeskError:
        if error.code in NO_SUCH_MEMBER:
            return DeskSetupError(
                f"WeCom finds none of {', '.join(members)} ({error.code}): mend their userids in NOTIFICATION_CHANNEL,"
                " or put them into the app's 可见范围"
            )
        if error.code == UNKNOWN_AGENT:
            return DeskSetupError(
                f"WECOM_AGENT_ID {self._app.agent_id} is not the app of WECOM_AGENT_SECRET ({error.code}):"
                " copy both from the same app's page"
            )
        if isinstance(error, ChannelSetupError):
            return DeskSetupError(str(error))
        if isinstance(error, BadRequestError):
            return DeskError(str(error))
        return DeskUnavailableError(str(error), retry_after=getattr(error, "retry_after", None))
