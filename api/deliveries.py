"""The deliverer's side of the outbox: what to send next, within what the channel allows, and what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from api.database import Connection, Pool, Row, personal
from api.desk.tickets import asked_at, label_of, source_of
from api.job_queue import JobQueue
from api.media import media_in
from api.outbox import Destination
from tools.messages import (
    Candidate,
    DeskButton,
    DeskPlace,
    DeskPost,
    Handoff,
    Line,
    Media,
    Menu,
    MenuOption,
    Outbound,
    SendLimits,
    Session,
    delivery_key,
)

UNLIMITED = SendLimits(units=1000, window_seconds=float("inf"))

CAMPAIGN = "outreach"
"""What a campaign's message carries: the id of its row in `outreach_targets`."""

LOOK_AHEAD = 20
"""Waiting rows looked at when texts must be merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing to deliver; its row is in state `sending`."""

    id: int
    thread_id: str
    destination: Destination
    key: str
    turn_id: str
    part: str
    payload: Mapping[str, Any]
    in_doubt: bool
    """An earlier attempt under the same key may have arrived."""
    attempts: int
    """How often it was tried before."""

    @property
    def is_from_a_person(self) -> bool:
        """Whether it is what a person wrote, or has that in it."""
        return is_persons(self.part) or bool(self.payload.get("has_person"))

    @property
    def text(self) -> str:
        """What is said; empty for a card."""
        return str(self.payload.get("text", ""))

    @property
    def target_id(self) -> int | None:
        """Whom of a campaign it is for; None: somebody waits for it."""
        return self.payload.get(CAMPAIGN)

    @property
    def media(self) -> Media | None:
        """The file it is."""
        return media_in(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a conversation's channel allows now, as far as known here."""

    account_id: str
    customer_id: str
    units_left: int
    is_window_open: bool
    session: Session | None


def is_persons(part: str) -> bool:
    """Tell whether a part of a turn's output is what a person wrote."""
    return part.partition(".")[0] == "human"


class Deliveries:
    """Reads and writes the outbox rows of one destination at a time; callers hold the delivery's queue lock."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        *,
        limits: Callable[[str], SendLimits] = lambda _: UNLIMITED,
        split: Callable[[str, str], list[str]] = lambda _, text: [text],
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._limits = limits
        self._split = split

    async def next(self, thread_id: str, destination: Destination) -> Delivery | None:
        """Take the oldest open row, None when there is none.

        Texts that would need more messages than the channel allows are merged with it as far as they fit.
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "select id, message_key, turn_id, part, payload, state, attempts, in_doubt from outbox"
                " where thread_id = %s and destination = %s and state in ('pending', 'sending')"
                " order by id limit %s for update",
                (thread_id, destination, LOOK_AHEAD),
            )
            rows = await cursor.fetchall()
            if not rows:
                return None
            first = rows[0]
            payload = first["payload"]
            if destination == "customer" and first["attempts"] == 0:
                payload = await self._merge(conn, thread_id, rows)
            # Found in `sending`: whoever sent it did not live to see the answer.
            in_doubt = first["in_doubt"] or first["state"] == "sending"
            await conn.execute(
                "update outbox set state = 'sending', attempts = attempts + 1, in_doubt = %s, tried_at = now()"
                " where id = %s",
                (in_doubt, first["id"]),
            )
        return Delivery(
            id=first["id"],
            thread_id=thread_id,
            destination=destination,
            key=first["message_key"],
            turn_id=first["turn_id"],
            part=first["part"],
            payload=payload,
            in_doubt=in_doubt,
            attempts=first["attempts"],
        )

    async def _merge(self, conn: Connection, thread_id: str, rows: Sequence[Row]) -> Mapping[str, Any]:
        first, waiting = rows[0], [row for row in rows[1:] if row["attempts"] == 0]
        payload: dict[str, Any] = dict(first["payload"])
        if _stands_alone(payload):
            return payload
        left = (await self._allowance(conn, thread_id)).units_left
        surplus = 1 + len(waiting) - max(left, 1)
        for row in waiting[: max(surplus, 0)]:
            if _stands_alone(row["payload"]):
                break
            text = f"{payload['text']}\n\n{row['payload']['text']}"
            if len(self._split(thread_id, text)) > 1:
                break
            sources = [*payload["sources"], *row["payload"]["sources"]]
            has_person = is_persons(row["part"]) or payload.get("has_person", False)
            payload = {"text": text, "sources": sources, "has_person": has_person}
            await conn.execute(
                "update outbox set state = 'merged', merged_into = %s where id = %s", (first["id"], row["id"])
            )
            await conn.execute("update outbox set payload = %s where id = %s", (personal(payload), first["id"]))
        return payload

    async def allowance(self, thread_id: str) -> Allowance:
        """Tell what the channel allows now."""
        async with self._pool.connection() as conn:
            return await self._allowance(conn, thread_id)

    async def _allowance(self, conn: Connection, thread_id: str) -> Allowance:
        cursor = await conn.execute(
            "select account_id, customer_id, units_used, session_state,"
            " extract(epoch from now() - last_customer_at)::float8 as silence from conversations where thread_id = %s",
            (thread_id,),
        )
        row = await cursor.fetchone()
        assert row is not None, "a conversation is stored before anything is said in it"
        limits = self._limits(thread_id)
        return Allowance(
            account_id=row["account_id"],
            customer_id=row["customer_id"],
            units_left=limits.units - row["units_used"],
            is_window_open=row["silence"] is not None and row["silence"] < limits.window_seconds,
            session=row["session_state"],
        )

    def outbound(self, delivery: Delivery, allowance: Allowance) -> Outbound:
        """Address a customer delivery."""
        return Outbound(
            account_id=allowance.account_id,
            customer_id=allowance.customer_id,
            key=delivery.key,
            text=delivery.text,
            menu=_menu(stored) if (stored := delivery.payload.get("menu")) else None,
        )

    async def record_session(self, thread_id: str, session: Session) -> None:
        """Record who has the customer's session in the channel."""
        async with self._pool.connection() as conn:
            await conn.execute("update conversations set session_state = %s where thread_id = %s", (session, thread_id))

    async def desk_post(self, delivery: Delivery, customer_name: str) -> tuple[DeskPost, DeskPlace | None]:
        """Build what the desk shows, and where this conversation was last shown."""
        payload = delivery.payload
        stored = payload.get("handoff")
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select chat_id, topic_id, desk from desk_places where thread_id = %s", (delivery.thread_id,)
            )
            found = await cursor.fetchone()
            label = await label_of(conn, delivery.thread_id)
            since = await asked_at(conn, stored["ticket_id"]) if stored else None
            source = await source_of(conn, delivery.thread_id) if stored else ""
        place = DeskPlace(**found) if found else None
        post = DeskPost(
            kind=payload["kind"],
            thread_id=delivery.thread_id,
            customer_name=customer_name,
            text=delivery.text,
            handoff=_handoff(stored, customer_name) if stored else None,
            reply_to=payload.get("reply_to"),
            buttons=tuple(DeskButton(**button) for button in payload.get("buttons", ())),
            label=label,
            since=since,
            source=source,
            to=payload.get("to", ""),
            key=delivery.key,
        )
        return post, place

    async def record_place(self, thread_id: str, place: DeskPlace) -> None:
        """Record where answers about a conversation come from; its place on Telegram is kept for when it comes back."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "insert into desk_places as p (thread_id, chat_id, topic_id, desk)"
                " values (%(thread)s, %(chat)s, %(topic)s, %(desk)s)"
                " on conflict (thread_id) do update set desk = %(desk)s,"
                " chat_id = case when %(desk)s = 'telegram' then %(chat)s else p.chat_id end,"
                " topic_id = case when %(desk)s = 'telegram' then %(topic)s else p.topic_id end",
                {"thread": thread_id, "chat": place.chat_id, "topic": place.topic_id, "desk": place.desk},
            )

    async def mark_sent(
        self,
        delivery: Delivery,
        desk_message: tuple[int, int] | None = None,
        *,
        then: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """Record a delivery; for the desk with its chat and message, which replies name.

        What follows from it is done by `then` in the same transaction.
        """
        async with self._pool.connection() as conn, conn.transaction() if then else nullcontext():
            await conn.execute(
                # Not a row that the channel has meanwhile reported as not delivered.
                """
                with row as (
                    update outbox set state = 'sent', sent_at = now(), last_error = null
                    where id = %(id)s and state = 'sending'
                ), shown as (
                    insert into desk_messages (chat_id, message_id, thread_id, outbox_id)
                    select %(chat)s::bigint, %(message)s::bigint, %(thread)s, %(id)s
                    where %(message)s::bigint is not null
                    on conflict do nothing
                )
                update conversations set units_used = units_used + 1, session_state = 'bot'
                where thread_id = %(thread)s and %(to_customer)s
                """,
                {
                    "id": delivery.id,
                    "thread": delivery.thread_id,
                    "to_customer": delivery.destination == "customer",
                    "chat": desk_message and desk_message[0],
                    "message": desk_message and desk_message[1],
                },
            )
            if then is not None:
                await then(conn)

    async def mark_retry(self, delivery: Delivery, error: str, *, in_doubt: bool) -> None:
        """Record a failed attempt that is made again; `in_doubt` when it may have arrived."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update outbox set state = 'pending', last_error = %s, in_doubt = in_doubt or %s"
                " where id = %s and state = 'sending'",
                (error[:500], in_doubt, delivery.id),
            )

    async def mark_dead(self, delivery: Delivery, error: str) -> None:
        """Take a row out of the line: it failed, or after a doubtful attempt nobody can tell."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update outbox set last_error = %s, state = case when in_doubt then 'unknown' else 'failed' end"
                " where id = %s",
                (error[:500], delivery.id),
            )

    async def mark_undelivered(self, key: str, reason: str) -> str | None:
        """Flip a sent message that the channel could not deliver; return its text.

        None when it is not ours, or a campaign's: nobody waits for that one.
        """
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "update outbox set state = 'failed', last_error = %s where message_key = %s"
                " and state in ('sending', 'sent') returning payload ->> 'text' as text, payload ? %s as is_campaign",
                (reason, key, CAMPAIGN),
            )
            row = await cursor.fetchone()
        return row["text"] if row and not row["is_campaign"] else None

    async def revive(self, row_id: int) -> bool:
        """Put a dead letter back into the line; False when it is none.

        What failed for certain gets a new key, because the channel may remember the old one; what is in doubt keeps
        its key, so that it cannot arrive twice.
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "select thread_id, destination, message_key, attempts, state from outbox"
                " where id = %s and state in ('failed', 'unknown') for update",
                (row_id,),
            )
            row = await cursor.fetchone()
            if row is None:
                return False
            key = row["message_key"]
            if row["state"] == "failed":
                key = delivery_key(key, f"retry.{row['attempts']}")
            await conn.execute(
                "update outbox set state = 'pending', in_doubt = %s, message_key = %s, last_error = null where id = %s",
                (row["state"] == "unknown", key, row_id),
            )
            await self._queue.deliver(conn, row["thread_id"], row["destination"])
        return True

    async def drop(self, row_id: int) -> bool:
        """Give a dead letter up for good; False when it is none."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "update outbox set state = 'dropped' where id = %s and state in ('failed', 'unknown')", (row_id,)
            )
        return cursor.rowcount == 1


def _stands_alone(payload: Mapping[str, Any]) -> bool:
    """Tell whether a row can be no part of a text."""
    return "menu" in payload or "media" in payload or CAMPAIGN in payload


def _menu(stored: Mapping[str, Any]) -> Menu:
    return Menu(**{**stored, "options": tuple(MenuOption(**option) for option in stored["options"])})


def _handoff(stored: Mapping[str, Any], customer_name: str) -> Handoff:
    history = tuple(Line(**line) for line in stored["history"])
    hits = tuple(Candidate(**hit) for hit in stored.get("hits", ()))
    profile = tuple(stored.get("profile", ()))
    return Handoff(**{**stored, "history": history, "hits": hits, "profile": profile, "customer_name": customer_name})
