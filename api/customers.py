"""Who the customers are."""

from __future__ import annotations

from api.channels import Channels
from api.database import Pool, personal
from api.desk.news import NEWS_NAME, NEWS_THREAD
from graph.state import CustomerState

ABOUT = """
select coalesce(nullif(c.source, ''), f.source, '') as source, coalesce(f.tags, '{}') as tags
from conversations c
left join lateral (
    select max(source) as source, array_agg(distinct tag) filter (where tag is not null) as tags
    from friends left join unnest(tags) as tag on true where external_userid = c.customer_id and left_at is null
) f on true
where c.thread_id = %s
"""


class Customers:
    """Display names, asked for once and kept: the channel tells them for 48 hours only (WeCom doc 95159)."""

    def __init__(self, pool: Pool, channels: Channels) -> None:
        self._pool = pool
        self._channels = channels

    async def name(self, thread_id: str) -> str:
        """Return the customer's display name, empty when the channel does not tell."""
        if thread_id == NEWS_THREAD:
            return NEWS_NAME
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select customer_id, customer_name from conversations where thread_id = %s", (thread_id,)
            )
            row = await cursor.fetchone()
        if row is None or row["customer_name"]:
            return str(row["customer_name"]) if row else ""
        name = await self._channels.of(thread_id).customer_name(row["customer_id"])
        if name:
            async with self._pool.connection() as conn:
                await conn.execute(
                    "update conversations set customer_name = %s where thread_id = %s", (personal(name), thread_id)
                )
        return name

    async def about(self, thread_id: str) -> CustomerState:
        """Return what rules may look at: where the customer came from, and the tags the staff see on them."""
        async with self._pool.connection() as conn:
            row = await (await conn.execute(ABOUT.encode(), (thread_id,))).fetchone()
        return {"source": row["source"], "tags": list(row["tags"])} if row else {"source": "", "tags": []}
