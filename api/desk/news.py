"""What concerns the service and no one customer, said at the desk in a place of its own."""

from __future__ import annotations

from dataclasses import dataclass

from api.audits import Drift
from api.database import Connection
from api.outbox import DurableOutbox
from graph.context import Texts

NEWS_THREAD = "kefu:news"
"""Stands for a conversation where the desk's places and rows ask for one; no customer has such an id."""

NEWS_NAME = "kefu 通知"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskNews:
    """Tells the desk; without a desk nobody is told."""

    outbox: DurableOutbox
    texts: Texts

    async def drift(self, conn: Connection, drift: Drift) -> None:
        """Say, within the caller's transaction, that too many audited answers were wrong."""
        text = self.texts.render(
            "desk_drift", audited=str(drift.audited), wrong=str(drift.wrong), accepted=f"{drift.max_wrong:.1%}"
        )
        row = await (await conn.execute("select coalesce(max(id), 0) as latest from calibrations")).fetchone()
        assert row is not None, "an aggregate has one row"
        await self.outbox.note(conn, NEWS_THREAD, f"drift-{row['latest']}", "news", text)
