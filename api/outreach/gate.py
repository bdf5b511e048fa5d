"""The last look at a campaign's message before it goes: hours may lie between its row and its sending."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api.database import Connection, Pool, Row
from api.deliveries import Delivery
from api.outreach.campaigns import set_target
from api.outreach.facts import facts_of
from api.outreach.law import Kf, Law, Skip, Wait

TARGET = """
select t.id, t.customer_id, t.state, c.id as campaign_id, c.state as campaign, c.starts_at, c.ends_at,
    coalesce(c.audience ->> 'account', '') as account
from outreach_targets t join outreach_campaigns c on c.id = t.campaign_id
where t.id = %s and t.turn_id = %s for update of t
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """`api.deliverer.CampaignGate` over the law."""

    pool: Pool
    law: Law
    clock: Callable[[], datetime]

    async def admits(self, delivery: Delivery) -> bool:
        """Tell whether a message may go now. One that may not, and certainly did not go, is planned anew."""
        async with self.pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(TARGET.encode(), (delivery.target_id, delivery.turn_id))
            row = await cursor.fetchone()
            obstacle = await self._obstacle(conn, row, delivery.thread_id)
            if obstacle is None and row is not None:
                # What counts for the caps is when it goes.
                await set_target(conn, row["id"], {"tried_at": self.clock()})
                return True
            if delivery.in_doubt or row is None or row["state"] != "intent":
                await conn.execute(
                    "update outbox set last_error = %s,"
                    " state = case when in_doubt then 'unknown' else 'failed' end where id = %s",
                    (f"not sent: {_words(obstacle)}", delivery.id),
                )
            else:
                await conn.execute("delete from outbox where id = %s", (delivery.id,))
                await self._take_back(conn, row, obstacle)
        return False

    async def _obstacle(self, conn: Connection, row: Row | None, thread_id: str) -> Skip | Wait | str | None:
        if row is None:
            return "unknown_target"
        now = self.clock()
        if row["campaign"] == "cancelled":
            return "cancelled"
        if not row["starts_at"] <= now < row["ends_at"]:
            return "window_over"
        await conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 16))", (row["customer_id"],))
        facts = await facts_of(conn, [row["customer_id"]], account=row["account"], campaign=row["campaign_id"], now=now)
        decision = self.law.decide(facts[row["customer_id"]], now)
        if decision == Kf(thread_id=thread_id):
            return None
        return decision if isinstance(decision, Skip | Wait) else "other_way"

    async def _take_back(self, conn: Connection, row: Row, obstacle: Skip | Wait | str | None) -> None:
        """Put a customer back into the plan; what became final meanwhile is found there, or is known here."""
        is_over = obstacle in {"cancelled", "window_over"} or isinstance(obstacle, Skip)
        values = {
            "state": "skipped" if is_over else "planned",
            "reason": "" if obstacle == "other_way" else _words(obstacle),
            "look_at": obstacle.until if isinstance(obstacle, Wait) else None,
            "channel": None,
            "turn_id": None,
            "tried_at": None,
        }
        await set_target(conn, row["id"], values)


def _words(obstacle: Skip | Wait | str | None) -> str:
    return obstacle.reason if isinstance(obstacle, Skip | Wait) else str(obstacle or "")
