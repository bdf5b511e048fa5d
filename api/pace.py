"""What channels without keys and with a limit a minute need to know before a send."""

from __future__ import annotations

from dataclasses import replace

from api.database import Pool
from api.deliveries import Delivery
from tools.errors import RateLimitedError
from tools.messages import Outbound, SendLimits

MINUTE = 60

RECENT = b"""
select payload, tried_at > now() - interval '1 minute' as is_this_minute from outbox
where thread_id = %(thread)s and destination = 'customer' and state in ('sent', 'unknown') and id <> %(row)s
and tried_at > now() - make_interval(secs => %(seconds)s)
"""


async def paced(pool: Pool, delivery: Delivery, outbound: Outbound, limits: SendLimits) -> Outbound:
    """Return what is sent, marked when it is the same text again.

    Counted in rows, so that all workers count together and a restart forgets nothing.

    Raises:
        RateLimitedError: the customer got so much in the last minute that the channel would lose this.
    """
    if limits.a_minute is None and not limits.same_text_seconds:
        return outbound
    values = {"thread": delivery.thread_id, "row": delivery.id, "seconds": max(MINUTE, limits.same_text_seconds)}
    async with pool.connection() as conn:
        rows = await (await conn.execute(RECENT, values)).fetchall()
    if limits.a_minute is not None and sum(row["is_this_minute"] for row in rows) >= limits.a_minute:
        raise RateLimitedError(f"more than {limits.a_minute} messages a minute to one customer; the next one waits")
    return replace(outbound, is_said_again=any(row["payload"].get("text") == outbound.text for row in rows))
