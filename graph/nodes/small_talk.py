"""Answer what needs no knowledge: greetings, thanks, pictures nobody can read yet."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import Context, Texts
from graph.course import settled
from graph.lines import kind_word
from graph.state import State
from tools.ports import Outbox


async def small_talk(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts) -> State:
    """Send the fixed reply."""
    del runtime
    turn = state["turn"]
    # Checkpoints of earlier versions, stopped between intake and here, have no reply to what cannot be read.
    reply = turn.get("reply") or texts.render("unsupported", kind=kind_word(turn["lines"], default="这类"))
    await outbox.say(turn["thread_id"], turn["id"], "small_talk", reply)
    return {"course": settled(state), "messages": [AIMessage(id=f"{turn['id']}:small_talk", content=reply)]}
