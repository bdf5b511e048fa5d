"""What becomes of a person's message: a mark on it once the customer has it, or why the customer does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.database import Connection, Row
from api.deliveries import Delivery
from api.outbox import DurableOutbox
from graph.context import Texts

LOW_BUDGET = 2
"""From so few messages left on, each one is told."""

TEXT_SHOWN = 200

REPLIES = """
select i.turn_id, i.kind, i.payload ->> 'agent' as agent, i.payload -> 'by' as by,
    (i.payload ->> 'message_id')::bigint as message_id,
    not exists (
        select 1 from outbox o left join outbox whole on whole.id = o.merged_into
        where o.thread_id = i.thread_id and o.turn_id = i.turn_id and o.destination = 'customer'
        and o.part like 'human%%' and coalesce(whole.state, o.state) <> 'sent'
    ) as is_complete
from inbox i
where i.thread_id = %(thread)s and i.origin = 'desk' and i.turn_id in (
    select turn_id from outbox
    where thread_id = %(thread)s and (id = %(row)s or merged_into = %(row)s) and part like 'human%%'
)
order by i.id
"""
"""The people's messages that went out with a row, wholly or in part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Something that did not reach the customer."""

    thread_id: str
    key: str
    error: str
    text: str


async def mark_delivered(
    conn: Connection, outbox: DurableOutbox, texts: Texts, delivery: Delivery, units_left: int
) -> None:
    """Mark every message of a person that a delivery completes; with it, how many more there may be."""
    for reply in await _replies_in(conn, delivery.thread_id, delivery.id):
        if not reply["is_complete"] or reply["message_id"] is None:
            continue
        words = texts.render("desk_sent", left=str(max(0, units_left))) if units_left <= LOW_BUDGET else ""
        if reply["kind"] in {"draft", "send"}:
            # The card is not theirs: the mark says who sent what stands on it.
            words = "\n".join(filter(None, [texts.render("desk_sent_for", agent=reply["agent"] or "?"), words]))
        await outbox.note(
            conn,
            delivery.thread_id,
            reply["turn_id"],
            "mark",
            words,
            kind="notice" if reply["kind"] in {"draft", "send"} else "sent",
            reply_to=reply["message_id"],
            to=reply["by"],
        )


async def tell_undelivered(conn: Connection, outbox: DurableOutbox, texts: Texts, lost: Lost, turn_id: str) -> None:
    """Tell the desk what did not arrive, under the very message where a person wrote it."""
    cursor = await conn.execute("select id from outbox where message_key = %s", (lost.key,))
    row = await cursor.fetchone()
    replies = await _replies_in(conn, lost.thread_id, row["id"]) if row else ()
    note = texts.render("desk_undelivered", error=lost.error, text=lost.text[:TEXT_SHOWN])
    targets = {reply["message_id"]: reply["by"] for reply in replies} or {None: None}
    for number, (message_id, by) in enumerate(targets.items()):
        part = "undelivered" if number == 0 else f"undelivered.{number}"
        await outbox.note(conn, lost.thread_id, turn_id, part, note, reply_to=message_id, to=by)


async def _replies_in(conn: Connection, thread_id: str, row_id: int) -> Sequence[Row]:
    """Return the people's messages that are part of a row."""
    cursor = await conn.execute(REPLIES, {"thread": thread_id, "row": row_id})
    return await cursor.fetchall()
