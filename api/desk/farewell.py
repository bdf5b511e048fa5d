"""A desk that a conversation leaves is told: nobody there shall go on waiting, or write to a customer in vain."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from api.database import Connection
from api.outbox import DurableOutbox
from graph.context import Texts
from tools.messages import DeskName, DeskPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A conversation went from one desk to another."""

    thread_id: str
    occasion: str
    """Names it: it is told once."""
    left: DeskPlace
    to: DeskName


async def say_it_left(conn: Connection, outbox: DurableOutbox, texts: Texts, move: Move) -> None:
    """Say at the place that was left where the conversation is now, within the caller's transaction.

    It is said there or nowhere: `is_farewell` keeps it from following the conversation, and from being tried again.
    """
    text = texts.render("desk_left", desk=texts.render(f"desk_name_{move.to}"))
    to = {"to": "", "at": asdict(move.left), "is_farewell": True}
    await outbox.note(conn, move.thread_id, move.occasion, "left", text, to=to)
