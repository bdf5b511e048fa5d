"""The rows behind an action at the desk: which conversation it belongs to, the action itself, what it uses up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from api.database import Connection, Row, personal
from api.desk.news import NEWS_THREAD
from api.media import stored
from api.outbox import answer_to
from tools.messages import DeskEvent, DeskPlace

IN_FLIGHT = timedelta(seconds=15)
"""How long a desk post may be on its way before an answer to it counts as unknown."""


async def thread_of(conn: Connection, event: DeskEvent) -> str | None:
    """Find the conversation an action belongs to."""
    if event.place.desk == "wecom":
        return await _thread_named(conn, event)
    if event.action == "edited":
        return await _thread_of_edited(conn, event)
    chat_id = event.place.chat_id
    row = await _one(
        conn,
        "select thread_id from tickets where ticket_id = %s"
        " union all select thread_id from desk_places where chat_id = %s and topic_id = %s"
        " union all select thread_id from desk_messages where chat_id = %s and message_id = %s"
        " union all select thread_id from desk_messages where chat_id = %s and message_id = %s and %s",
        (
            event.ticket_id,
            chat_id,
            event.place.topic_id,
            chat_id,
            event.reply_to,
            chat_id,
            event.message_id,
            # The message a button is under is the bot's own.
            event.callback_id is not None,
        ),
    )
    # Nobody is there to be answered.
    return str(row["thread_id"]) if row and row["thread_id"] != NEWS_THREAD else None


async def _thread_named(conn: Connection, event: DeskEvent) -> str | None:
    """Find the conversation a button names: one chat holds them all, so its place tells nothing."""
    number = int(event.subject) if event.subject.isdecimal() and len(event.subject) < 19 else None
    row = await _one(
        conn,
        "select thread_id from tickets where ticket_id in (%(ticket)s, %(subject)s)"
        " union all select thread_id from inbox where origin = 'desk' and id = %(number)s"
        " union all select thread_id from outbox where destination = 'desk' and message_key = %(subject)s"
        " union all select t.thread_id from kb_drafts d join tickets t using (ticket_id) where d.id = %(draft)s",
        {
            "ticket": event.ticket_id,
            "subject": event.subject or None,
            "number": number if event.action in {"confirm", "cancel"} else None,
            "draft": number if event.action in {"approve", "reject"} else None,
        },
    )
    return str(row["thread_id"]) if row else None


async def _thread_of_edited(conn: Connection, event: DeskEvent) -> str | None:
    """Find what was sent of a message that is edited now; None when nothing was."""
    row = await _one(
        conn,
        "select thread_id from inbox where origin = 'desk' and payload ->> 'message_id' = %s"
        " and payload ->> 'chat_id' = %s and kind = 'text'"
        " and (outcome is null or outcome in ('handled', 'held_back', 'confirmed')) limit 1",
        (str(event.message_id), str(event.place.chat_id)),
    )
    return str(row["thread_id"]) if row else None


async def is_posting(conn: Connection) -> bool:
    """Tell whether something is on its way to the desk that an action may belong to."""
    row = await _one(
        conn,
        "select 1 from outbox where destination = 'desk' and state in ('pending', 'sending') and tried_at > now() - %s",
        (IN_FLIGHT,),
    )
    return row is not None


async def insert_action(conn: Connection, thread_id: str, event: DeskEvent) -> int | None:
    """Store an action; None when it is stored already."""
    payload: dict[str, Any] = {
        "text": event.text,
        "action": event.action,
        "agent": event.agent,
        "ticket_id": event.ticket_id,
        "chat_id": event.place.chat_id,
        "message_id": event.message_id,
        "by": answer_to(event),
    }
    if event.media is not None:
        payload["media"] = stored(event.media)
    row = await _one(
        conn,
        "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at)"
        " values (%s, 'desk', 'desk', %s, %s, %s, now()) on conflict do nothing returning id",
        (thread_id, event.key, event.action, personal(payload)),
    )
    return int(row["id"]) if row else None


async def is_known(conn: Connection, event: DeskEvent) -> bool:
    """Tell whether an action is stored already."""
    return await _one(conn, "select 1 from inbox where origin = 'desk' and message_id = %s", (event.key,)) is not None


async def claim_held(conn: Connection, thread_id: str, subject: str, outcome: str) -> Mapping[str, Any] | None:
    """Take a text that was held back, once."""
    row = await _one(
        conn,
        "update inbox set outcome = %s where id = %s and thread_id = %s and outcome = 'held_back' returning payload",
        (outcome, int(subject) if subject.isdigit() else 0, thread_id),
    )
    return row["payload"] if row else None


async def claim_held_of(conn: Connection, agent_id: str, subject: str) -> Mapping[str, Any] | None:
    """Take a text that a person was asked about, once, whichever customer they choose."""
    row = await _one(
        conn,
        "update inbox set outcome = 'confirmed' where id = %s and origin = 'desk' and outcome = 'held_back'"
        " and payload #>> '{by,to}' = %s returning payload",
        (int(subject) if subject.isdigit() else 0, agent_id),
    )
    return row["payload"] if row else None


async def come_to(conn: Connection, thread_id: str, place: DeskPlace) -> DeskPlace | None:
    """Show a conversation at the desk where somebody acts on it; return the place it left, None when it is there.

    What they acted on stands there, so the ticket's card need not be shown again.
    """
    left = await _one(
        conn,
        "with left_place as (select * from desk_places where thread_id = %(thread)s and desk <> %(desk)s for update)"
        " update desk_places p set desk = %(desk)s,"
        " chat_id = case when %(desk)s = 'telegram' then %(chat)s else p.chat_id end,"
        " topic_id = case when %(desk)s = 'telegram' then %(topic)s else p.topic_id end"
        " from left_place l where p.thread_id = l.thread_id returning l.chat_id, l.topic_id, l.desk",
        {"desk": place.desk, "chat": place.chat_id, "topic": place.topic_id, "thread": thread_id},
    )
    if left is None:
        return None
    await conn.execute(
        "update tickets set card_desk = %s where thread_id = %s and closed_at is null", (place.desk, thread_id)
    )
    return DeskPlace(chat_id=left["chat_id"], topic_id=left["topic_id"], desk=left["desk"])


async def claim_offer(conn: Connection, thread_id: str, subject: str, number: str) -> str | None:
    """Take one of the texts that were offered, once."""
    if not number.isdigit() or int(number) < 1:
        return None
    row = await _one(
        conn,
        "update outbox set"
        " payload = jsonb_set(payload, '{used}', coalesce(payload -> 'used', '[]') || to_jsonb(%s::text))"
        " where message_key = %s and thread_id = %s and not coalesce(payload -> 'used', '[]') ? %s"
        " returning payload -> 'offers' ->> %s::int as text",
        (number, subject, thread_id, number, int(number) - 1),
    )
    return row["text"] if row else None


async def _one(conn: Connection, statement: str, parameters: tuple[object, ...] | Mapping[str, object]) -> Row | None:
    return await (await conn.execute(statement.encode(), parameters)).fetchone()
