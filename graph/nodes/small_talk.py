"""Answer what needs no knowledge: greetings, thanks, pictures nobody can read yet."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import Context
from graph.course import settled
from graph.state import State
from tools.ports import Outbox


async def small_talk(state: State, runtime: Runtime[Context], *, outbox: Outbox) -> State:
    """Send the fixed reply."""
    del runtime
    turn = state["turn"]
    reply = turn["reply"]
    await outbox.say(turn["thread_id"], turn["id"], "small_talk", reply)
    return {"course": settled(state), "messages": [AIMessage(id=f"{turn['id']}:small_talk", content=reply)]}
