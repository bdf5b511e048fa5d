"""Which customer a person means, at a desk whose one chat holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.database import Connection, Row
from api.desk.tickets import agent_key
from tools.messages import DeskEvent

CHOICES_AT_MOST = 6
"""Buttons a card has at most in WeCom."""

HELD_AT_MOST = 100

# Another of theirs waits for a word: which one do they mean? Counted from what they last did about that one, because
# what they did about the first may be younger than the line they are reading.
HELD = b"""
select t.ticket_id, t.thread_id, c.customer_name, c.customer_id, exists (
    select 1 from inbox i where i.thread_id = t.thread_id and i.origin = 'customer' and i.received_at > t.acted_at
) as has_news
from tickets t join conversations c using (thread_id)
where t.taken_by = %s and t.closed_at is null order by t.acted_at desc nulls last, t.opened_at desc limit %s
"""
WAITING = b"""
select t.ticket_id, t.thread_id, c.customer_name, c.customer_id
from tickets t join conversations c using (thread_id) join desk_places p using (thread_id)
where t.taken_by is null and t.closed_at is null and p.desk = %s
order by t.priority = 'high' desc, t.opened_at limit %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A customer who may be meant."""

    ticket_id: str
    thread_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Who is meant: the first, and with more than one it has to be asked."""

    choices: tuple[Choice, ...]

    @property
    def thread_id(self) -> str | None:
        """The conversation; None when the person has none."""
        return self.choices[0].thread_id if self.choices else None

    @property
    def is_ambiguous(self) -> bool:
        """Whether it could be another."""
        return len(self.choices) > 1


async def addressee(conn: Connection, event: DeskEvent) -> Addressee:
    """Tell which customer an action without a card is about: the one the person has and was at last."""
    if event.action == "take":
        rows = await _rows(conn, WAITING, event.place.desk, CHOICES_AT_MOST)
        if rows:
            return Addressee(choices=tuple(map(_choice, rows)))
    first, others = await _held(conn, event)
    news = [row for row in others if row["has_news"]]
    quiet = [row for row in others if not row["has_news"]] if news else []
    return Addressee(choices=tuple(map(_choice, [*first, *news, *quiet][:CHOICES_AT_MOST])))


async def _held(conn: Connection, event: DeskEvent) -> tuple[Sequence[Row], Sequence[Row]]:
    """Return the ticket that the person was at last, if any, and their others."""
    rows = await _rows(conn, HELD, agent_key(event), HELD_AT_MOST)
    return rows[:1], rows[1:]


async def _rows(conn: Connection, statement: bytes, value: str, limit: int) -> Sequence[Row]:
    return await (await conn.execute(statement, (value, limit))).fetchall()


def _choice(row: Row) -> Choice:
    name = str(row["customer_name"]) or f"客户 {str(row['customer_id'])[-6:]}"
    return Choice(ticket_id=row["ticket_id"], thread_id=row["thread_id"], name=name)
