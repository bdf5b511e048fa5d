"""A customer's file at the desk: fetched when it is shown, and told in words where it cannot be shown."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from graph.context import Texts
from tools.errors import ChannelError, DeskError, DeskUnavailableError, ToolError, TopicGoneError
from tools.messages import DeskPlace, DeskPost, Media
from tools.ports import Channel, Desk

logger = logging.getLogger(__name__)

PATIENCE = 5
"""How often a file is tried before words must do: what waits behind it in the line may be more urgent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskFiles:
    """Puts files into posts, or words in their place."""

    channel: Channel
    texts: Texts

    async def fetched(self, post: DeskPost, media: Media, *, attempts: int) -> DeskPost:
        """Return the post with its file; with words about it when there is none to be had any more.

        Raises:
            ChannelError: it may be had later.
        """
        try:
            return replace(post, file=await self.channel.fetch(media))
        except ChannelError as error:
            if error.transient and attempts < PATIENCE:
                raise
            return self._in_words(post, error)

    async def post(self, desk: Desk, post: DeskPost, place: DeskPlace, *, attempts: int) -> int:
        """Show a post; when the desk does not take its file, without it.

        Raises:
            DeskError: as `tools.ports.Desk.post`.
        """
        try:
            return await desk.post(post, place)
        except TopicGoneError:
            raise
        except DeskError as error:
            if post.file is None or not _is_the_files(error, attempts):
                raise
            return await desk.post(self._in_words(post, error), place)

    def _in_words(self, post: DeskPost, error: ToolError) -> DeskPost:
        logger.warning("A file is not shown at the desk", extra={"action": "desk_file_lost", "error": str(error)})
        return replace(post, file=None, text=self.texts.render("desk_file_lost", text=post.text, error=str(error)))


def _is_the_files(error: DeskError, attempts: int) -> bool:
    """Tell whether the desk may well take words: it refused the file, or fell silent over it again and again."""
    if isinstance(error, DeskUnavailableError):
        return error.retry_after is None and attempts >= PATIENCE
    return not error.transient
