"""The desks in their order: which one is asked first, which one comes next, and the groups told in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.database import Connection
from api.desk.timers import DeskLine
from api.outbox import DurableOutbox
from tools.errors import DeskError, DeskSetupError, DeskUnavailableError
from tools.messages import DeskName, File, Media
from tools.ports import Desk

PATIENCE = 2
"""How often a row is tried again at a desk that does not answer before the conversation moves."""

WECOM_MEDIA = "wecom:"
"""Before the id of a file that is with WeCom."""


class Group(Protocol):
    """Where lines are read and nobody answers."""

    async def send(self, text: str) -> None:
        """Post a line.

        Raises:
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desks:
    """Where people answer, in order; a conversation is shown at one of them at a time."""

    desks: Mapping[DeskName, Desk]
    groups: Mapping[str, Group] = field(default_factory=dict)
    """By name."""
    order: Sequence[str] = ()
    """The names of desks and groups as they were configured; empty: the desks' own order."""

    def __bool__(self) -> bool:
        return bool(self.desks)

    @property
    def names(self) -> tuple[DeskName, ...]:
        """The desks in order."""
        return tuple(sorted(self.desks, key=self._stops.index))

    @property
    def _stops(self) -> tuple[str, ...]:
        return tuple(self.order) or tuple(self.desks)

    def starting_with(self, name: DeskName | None) -> tuple[DeskName, ...]:
        """List all desks in the order they are tried, that one first where there is one of that name."""
        names = self.names
        start = names.index(name) if name in names else 0
        return names[start:] + names[:start]

    def groups_after(self, name: DeskName) -> tuple[str, ...]:
        """List the groups whose turn comes between a desk and the next one."""
        return self._groups_before_a_desk(self._stops[self._stops.index(name) + 1 :])

    @property
    def first_groups(self) -> tuple[str, ...]:
        """The groups that are told at once, because no desk comes before them."""
        return self._groups_before_a_desk(self._stops)

    def _groups_before_a_desk(self, stops: Sequence[str]) -> tuple[str, ...]:
        desk = next((number for number, stop in enumerate(stops) if stop in self.desks), len(stops))
        return tuple(stops[:desk])

    def lines(self, outbox: DurableOutbox) -> list[DeskLine]:
        """Make what is reminded after the first desk, in order."""
        rest = self._stops[len(self.first_groups) + 1 :]
        desks = {name: name for name in self.desks}
        return [OtherDesk(outbox, desks[stop]) if stop in desks else GroupLine(outbox, stop) for stop in rest]

    async def fetch(self, media: Media) -> File:
        """Return a file that a person sent, from the desk where they did.

        Raises:
            DeskError: as `tools.ports.Desk.fetch`.
        """
        name: DeskName = "wecom" if media.ref.startswith(WECOM_MEDIA) else "telegram"
        desk = self.desks.get(name)
        if desk is None:
            raise DeskError("the desk where it was sent is not configured any more")
        return await desk.fetch(media)


@dataclass(frozen=True, slots=True)
class OtherDesk:
    """A desk that comes after the first: what nobody took moves there."""

    outbox: DurableOutbox
    name: DeskName

    async def note(self, conn: Connection, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Move the conversation here, unless somebody has it, and say this."""
        await self.outbox.note(conn, thread_id, turn_id, part, text, move_to=self.name)


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group that comes after the first desk."""

    outbox: DurableOutbox
    name: str

    async def note(self, conn: Connection, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell the group that a customer waits; it reads a line of its own."""
        del part, text
        await self.outbox.tell_group(conn, thread_id, turn_id, self.name)


def gives_up(error: DeskError, attempts: int) -> bool:
    """Tell whether a conversation moves to the next desk; who asks to slow down is waited for."""
    if isinstance(error, DeskSetupError):
        return True
    return isinstance(error, DeskUnavailableError) and error.retry_after is None and attempts >= PATIENCE
