"""Take down what a person said outside a wait."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import Context
from graph.state import State
from tools.ports import Outbox


async def relay(state: State, runtime: Runtime[Context], *, outbox: Outbox) -> State:
    """Send a desk agent's words to the customer; staff in the channel's own client have already said theirs."""
    del runtime
    turn = state["turn"]
    text = "\n".join(line["text"] for line in turn["lines"])
    if turn["speaker"] == "human":
        await outbox.say(turn["thread_id"], turn["id"], "human", text)
    return {"messages": [AIMessage(id=f"{turn['id']}:human", name="human", content=text)]}
