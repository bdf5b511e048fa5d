"""What members do in the app's chat, into the inbox."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from api.desk.acts import DeskAnswer
from api.desk.inbox import DeskInbox
from graph.context import Texts
from tools.errors import DeskError
from tools.messages import DeskAction, DeskEvent
from tools.wecom.desk import WecomDesk
from tools.wecom.desk_updates import Stranger, parse_act

logger = logging.getLogger(__name__)

FollowUp = Callable[[], Awaitable[None]]
"""What is said once the action is stored and WeCom has its answer."""

SETTLED: Mapping[DeskAction, str] = {
    "take": "desk_settled_take",
    "done": "desk_settled_done",
    "close": "desk_settled_close",
    "transfer": "desk_settled_transfer",
    "confirm": "desk_settled_confirm",
    "cancel": "desk_settled_cancel",
}
"""What the card shows instead of its buttons after a press, as a prompt's name."""

REFUSED_AT_MOST = 1000
"""Strangers remembered; beyond them none is answered."""


class WecomDeskIntake:
    """Takes members' callbacks: stored first, answered after."""

    def __init__(self, inbox: DeskInbox, desk: WecomDesk, texts: Texts, *, members: Sequence[str]) -> None:
        self._inbox = inbox
        self._desk = desk
        self._texts = texts
        self._members = tuple(members)
        self._refused: set[str] = set()

    async def take(self, fields: Mapping[str, Any]) -> FollowUp | None:
        """Store one action; return what is left to be said. Whoever is not listed is told so once and not heard."""
        event = parse_act(fields, members=self._members)
        if event is None:
            return None
        if isinstance(event, Stranger):
            return self._refusal(event.member)
        if event.action in {"help", "unsupported"}:
            name = "desk_help_wecom" if event.action == "help" else "desk_unsupported"
            return partial(self._tell, event, self._texts.render(name))
        answer = await self._inbox.store(event)
        if answer.outcome == "repeated":
            return None
        return partial(self._answer, event, answer)

    def _refusal(self, member: str) -> FollowUp | None:
        if member in self._refused or len(self._refused) >= REFUSED_AT_MOST:
            return None
        self._refused.add(member)
        logger.info("Somebody who is not listed wrote to the app", extra={"action": "desk_stranger", "member": member})
        return partial(self._try, lambda: self._desk.tell(member, self._texts.render("desk_stranger")))

    async def _answer(self, event: DeskEvent, answer: DeskAnswer) -> None:
        if answer.outcome == "unknown":
            name = "desk_nobody_held" if event.callback_id is None else "desk_stale"
            await self._tell(event, self._texts.render(name))
        elif event.callback_id is None:
            # What was not pressed was answered where it was stored, in a row.
            return
        elif answer.outcome in {"stored", "answered"} and event.action in SETTLED:
            label = self._texts.render(SETTLED[event.action])
            await self._try(lambda: self._desk.settle(event, label))
        elif answer.word:
            await self._tell(event, answer.word)

    async def _tell(self, event: DeskEvent, text: str) -> None:
        await self._try(lambda: self._desk.acknowledge(event, text))

    async def _try(self, say: Callable[[], Awaitable[None]]) -> None:
        try:
            await say()
        except DeskError as error:
            logger.warning("Not acknowledged", extra={"action": "acknowledge_failed", "error": str(error)})
