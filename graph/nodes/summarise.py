"""Keep a long conversation short: its older part becomes a summary, after the customer has their answer."""

from __future__ import annotations

from langchain_core.messages import RemoveMessage
from langgraph.runtime import Runtime

from graph.context import Context, context_of
from graph.history import SUMMARY_WORD, older_messages, write_down
from graph.state import State
from graph.summary import Summariser

MOST_MESSAGES = 60
"""Messages above which the older part goes, summary or not."""


async def summarise(state: State, runtime: Runtime[Context], *, summariser: Summariser | None) -> dict[str, object]:
    """Replace the older messages by a summary that takes in the one before; without a model they just go.

    A summary that did not work out is tried again after the next turn. This node has no effect outside.
    """
    older = older_messages(state)
    removed = [RemoveMessage(id=message.id) for message in older if message.id]
    if summariser is None:
        return {"messages": removed}
    before = state.get("summary")
    lines = [*([f"{SUMMARY_WORD}: {before['text']}"] if before else []), *write_down(older)]
    seconds = context_of(runtime).model_timeout_seconds
    text = await summariser.summarise(lines, seconds=seconds, prompt="conversation_summary")
    if text:
        return {"messages": removed, "summary": {"text": text}}
    return {"messages": removed} if len(state["messages"]) >= MOST_MESSAGES else {}
