"""Everything the bot says, as rows: written once under a key, delivered in order, retried under the same key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from api.database import Connection, Pool, storable
from api.job_queue import JobQueue
from tools.messages import DeskPlace, DeskPost, Handoff, Line, Outbound, delivery_key

Destination = Literal["customer", "desk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One thing to deliver."""

    id: int
    thread_id: str
    destination: Destination
    key: str
    payload: Mapping[str, Any]
    attempts: int
    """How often it was tried before."""


class DurableOutbox:
    """`tools.ports.Outbox` over PostgreSQL, and the deliverer's side of it."""

    def __init__(self, pool: Pool, queue: JobQueue, *, split: Callable[[str], list[str]], has_desk: bool) -> None:
        self._pool = pool
        self._queue = queue
        self._split = split
        self._has_desk = has_desk

    async def say(self, thread_id: str, turn_id: str, part: str, text: str, *, sources: Sequence[str] = ()) -> None:
        """Tell the customer something, cut into as many messages as the channel needs."""
        payloads = [{"text": piece, "sources": list(sources)} for piece in self._split(text)]
        async with self._pool.connection() as conn, conn.transaction():
            await self._put(
                conn, thread_id=thread_id, destination="customer", turn_id=turn_id, part=part, payloads=payloads
            )

    async def hand_over(self, handoff: Handoff) -> None:
        """Open the ticket, record the unanswered question, and show the card at the desk."""
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(
                "insert into tickets (ticket_id, thread_id, reason, draft) values (%s, %s, %s, %s)"
                " on conflict do nothing",
                (handoff.ticket_id, handoff.thread_id, handoff.reason, handoff.draft),
            )
            await conn.execute(
                "insert into unknown_questions (content, user_id, ticket_id, thread_id, reason, confidence)"
                " select %s, coalesce((select customer_id from conversations where thread_id = %s), ''),"
                " %s, %s, %s, %s on conflict do nothing",
                (
                    handoff.question,
                    handoff.thread_id,
                    handoff.ticket_id,
                    handoff.thread_id,
                    handoff.reason,
                    handoff.confidence,
                ),
            )
            payload = {"kind": "card", "handoff": asdict(handoff)}
            await self._put(
                conn,
                thread_id=handoff.thread_id,
                destination="desk",
                turn_id=handoff.ticket_id,
                part="card",
                payloads=[payload],
            )

    async def relay(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Show the desk what the customer wrote while a person has the conversation."""
        await self._to_desk(thread_id, turn_id, part, {"kind": "customer", "text": text})

    async def notify_desk(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell the desk something about this conversation."""
        await self._to_desk(thread_id, turn_id, part, {"kind": "notice", "text": text})

    async def close_ticket(self, ticket_id: str) -> None:
        """Record that a person has finished."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update tickets set closed_at = coalesce(closed_at, now()) where ticket_id = %s", (ticket_id,)
            )

    async def _to_desk(self, thread_id: str, turn_id: str, part: str, payload: dict[str, Any]) -> None:
        async with self._pool.connection() as conn, conn.transaction():
            await self._put(
                conn, thread_id=thread_id, destination="desk", turn_id=turn_id, part=part, payloads=[payload]
            )

    async def _put(
        self,
        conn: Connection,
        *,
        thread_id: str,
        destination: Destination,
        turn_id: str,
        part: str,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        if destination == "desk" and not self._has_desk:
            return
        for number, payload in enumerate(payloads):
            name = f"{part}.{number}"
            key = delivery_key(turn_id, f"{destination}:{name}")
            await conn.execute(
                "insert into outbox (thread_id, destination, message_key, turn_id, part, payload)"
                " values (%s, %s, %s, %s, %s, %s) on conflict (message_key) do nothing",
                (thread_id, destination, key, turn_id, name, Jsonb(storable(payload))),
            )
        await self._queue.deliver(conn, thread_id, destination)

    async def next(self, thread_id: str, destination: Destination) -> OutboxRow | None:
        """Return the oldest row that waits, None when all is sent."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "update outbox set attempts = attempts + 1, tried_at = now() where id = (select id from outbox"
                " where thread_id = %s and destination = %s and state = 'pending' order by id limit 1)"
                " returning id, message_key, payload, attempts - 1 as tried",
                (thread_id, destination),
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        return OutboxRow(
            id=row["id"],
            thread_id=thread_id,
            destination=destination,
            key=row["message_key"],
            payload=row["payload"],
            attempts=row["tried"],
        )

    async def outbound(self, row: OutboxRow) -> Outbound:
        """Address a customer row."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select account_id, customer_id from conversations where thread_id = %s", (row.thread_id,)
            )
            found = await cursor.fetchone()
        assert found is not None, "a conversation is stored before anything is said in it"
        return Outbound(
            account_id=found["account_id"], customer_id=found["customer_id"], key=row.key, text=row.payload["text"]
        )

    async def desk_post(self, row: OutboxRow, customer_name: str) -> tuple[DeskPost, DeskPlace | None]:
        """Build what the desk shows, and where this conversation was last shown."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select chat_id, topic_id from desk_places where thread_id = %s", (row.thread_id,)
            )
            found = await cursor.fetchone()
        place = DeskPlace(chat_id=found["chat_id"], topic_id=found["topic_id"]) if found else None
        stored = row.payload.get("handoff")
        handoff = _handoff(stored, customer_name) if stored else None
        post = DeskPost(
            kind=row.payload["kind"],
            thread_id=row.thread_id,
            customer_name=customer_name,
            text=row.payload.get("text", ""),
            handoff=handoff,
        )
        return post, place

    async def record_place(self, thread_id: str, place: DeskPlace) -> None:
        """Record where answers about a conversation come from."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "insert into desk_places (thread_id, chat_id, topic_id) values (%s, %s, %s)"
                " on conflict (thread_id) do update set chat_id = excluded.chat_id, topic_id = excluded.topic_id",
                (thread_id, place.chat_id, place.topic_id),
            )

    async def mark_sent(self, row: OutboxRow, desk_message: tuple[int, int] | None = None) -> None:
        """Record a delivery, and for the desk its chat and message, which replies name."""
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(
                "update outbox set state = 'sent', sent_at = now(), last_error = null where id = %s", (row.id,)
            )
            if desk_message is not None:
                await conn.execute(
                    "insert into desk_messages (chat_id, message_id, thread_id) values (%s, %s, %s)"
                    " on conflict do nothing",
                    (*desk_message, row.thread_id),
                )

    async def mark_error(self, row: OutboxRow, error: str, *, is_final: bool) -> None:
        """Record a failed attempt; a final one takes the row out of the line."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update outbox set last_error = %s, state = %s where id = %s",
                (error[:500], "failed" if is_final else "pending", row.id),
            )


def _handoff(stored: Mapping[str, Any], customer_name: str) -> Handoff:
    history = tuple(Line(**line) for line in stored["history"])
    return Handoff(**{**stored, "history": history, "customer_name": customer_name})
