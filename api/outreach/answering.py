"""What a customer is told who refuses campaigns or wants them again; the rest of the turn is answered as ever."""

from __future__ import annotations

from dataclasses import replace

from api.database import Pool
from api.inbox import Batch
from api.outbox import DurableOutbox
from graph.context import Texts


async def answer_consents(pool: Pool, outbox: DurableOutbox, texts: Texts, batch: Batch) -> Batch:
    """Confirm what the messages of a turn changed, the last word of it, and return the turn without them."""
    changes = [row for row in batch.rows if row.consent]
    if not changes:
        return batch
    name = "opted_out" if changes[-1].consent == "out" else "opted_in"
    async with pool.connection() as conn, conn.transaction():
        await outbox.tell(conn, batch.thread_id, batch.turn_id, "consent", texts.render(name))
    return replace(batch, rows=tuple(row for row in batch.rows if not row.consent))
