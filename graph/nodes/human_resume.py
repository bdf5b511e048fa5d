"""Wait for a person and pass on what they say."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from graph.context import Context, Texts
from graph.state import State
from tools.messages import HumanReply
from tools.ports import Outbox


async def human_resume(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts) -> State:
    """Stop until the desk answers; the node runs again for each further answer until the person is done.

    Nothing may come before the interrupt: on resume the node starts again from its first line. The name of this
    node is part of the checkpoint format: threads wait under it.
    """
    reply = HumanReply(**interrupt({"ticket_id": state["handoff"]["ticket_id"]}))
    del runtime
    thread_id, handoff = state["turn"]["thread_id"], state["handoff"]
    if reply.action == "text":
        await outbox.say(thread_id, reply.reply_id, "human", reply.text)
        return {"messages": [AIMessage(id=f"{reply.reply_id}:human", name="human", content=reply.text)]}
    await outbox.close_ticket(handoff["ticket_id"])
    update: State = {"handoff": {**handoff, "is_open": False, "closed_by": reply.reply_id}}
    # A bot that takes over by itself says what its caller found fit to say; who closes says nothing.
    text = reply.text if reply.action == "resume" else texts.render("handed_back")
    if text and reply.action != "close":
        await outbox.say(thread_id, reply.reply_id, "handed_back", text)
        update["messages"] = [AIMessage(id=f"{reply.reply_id}:handed_back", content=text)]
    return update
