"""Who the customers are."""

from __future__ import annotations

from api.database import Pool
from tools.ports import Channel


class Customers:
    """Display names, asked for once and kept: the channel tells them for 48 hours only (WeCom doc 95159)."""

    def __init__(self, pool: Pool, channel: Channel) -> None:
        self._pool = pool
        self._channel = channel

    async def name(self, thread_id: str) -> str:
        """Return the customer's display name, empty when the channel does not tell."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select customer_id, customer_name from conversations where thread_id = %s", (thread_id,)
            )
            row = await cursor.fetchone()
        if row is None or row["customer_name"]:
            return str(row["customer_name"]) if row else ""
        name = await self._channel.customer_name(row["customer_id"])
        if name:
            async with self._pool.connection() as conn:
                await conn.execute(
                    "update conversations set customer_name = %s where thread_id = %s", (name, thread_id)
                )
        return name
