"""A conversation in the terminal, everything in memory."""

from __future__ import annotations

import asyncio
import uuid

from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console

from api.settings import load_settings
from graph.builder import build
from graph.context import Context
from graph.conversation import Conversation, CustomerLine
from graph.sample import sample_ports
from tools.memory import MemoryOutbox

THREAD_ID = "terminal:chat:you"


async def chat_in_terminal() -> None:
    """Read lines until the end of input; show what the bot says and which tickets it opens."""
    load_settings()  # a wrong variable is one line here, and a traceback later
    console, outbox = Console(), MemoryOutbox()
    graph = build(sample_ports(outbox)).compile(checkpointer=InMemorySaver())
    # No person is at this desk: the bot says so and stays in the conversation.
    conversation = Conversation(graph, outbox, Context(has_desk=False))
    console.print("以客户身份提问,Ctrl-D 结束。")
    while (text := await asyncio.to_thread(_read)) is not None:
        said, tickets = len(outbox.said), len(outbox.tickets)
        turn_id = uuid.uuid4().hex
        await conversation.customer_turn(
            THREAD_ID, turn_id, [CustomerLine(message_id=f"{turn_id}-m", kind="text", text=text)]
        )
        for reply in outbox.texts[said:]:
            console.print(f"机器人: {reply}", markup=False)
        for ticket in list(outbox.tickets.values())[tickets:]:
            confidence = "" if ticket.confidence is None else f", 把握 {ticket.confidence:.0%}"
            console.print(f"  (工单: {ticket.question} — {ticket.reason}{confidence})", style="dim", markup=False)


def _read() -> str | None:
    try:
        return input("客户: ")
    except EOFError:
        return None
