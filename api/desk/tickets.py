"""The tickets as the desk sees them: who has one, for how long, and what the conversation may still take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.database import Connection, Row
from tools.messages import DeskEvent, DeskLabel, DeskStatus, SendLimits

SNOOZE = timedelta(minutes=10)

COLLEAGUES_AT_MOST = 8
COLLEAGUE_SEEN = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One ticket; its row is locked."""

    ticket_id: str
    is_open: bool
    draft: str
    is_draft_sent: bool
    holder_id: str
    """Who has it; empty when nobody does, or when they did nothing for so long that the lock ended."""
    holder: str
    taken_at: datetime | None
    is_snoozed: bool
    wants_entry: bool

    def is_held_against(self, event: DeskEvent) -> bool:
        """Whether somebody else has it."""
        return self.is_open and bool(self.holder_id) and self.holder_id != agent_key(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a conversation may still take; its row is locked."""

    units_left: int
    seconds_left: float
    """Until the channel's window closes; negative when it has."""
    muted_by: str
    """Who told the bot to be silent; empty when nobody did."""
    session: str | None


def agent_key(event: DeskEvent) -> str:
    """Tell people apart: by their id, and only without one by their name."""
    return event.agent_id or event.agent


async def standing(conn: Connection, thread_id: str, limits: SendLimits) -> Standing:
    """Lock a conversation and tell what it may still take; what waits to be sent counts as sent."""
    row = await _one(
        conn,
        "select units_used, session_state, muted_at, muted_by,"
        " extract(epoch from now() - last_customer_at)::float8 as silence,"
        " (select count(*)::int from outbox o where o.thread_id = c.thread_id and destination = 'customer'"
        "  and state in ('pending', 'sending')) as waiting"
        " from conversations c where thread_id = %s for update",
        (thread_id,),
    )
    if row is None:
        return Standing(units_left=limits.units, seconds_left=limits.window_seconds, muted_by="", session=None)
    silence = float("inf") if row["silence"] is None else row["silence"]
    return Standing(
        units_left=max(0, limits.units - row["units_used"] - row["waiting"]),
        seconds_left=limits.window_seconds - silence,
        muted_by=(row["muted_by"] or "?") if row["muted_at"] else "",
        session=row["session_state"],
    )


async def ticket_for(conn: Connection, thread_id: str, event: DeskEvent, lock_for: timedelta) -> Ticket | None:
    """Lock the ticket an action is about: a button names it, everything else means the open one."""
    is_pressed = event.callback_id is not None and event.ticket_id is not None
    row = await _one(
        conn,
        "select *, taken_by is not null and acted_at > now() - %s as is_held,"
        " coalesce(snoozed_until > now(), false) as is_snoozed from tickets where thread_id = %s"
        " and case when %s then ticket_id = %s else closed_at is null end order by opened_at desc limit 1 for update",
        (lock_for, thread_id, is_pressed, event.ticket_id),
    )
    if row is None:
        return None
    return Ticket(
        ticket_id=row["ticket_id"],
        is_open=row["closed_at"] is None,
        draft=row["draft"],
        is_draft_sent=row["draft_sent_at"] is not None,
        holder_id=row["taken_by"] if row["is_held"] else "",
        holder=row["taken_name"] if row["is_held"] else "",
        taken_at=row["taken_at"] if row["is_held"] else None,
        is_snoozed=row["is_snoozed"],
        wants_entry=row["wants_entry"],
    )


async def hold(conn: Connection, ticket: Ticket, agent_id: str, name: str) -> None:
    """Let a person have a ticket; what they do keeps it theirs, and ends a snooze."""
    await conn.execute(
        "update tickets set taken_at = case when %(is_theirs)s then taken_at else now() end, acted_at = now(),"
        " taken_by = %(agent)s, taken_name = %(name)s, snoozed_until = null, lapsed_at = null"
        " where ticket_id = %(ticket)s",
        {"is_theirs": ticket.holder_id == agent_id, "agent": agent_id, "name": name, "ticket": ticket.ticket_id},
    )


async def release(conn: Connection, ticket: Ticket) -> None:
    """Let nobody have a ticket."""
    await conn.execute(
        "update tickets set taken_by = null, taken_name = '', taken_at = null, acted_at = null where ticket_id = %s",
        (ticket.ticket_id,),
    )


async def snooze(conn: Connection, ticket: Ticket) -> datetime:
    """Put a ticket off; return until when."""
    row = await _one(
        conn,
        "update tickets set snoozed_until = now() + %s, acted_at = now() where ticket_id = %s returning snoozed_until",
        (SNOOZE, ticket.ticket_id),
    )
    assert row is not None, "locked by ticket_for"
    until = row["snoozed_until"]
    assert isinstance(until, datetime)
    return until


async def mark_ending(conn: Connection, ticket: Ticket, action: str) -> bool:
    """Record how a ticket ends; False when that waits to be done already."""
    waiting = await _one(
        conn,
        "select 1 from inbox i join tickets t using (thread_id) where t.ticket_id = %s and i.origin = 'desk'"
        " and i.handled_at is null and i.kind in ('done', 'close') offset 1",
        (ticket.ticket_id,),
    )
    if waiting is None:
        await conn.execute("update tickets set ended_by = %s where ticket_id = %s", (action, ticket.ticket_id))
    return waiting is None


DRAFT_LABEL = b"""
insert into answer_labels (thread_id, turn_id, question, shown, entry_id, source, confidence)
select thread_id, ticket_id || ':draft', content, jsonb_path_query_array(hits, '$[*].entry_id'),
    hits #>> '{0,entry_id}', 'desk', confidence
from unknown_questions
where ticket_id = %(ticket)s and jsonb_array_length(hits) > 0
on conflict do nothing
"""


async def use_draft(conn: Connection, ticket: Ticket) -> None:
    """Record that the draft went out; it does so once.

    Who sends the draft of one question unchanged says that its entry was the right one: a label for calibration.
    """
    await conn.execute("update tickets set draft_sent_at = now() where ticket_id = %s", (ticket.ticket_id,))
    row = await _one(conn, "select content from unknown_questions where ticket_id = %s", (ticket.ticket_id,))
    if row is not None and "\n" not in row["content"]:
        await conn.execute(DRAFT_LABEL, {"ticket": ticket.ticket_id})


async def let_lapse(conn: Connection, lock_for: timedelta, now: datetime) -> Sequence[str]:
    """Record whose locks have ended; return their conversations."""
    cursor = await conn.execute(
        "update tickets set lapsed_at = %s where closed_at is null and taken_by is not null and lapsed_at is null"
        " and acted_at <= %s returning thread_id",
        (now, now - lock_for),
    )
    return [row["thread_id"] for row in await cursor.fetchall()]


async def mark_transferred(conn: Connection, thread_id: str) -> None:
    """Record that the customer was given to the staff in the channel's client."""
    await conn.execute(
        "update tickets set transferred_at = now() where thread_id = %s and closed_at is null", (thread_id,)
    )


async def transferred(conn: Connection, thread_id: str) -> str | None:
    """Return the open ticket whose customer was given to the staff in the channel's client."""
    row = await _one(
        conn,
        "select ticket_id from tickets where thread_id = %s and closed_at is null and transferred_at is not null",
        (thread_id,),
    )
    return str(row["ticket_id"]) if row else None


async def end_transferred(conn: Connection, ticket_id: str) -> None:
    """Record that the staff have finished with a ticket's customer."""
    await conn.execute(
        "update tickets set ended_by = 'transfer', closed_at = coalesce(closed_at, now()) where ticket_id = %s",
        (ticket_id,),
    )


async def want_entry(conn: Connection, ticket: Ticket) -> None:
    """Record that an article should be made of it."""
    await conn.execute("update tickets set wants_entry = true where ticket_id = %s", (ticket.ticket_id,))


async def set_muted(conn: Connection, thread_id: str, by: str | None) -> None:
    """Tell the bot to be silent in a conversation, or no longer."""
    await conn.execute(
        "update conversations set muted_at = case when %(by)s::text is null then null else now() end,"
        " muted_by = coalesce(%(by)s, '') where thread_id = %(thread)s",
        {"by": by, "thread": thread_id},
    )


async def is_muted(conn: Connection, thread_id: str) -> bool:
    """Tell whether the bot shall be silent."""
    return (
        await _one(conn, "select 1 from conversations where thread_id = %s and muted_at is not null", (thread_id,))
        is not None
    )


async def remember_agent(conn: Connection, event: DeskEvent) -> None:
    """Keep who acts at the desk."""
    await conn.execute(
        "insert into desk_agents (agent_id, name) values (%s, %s)"
        " on conflict (agent_id) do update set name = excluded.name, seen_at = now()",
        (agent_key(event), event.agent),
    )


async def colleagues(conn: Connection, event: DeskEvent) -> Sequence[Row]:
    """List whom a ticket can be given to, the last one seen first; anonymous people cannot be named."""
    cursor = await conn.execute(
        "select agent_id, name from desk_agents where agent_id <> %s and agent_id ~ '^[0-9]{1,20}$'"
        " and seen_at > now() - %s order by seen_at desc limit %s",
        (agent_key(event), COLLEAGUE_SEEN, COLLEAGUES_AT_MOST),
    )
    return await cursor.fetchall()


async def colleague(conn: Connection, agent_id: str) -> str | None:
    """Return somebody's name; None for nobody known."""
    row = await _one(conn, "select name from desk_agents where agent_id = %s", (agent_id,))
    return str(row["name"]) if row else None


async def asked_at(conn: Connection, ticket_id: str) -> float | None:
    """Return when the customer wrote what opened a ticket, in unix seconds."""
    row = await _one(
        conn,
        "select extract(epoch from coalesce((select min(sent_at) from inbox where turn_id = %s), opened_at))::float8"
        " as at from tickets where ticket_id = %s",
        (ticket_id, ticket_id),
    )
    return None if row is None else float(row["at"])


async def source_of(conn: Connection, thread_id: str) -> str:
    """Return what the link the customer last came through was made for; empty when the channel did not tell."""
    row = await _one(
        conn,
        "select source from conversations where thread_id = %s",
        (thread_id,),
    )
    return str(row["source"]) if row else ""


async def label_of(conn: Connection, thread_id: str) -> DeskLabel:
    """Tell whose turn it is in a conversation."""
    row = await _one(
        conn,
        "select c.muted_at is not null as is_muted, t.ticket_id, t.closed_at, t.ended_by,"
        " case when t.lapsed_at is null then t.taken_by end as taken_by,"
        " case when t.lapsed_at is null then t.taken_name else '' end as taken_name,"
        " coalesce(t.snoozed_until > now(), false) as is_snoozed from conversations c"
        " left join lateral (select * from tickets where thread_id = c.thread_id"
        "  order by closed_at is null desc, opened_at desc limit 1) t on true where c.thread_id = %s",
        (thread_id,),
    )
    if row is None:
        return DeskLabel()
    if row["ticket_id"] is None or row["closed_at"] is not None:
        return DeskLabel(is_muted=row["is_muted"], is_closed=row["ended_by"] == "close")
    status: DeskStatus = "snoozed" if row["is_snoozed"] else "taken" if row["taken_by"] else "waiting"
    return DeskLabel(status=status, holder=row["taken_name"], holder_id=row["taken_by"] or "", is_muted=row["is_muted"])


async def _one(conn: Connection, statement: str, parameters: tuple[object, ...]) -> Row | None:
    return await (await conn.execute(statement.encode(), parameters)).fetchone()
