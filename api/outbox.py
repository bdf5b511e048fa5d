"""Everything the bot says, as rows, written once under a key; `api.deliveries` sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from psycopg.types.json import Jsonb

from api.database import Connection, Pool, storable
from api.job_queue import JobQueue
from tools.errors import OvertakenError
from tools.messages import Choice, DeskButton, Handoff, Menu, delivery_key

Destination = Literal["customer", "desk"]

MAX_PARTS = 3
"""Messages one automatic answer may take: a channel allows few, and the customer may need a person's after it."""

MAX_OVERTAKEN = 3
"""How often a turn is begun anew for a customer who keeps writing before the bot speaks anyway."""

OVERTAKEN = """
select exists (select 1 from inbox where turn_id = %(turn)s and outcome = 'recalled')
    or coalesce((select max(overtaken) < %(limit)s from inbox where turn_id = %(turn)s and origin = 'customer'
                 and handled_at is null), false)
       and exists (select 1 from inbox where thread_id = %(thread)s and origin = 'customer' and turn_id is null
                   and handled_at is null) as overtaken,
    exists (select 1 from outbox where turn_id = %(turn)s) as has_spoken
"""


def outbox_key(turn_id: str, destination: Destination, name: str) -> str:
    """Derive the key of one row."""
    return delivery_key(turn_id, f"{destination}:{name}")


class DurableOutbox:
    """`tools.ports.Outbox` over PostgreSQL."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        *,
        split: Callable[[str], list[str]],
        has_desk: bool,
        shortened: str = "…",
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._split = split
        self._has_desk = has_desk
        self._shortened = shortened

    async def say(self, thread_id: str, turn_id: str, part: str, text: str, *, sources: Sequence[str] = ()) -> None:
        """Tell the customer something, cut into as many messages as the channel needs.

        Raises:
            OvertakenError: the customer wrote on, or took a message back, before anything of this turn was said.
        """
        pieces = self._split(text) if part == "human" else self._shorten(self._split(text))
        payloads = [{"text": piece, "sources": list(sources)} for piece in pieces]
        async with self._pool.connection() as conn, conn.transaction():
            await self._refuse_if_overtaken(conn, thread_id, turn_id)
            await self._put(
                conn, thread_id=thread_id, destination="customer", turn_id=turn_id, part=part, payloads=payloads
            )
            if part == "human":
                await conn.execute(
                    "update tickets set answered_at = now() where thread_id = %s and closed_at is null", (thread_id,)
                )

    async def tell(self, conn: Connection, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Tell the customer something of our own accord within the caller's transaction."""
        payloads = [{"text": piece, "sources": []} for piece in self._shorten(self._split(text))]
        await self._put(
            conn, thread_id=thread_id, destination="customer", turn_id=turn_id, part=part, payloads=payloads
        )

    async def offer(self, thread_id: str, turn_id: str, part: str, menu: Menu) -> None:
        """Ask the customer to choose; one message.

        Raises:
            OvertakenError: the customer wrote on, or took a message back, before anything of this turn was said.
        """
        payload = {"text": menu.text, "sources": [], "menu": asdict(menu)}
        async with self._pool.connection() as conn, conn.transaction():
            await self._refuse_if_overtaken(conn, thread_id, turn_id)
            await self._put(
                conn, thread_id=thread_id, destination="customer", turn_id=turn_id, part=part, payloads=[payload]
            )

    async def record_choice(self, choice: Choice) -> None:
        """Record what the customer chose, once a turn."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "insert into answer_labels (thread_id, turn_id, question, shown, entry_id, source, confidence)"
                " values (%s, %s, %s, %s, %s, %s, %s) on conflict (turn_id) do nothing",
                (
                    choice.thread_id,
                    choice.turn_id,
                    storable(choice.question),
                    Jsonb(list(choice.shown)),
                    choice.entry_id,
                    choice.source,
                    choice.confidence,
                ),
            )

    def _shorten(self, pieces: list[str]) -> list[str]:
        if len(pieces) <= MAX_PARTS:
            return pieces
        kept, last = pieces[: MAX_PARTS - 1], pieces[MAX_PARTS - 1]
        while len(self._split(last + self._shortened)) > 1:
            last = last[: -len(self._shortened)]
        return [*kept, last + self._shortened]

    async def _refuse_if_overtaken(self, conn: Connection, thread_id: str, turn_id: str) -> None:
        # The same row lock that a page of new messages takes: either they are seen here, or they are the next turn.
        await conn.execute("select 1 from conversations where thread_id = %s for update", (thread_id,))
        values = {"turn": turn_id, "thread": thread_id, "limit": MAX_OVERTAKEN}
        row = await (await conn.execute(OVERTAKEN, values)).fetchone()
        if row is not None and row["overtaken"] and not row["has_spoken"]:
            raise OvertakenError(f"turn {turn_id} was overtaken by the customer")

    async def hand_over(self, handoff: Handoff) -> None:
        """Open the ticket, record the unanswered question, and show the card at the desk."""
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(
                # Without a desk there is nobody to close it later.
                "insert into tickets (ticket_id, thread_id, reason, draft, closed_at)"
                " values (%s, %s, %s, %s, case when %s then null else now() end) on conflict do nothing",
                (handoff.ticket_id, handoff.thread_id, handoff.reason, handoff.draft, self._has_desk),
            )
            await conn.execute(
                "insert into unknown_questions (content, user_id, ticket_id, thread_id, reason, confidence, hits)"
                " select %s, coalesce((select customer_id from conversations where thread_id = %s), ''),"
                " %s, %s, %s, %s, %s on conflict do nothing",
                (
                    handoff.question,
                    handoff.thread_id,
                    handoff.ticket_id,
                    handoff.thread_id,
                    handoff.reason,
                    handoff.confidence,
                    Jsonb(storable([asdict(candidate) for candidate in handoff.hits])),
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

    async def note(
        self,
        conn: Connection,
        thread_id: str,
        turn_id: str,
        part: str,
        text: str,
        *,
        kind: Literal["notice", "sent"] = "notice",
        reply_to: int | None = None,
        buttons: Sequence[DeskButton] = (),
        offers: Sequence[str] = (),
    ) -> None:
        """Tell the desk something within the caller's transaction; `offers` are texts its buttons send."""
        payload = {
            "kind": kind,
            "text": text,
            "reply_to": reply_to,
            "buttons": [asdict(button) for button in buttons],
            "offers": list(offers),
        }
        await self._put(conn, thread_id=thread_id, destination="desk", turn_id=turn_id, part=part, payloads=[payload])

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
            key = outbox_key(turn_id, destination, name)
            await conn.execute(
                "insert into outbox (thread_id, destination, message_key, turn_id, part, payload)"
                " values (%s, %s, %s, %s, %s, %s) on conflict (message_key) do nothing",
                (thread_id, destination, key, turn_id, name, Jsonb(storable(payload))),
            )
        await self._queue.deliver(conn, thread_id, destination)
