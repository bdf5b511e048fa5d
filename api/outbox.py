"""Everything the bot says, as rows, written once under a key; `api.deliveries` sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from psycopg.types.json import Jsonb

from api import media
from api.database import Connection, Pool, personal, storable
from api.job_queue import JobQueue
from tools.errors import OvertakenError
from tools.messages import Choice, DeskButton, DeskEvent, DeskName, Handoff, Menu, delivery_key

Destination = Literal["customer", "desk", "webhook"]

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


def answer_to(event: DeskEvent) -> dict[str, Any]:
    """Address a row to who acted, at the desk where they did."""
    return {"to": event.agent_id, "at": asdict(event.place)}


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
        split: Callable[[str, str], list[str]],
        has_desk: bool,
        shortened: str = "…",
        first_webhooks: Sequence[str] = (),
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._split = split
        self._has_desk = has_desk
        self._shortened = shortened
        self._first_webhooks = tuple(first_webhooks)
        """The groups that are told at once, because no desk comes before them."""

    async def say(self, thread_id: str, turn_id: str, part: str, text: str, *, sources: Sequence[str] = ()) -> None:
        """Tell the customer something, cut into as many messages as the channel needs.

        What a person sent as a file goes out as that file, with what was written after it.

        Raises:
            OvertakenError: the customer wrote on, or took a message back, before anything of this turn was said.
        """
        pieces = self._split(thread_id, text) if part == "human" else self._shorten(thread_id, text)
        payloads: list[dict[str, Any]] = [{"text": piece, "sources": list(sources)} for piece in pieces]
        async with self._pool.connection() as conn, conn.transaction():
            await self._refuse_if_overtaken(conn, thread_id, turn_id)
            if part == "human" and (sent := await media.desk_file(conn, thread_id, turn_id)):
                payloads = self._with_file(thread_id, sent)
            await self._put(
                conn, thread_id=thread_id, destination="customer", turn_id=turn_id, part=part, payloads=payloads
            )
            if part == "human":
                await conn.execute(
                    "update tickets set answered_at = now() where thread_id = %s and closed_at is null", (thread_id,)
                )

    def _with_file(self, thread_id: str, sent: Mapping[str, Any]) -> list[dict[str, Any]]:
        file = {"text": media.words({"media": sent["media"]}), "sources": [], "media": sent["media"]}
        pieces = self._split(thread_id, sent["text"]) if sent.get("text") else []
        return [file, *({"text": piece, "sources": []} for piece in pieces)]

    async def tell(
        self,
        conn: Connection,
        thread_id: str,
        turn_id: str,
        part: str,
        text: str,
        *,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell the customer something of our own accord within the caller's transaction; `marks` stay on its rows."""
        pieces = self._shorten(thread_id, text)
        payloads = [{"text": piece, "sources": [], **(marks or {})} for piece in pieces]
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
                    personal(choice.question),
                    Jsonb(list(choice.shown)),
                    choice.entry_id,
                    choice.source,
                    choice.confidence,
                ),
            )

    def _shorten(self, thread_id: str, text: str) -> list[str]:
        pieces = self._split(thread_id, text)
        if len(pieces) <= MAX_PARTS:
            return pieces
        kept, last = pieces[: MAX_PARTS - 1], pieces[MAX_PARTS - 1]
        while len(self._split(thread_id, last + self._shortened)) > 1:
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
                "insert into tickets (ticket_id, thread_id, reason, draft, priority, rule, closed_at)"
                " values (%s, %s, %s, %s, %s, %s, case when %s then null else now() end) on conflict do nothing",
                (
                    handoff.ticket_id,
                    handoff.thread_id,
                    handoff.reason,
                    personal(handoff.draft),
                    handoff.priority,
                    handoff.rule,
                    self._has_desk,
                ),
            )
            await conn.execute(
                "insert into unknown_questions (content, user_id, ticket_id, thread_id, reason, confidence, hits)"
                " select %s, coalesce((select customer_id from conversations where thread_id = %s), ''),"
                " %s, %s, %s, %s, %s on conflict do nothing",
                (
                    personal(handoff.question),
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
            await self._show_files(conn, handoff.thread_id, handoff.ticket_id, with_earlier=True)
            for webhook in self._first_webhooks:
                await self.tell_group(conn, handoff.thread_id, handoff.ticket_id, webhook)

    async def relay(self, thread_id: str, turn_id: str, part: str, text: str) -> None:
        """Show the desk what the customer wrote while a person has the conversation, files included."""
        async with self._pool.connection() as conn, conn.transaction():
            files = await media.customer_files(conn, thread_id, turn_id)
            if not files or text != "\n".join(file.text for file in files):
                payload = {"kind": "customer", "text": text}
                await self._put(
                    conn, thread_id=thread_id, destination="desk", turn_id=turn_id, part=part, payloads=[payload]
                )
            await self._show_files(conn, thread_id, turn_id)

    async def _show_files(self, conn: Connection, thread_id: str, turn_id: str, *, with_earlier: bool = False) -> None:
        """Show the desk the files of a turn; one that was shown before is known by its key."""
        for file in await media.customer_files(conn, thread_id, turn_id, with_earlier=with_earlier):
            await self._put(
                conn,
                thread_id=thread_id,
                destination="desk",
                turn_id=thread_id,
                part=f"file.{file.name}",
                payloads=[file.payload],
            )

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
        kind: Literal["notice", "sent", "choice"] = "notice",
        reply_to: int | None = None,
        buttons: Sequence[DeskButton] = (),
        offers: Sequence[str] = (),
        to: Mapping[str, Any] | None = None,
        move_to: DeskName | None = None,
    ) -> None:
        """Tell the desk something within the caller's transaction; `offers` are texts its buttons send.

        `to` is made by `answer_to`: one person, at the desk where they acted. `move_to` is the desk the conversation
        moves to with it, unless somebody has the ticket by then.
        """
        payload = {
            "kind": kind,
            "text": text,
            "reply_to": reply_to,
            "buttons": [asdict(button) for button in buttons],
            "offers": list(offers),
        }
        if to is not None:
            payload |= to
        if move_to is not None:
            payload["move_to"] = move_to
        await self._put(conn, thread_id=thread_id, destination="desk", turn_id=turn_id, part=part, payloads=[payload])

    async def tell_group(self, conn: Connection, thread_id: str, turn_id: str, webhook: str) -> None:
        """Tell a group that a customer waits, within the caller's transaction; its text is made when it is sent."""
        payload = {"kind": "waiting", "webhook": webhook}
        await self._put(
            conn, thread_id=thread_id, destination="webhook", turn_id=turn_id, part=webhook, payloads=[payload]
        )

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
                (thread_id, destination, key, turn_id, name, personal(payload)),
            )
        await self._queue.deliver(conn, thread_id, destination)
