"""The bot beside a person: what it would answer, decided without touching the conversation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from langchain_core.messages import AnyMessage

from graph.builder import build_assistant
from graph.context import Context, Ports
from graph.judge import is_for_a_person
from graph.questions import answer_of
from graph.state import Assistance, State, Turn
from kb.errors import KbError

logger = logging.getLogger(__name__)

REMEMBERED = ("questions", "offered", "notes")
"""What of a conversation an answer may depend on. Not the menu: a handoff settles it."""


class Assistant:
    """Reads a turn of a conversation that a person has; the run it makes is its own and is not kept."""

    def __init__(self, ports: Ports) -> None:
        self._graph = build_assistant(ports).compile()
        self._texts = ports.texts

    async def assist(self, values: State, messages: Sequence[AnyMessage], turn: Turn, context: Context) -> State | None:
        """Return what the bot is sure of and the questions it read, as an update; None when it is sure of nothing.

        A knowledge base that is away leaves everything to the person.
        """
        known = {name: value for name, value in values.items() if name in REMEMBERED}
        # Ids that are there already come from an attempt before this one.
        history = {message.id: message for message in [*values["messages"], *messages]}
        run_input = cast("State", {**known, "messages": list(history.values()), "turn": turn})
        try:
            made = cast("State", await self._graph.ainvoke(run_input, context=context))
        except KbError as error:
            extra = {"action": "assist_failed", "turn_id": turn["id"], "error": str(error)}
            logger.warning("Not looked up beside a person", extra=extra)
            return None
        is_free = made["turn"]["intent"] == "question" and not is_for_a_person(made["turn"])
        text, sources = answer_of(made["questions"]) if is_free else ("", [])
        if not text:
            return None
        assistance: Assistance = {"turn_id": turn["id"], "text": text, "sources": sources}
        return {"assistance": assistance, "questions": made["questions"]}

    def note(self, assistance: Assistance) -> str:
        """Tell the desk what was answered."""
        return self._texts.render("desk_assisted", text=assistance["text"])
