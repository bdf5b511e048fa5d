"""What a group reads about a customer who waits: one line, made when it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from api.customers import Customers
from api.database import Pool, Row
from api.deliveries import Delivery
from api.desk import words as desk_words
from api.desk.desks import Desks
from graph.context import Texts
from tools.errors import DeskError
from tools.wecom.webhook import plain

NAME_LIMIT, QUESTION_LIMIT = 30, 60

WAITING = b"""
select t.opened_at, t.closed_at is not null and t.ended_by is not null as is_over, u.content as question,
    p.desk, (
        select count(*)::int from inbox i where i.thread_id = t.thread_id and i.origin = 'customer'
        and i.received_at >= least(t.opened_at, coalesce(
            (select min(received_at) from inbox where turn_id = t.ticket_id), t.opened_at))
    ) as lines
from tickets t left join unknown_questions u using (ticket_id) left join desk_places p on p.thread_id = t.thread_id
where t.thread_id = %s order by t.opened_at desc limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNotices:
    """Tells groups who waits, since when, how often they asked, and where to answer."""

    pool: Pool
    desks: Desks
    customers: Customers
    texts: Texts

    async def send(self, delivery: Delivery) -> None:
        """Tell one group, unless somebody has ended it meanwhile.

        Raises:
            DeskError: the group is not configured any more.
            ChannelError: see `tools.errors`; `transient` says whether to try again.
        """
        group = self.desks.groups.get(delivery.payload["webhook"])
        if group is None:
            raise DeskError("this webhook is not configured any more")
        async with self.pool.connection() as conn:
            row = await (await conn.execute(WAITING, (delivery.thread_id,))).fetchone()
        if row is not None and not row["is_over"]:
            name = await self.customers.name(delivery.thread_id) or f"客户 {delivery.thread_id[-6:]}"
            await group.send(self._line(row, name))

    def _line(self, row: Row, name: str) -> str:
        facts = {
            "name": plain(name, NAME_LIMIT),
            "since": desk_words.clock(row["opened_at"]),
            "count": str(max(1, row["lines"])),
            "question": plain(row["question"] or "", QUESTION_LIMIT),
        }
        if not self.desks:
            return self.texts.render("group_notice_no_desk", **facts)
        desk = row["desk"] if row["desk"] in self.desks.desks else self.desks.names[0]
        return self.texts.render("group_notice", **facts, desk=self.texts.render(f"desk_name_{desk}"))
