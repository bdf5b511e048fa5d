"""Keep what a person settled with the customer."""

from __future__ import annotations

from langgraph.runtime import Runtime

from graph.context import Context, context_of
from graph.history import human_part, spoken
from graph.state import HumanNote, State
from graph.summary import Summariser
from tools.messages import Line

NOTES = 3
"""How many handoffs are remembered."""

HUMAN_LINES = 3
"""What a person said last, where nobody can summarise it."""

LINE_LENGTH = 200


async def remember(state: State, runtime: Runtime[Context], *, summariser: Summariser | None) -> State:
    """Note what was said while a person had the conversation, so that the bot does not ask again.

    This node has no effect outside: a thread that broke off here is handed back already and ends on the next look.
    """
    lines = human_part(state)
    if not lines:
        return {}
    seconds = context_of(runtime).model_timeout_seconds
    summary = await summariser.summarise(spoken(lines), seconds=seconds) if summariser else None
    note: HumanNote = {
        "ticket_id": state["handoff"]["ticket_id"],
        "text": summary or _last_words(lines),
        "is_summary": summary is not None,
    }
    return {"notes": [*(state.get("notes") or []), note][-NOTES:]}


def _last_words(lines: tuple[Line, ...]) -> str:
    said = [line.text[:LINE_LENGTH] for line in lines if line.speaker == "human"]
    return "\n".join(said[-HUMAN_LINES:])
