"""Everything said to the bot, as rows: stored before it is acknowledged, handled once, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from api.callbacks import store_callback
from api.database import Connection, Pool, Row, personal, storable
from api.job_queue import JobQueue
from api.outreach import consents
from tools.messages import Inbound, Page

Origin = Literal["customer", "staff", "system", "desk", "timer"]

FIRST_START_WINDOW = timedelta(minutes=10)
"""On an account's first pull, older messages are history: nobody wants answers to last week's questions."""

BURSTS_AT_MOST = 5
"""How many burst times a customer who keeps typing is waited for."""

MAX_ATTEMPTS = 5
"""How often a turn is tried before it goes to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """One thing said, as stored."""

    id: int
    message_id: str
    kind: str
    payload: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What was said, in words."""
        return str(self.payload.get("text", ""))

    @property
    def words(self) -> str:
        """What a voice message says or a picture shows, when it was found out."""
        return str(self.payload.get("words") or "")

    @property
    def consent(self) -> str:
        """`out` or `in` when the customer refused campaigns with it, or wants them again."""
        return str(self.payload.get(consents.KEY) or "")

    @property
    def choice(self) -> str:
        """The id of the menu option that was clicked, empty when none was."""
        return str(self.payload.get("menu_id") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """The customer may still be typing."""

    seconds: float
    """When to look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of one turn: all of one origin, oldest first."""

    turn_id: str
    thread_id: str
    origin: Origin
    rows: tuple[InboxRow, ...]
    attempts: int
    """How often this turn was begun before."""
    times: tuple[datetime, datetime] | None = field(default=None, compare=False)
    """When its newest message was written, by the channel's clock, and stored."""


class Inbox:
    """Reads and writes the inbox; every write commits together with the job it causes."""

    def __init__(self, pool: Pool, queue: JobQueue, *, burst_seconds: float = 0) -> None:
        self._pool = pool
        self._queue = queue
        self._burst = burst_seconds

    async def store_callback(self, *, signature: str, payload: Mapping[str, Any], account_id: str, token: str) -> None:
        """Store a verified callback and the pull it asks for; a repeated delivery is stored once."""
        async with self._pool.connection() as conn:
            await store_callback(conn, signature=signature, payload=payload, account_id=account_id, token=token)

    async def cursor(self, account_id: str) -> str:
        """Return how far an account was pulled; empty before the first pull."""
        async with self._pool.connection() as conn:
            row = await _one(
                conn,
                "insert into accounts (account_id) values (%s) "
                "on conflict (account_id) do update set account_id = excluded.account_id returning cursor",
                (account_id,),
            )
        assert row is not None
        return str(row["cursor"])

    async def store_page(self, account_id: str, page: Page, *, now: datetime) -> None:
        """Store one page, the cursor behind it, and the jobs it causes, in one transaction."""
        async with self._pool.connection() as conn, conn.transaction():
            account = await _one(
                conn, "select caught_up_at from accounts where account_id = %s for update", (account_id,)
            )
            is_first = account is None or account["caught_up_at"] is None
            oldest = (now - FIRST_START_WINDOW).timestamp() if is_first else 0.0
            threads: dict[str, None] = {}
            for message in page.messages:
                inbox_id = await self._store(conn, message, is_history=message.sent_at < oldest)
                if inbox_id is None or not message.customer_id:
                    continue
                if message.extra.get("welcome_code"):
                    await self._queue.welcome(conn, inbox_id)
                elif _needs_turn(message):
                    threads[message.thread_id] = None
            for thread_id in threads:
                await self._queue.turn(conn, thread_id, delay=self._burst)
            await conn.execute(
                "update accounts set cursor = %s, caught_up_at = coalesce(caught_up_at, %s) where account_id = %s",
                (page.next_cursor, None if page.has_more else now, account_id),
            )

    async def store_message(self, message: Inbound) -> None:
        """Store a message that a callback brought along, and the turn it causes; a repeated delivery is stored once."""
        async with self._pool.connection() as conn, conn.transaction():
            if await self._store(conn, message, is_history=False) is not None and _needs_turn(message):
                await self._queue.turn(conn, message.thread_id, delay=self._burst)

    async def _store(self, conn: Connection, message: Inbound, *, is_history: bool) -> int | None:
        """Insert a message once; None when it is known already or needs no handling."""
        sent_at = datetime.fromtimestamp(message.sent_at, UTC)
        needs_turn = _needs_turn(message) and not is_history
        change = await consents.change_by(conn, message)
        mark = {consents.KEY: change.direction} if change else {}
        row = await _one(
            conn,
            "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, handled_at, outcome)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing returning id",
            (
                message.thread_id,
                message.sender,
                message.account_id,
                message.message_id,
                message.kind,
                personal(
                    {**message.extra, "text": message.text, **mark}
                    | ({"about": message.about} if message.about else {})
                ),
                sent_at,
                None if needs_turn else datetime.now(UTC),
                "history" if is_history else None,
            ),
        )
        if row is None:
            return None
        if change is not None:
            await consents.record_message(conn, message, change)
        if message.customer_id:
            await _touch_conversation(conn, message, sent_at)
        if message.effect == "recalled":
            await conn.execute(
                "update inbox set handled_at = now(), outcome = 'recalled'"
                " where account_id = %s and message_id = %s and handled_at is null",
                (message.account_id, message.about),
            )
        return None if is_history else int(row["id"])

    async def message(self, inbox_id: int) -> Row | None:
        """Return one stored row with its conversation."""
        async with self._pool.connection() as conn:
            return await _one(
                conn,
                "select i.*, c.customer_id from inbox i join conversations c using (thread_id) where i.id = %s",
                (inbox_id,),
            )

    async def next_batch(self, thread_id: str) -> Batch | NotYet | None:
        """Claim the next turn of a conversation, None when all is handled.

        A turn that was begun and not finished comes first, with the same id and the same rows: what it did already
        is found under that id. A customer who wrote less than the burst time ago may still be typing. The caller
        holds the conversation's lock, so nobody else claims rows between the two statements.
        """
        async with self._pool.connection() as conn:
            rows = await (
                await conn.execute(
                    "select id, origin, account_id, message_id, kind, payload, turn_id, attempts, sent_at, received_at,"
                    " extract(epoch from now() - received_at)::float8 as age"
                    " from inbox where thread_id = %s and handled_at is null order by id",
                    (thread_id,),
                )
            ).fetchall()
            if not rows:
                return None
            chosen = _same_turn(rows)
            if (wait := self._typing(chosen)) > 0:
                return NotYet(seconds=wait)
            turn_id = chosen[0]["turn_id"] or _turn_id(chosen)
            await conn.execute(
                "update inbox set turn_id = %s, attempts = attempts + 1 where id = any(%s)",
                (turn_id, [row["id"] for row in chosen]),
            )
        return Batch(
            turn_id=turn_id,
            thread_id=thread_id,
            origin=chosen[0]["origin"],
            rows=tuple(
                InboxRow(id=row["id"], message_id=row["message_id"], kind=row["kind"], payload=row["payload"])
                for row in chosen
            ),
            attempts=chosen[0]["attempts"],
            times=(chosen[-1]["sent_at"], chosen[-1]["received_at"]),
        )

    def _typing(self, rows: Sequence[Row]) -> float:
        is_new_burst = rows[0]["origin"] == "customer" and rows[0]["turn_id"] is None
        if not is_new_burst or rows[0]["age"] > BURSTS_AT_MOST * self._burst:
            return 0
        return max(0.0, self._burst - float(rows[-1]["age"]))

    async def forgive(self, batch: Batch) -> None:
        """Do not count an attempt that failed for a reason outside the message."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update inbox set attempts = attempts - 1 where turn_id = %s and handled_at is null", (batch.turn_id,)
            )

    async def reopen(self, batch: Batch) -> None:
        """Give up a turn that the customer overtook: its rows join the next one."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update inbox set turn_id = null, attempts = attempts - 1, overtaken = overtaken + 1"
                " where turn_id = %s and handled_at is null",
                (batch.turn_id,),
            )

    async def session(self, thread_id: str) -> str | None:
        """Tell who has the customer's session in the channel, as far as known."""
        async with self._pool.connection() as conn:
            row = await _one(conn, "select session_state from conversations where thread_id = %s", (thread_id,))
        return row["session_state"] if row else None

    async def mark_handled(self, batch: Batch, outcome: str) -> None:
        """Record that a turn is finished."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update inbox set handled_at = now(), outcome = %s where id = any(%s) and handled_at is null",
                (outcome, [row.id for row in batch.rows]),
            )

    async def requeue_stranded(self) -> int:
        """Add jobs for rows that wait although nobody works on them; return how many conversations."""
        async with self._pool.connection() as conn:
            turns = await (
                await conn.execute(
                    "select distinct thread_id from inbox i where handled_at is null"
                    " and received_at < now() - interval '30 seconds' and not exists ("
                    " select 1 from procrastinate_jobs j where j.lock = 'turn:' || i.thread_id"
                    " and j.status in ('todo', 'doing'))"
                )
            ).fetchall()
            deliveries = await (
                await conn.execute(
                    "select distinct thread_id, destination from outbox o where state in ('pending', 'sending')"
                    " and created_at < now() - interval '30 seconds' and not exists ("
                    " select 1 from procrastinate_jobs j where j.lock = o.destination || ':' || o.thread_id"
                    " and j.status in ('todo', 'doing'))"
                )
            ).fetchall()
            for row in turns:
                await self._queue.turn(conn, row["thread_id"])
            for row in deliveries:
                await self._queue.deliver(conn, row["thread_id"], row["destination"])
        return len(turns) + len(deliveries)


def _turn_id(rows: Sequence[Row]) -> str:
    # From the vendor's ids and not from ours: a fresh database must not reuse the keys of messages already sent.
    ids = "\n".join(row["message_id"] for row in rows)
    return "t" + hashlib.sha256(f"{rows[0]['account_id']}:{ids}".encode()).hexdigest()[:24]


def _needs_turn(message: Inbound) -> bool:
    is_said = message.sender != "system" and bool(message.customer_id)
    return is_said or message.effect in {"not_delivered", "session_ended"}


def _same_turn(rows: Sequence[Row]) -> list[Row]:
    begun = [row for row in rows if row["turn_id"] is not None]
    if begun:
        return [row for row in begun if row["turn_id"] == begun[0]["turn_id"]]
    first = rows[0]
    if first["origin"] != "customer":
        return [first]
    turn = []
    for row in rows:
        if row["origin"] != "customer":
            break
        turn.append(row)
    return turn


async def _touch_conversation(conn: Connection, message: Inbound, sent_at: datetime) -> None:
    """Keep what the channel allows now; the row's lock also orders this against a turn that is about to speak."""
    is_customer = message.sender == "customer"
    scene, source = _source(message)
    await conn.execute(
        "insert into conversations as c"
        " (thread_id, channel, account_id, customer_id, last_customer_at, session_state, scene, source)"
        " values (%(thread)s, %(channel)s, %(account)s, %(customer)s, %(last)s, %(session)s, %(scene)s, %(source)s)"
        " on conflict (thread_id) do update set"
        " last_customer_at = greatest(c.last_customer_at, excluded.last_customer_at),"
        " units_used = case when %(is_customer)s then 0 else c.units_used end,"
        # A customer who writes opens a session anew that was closed, or ended by itself after 48 hours (doc 94669).
        " session_state = case when %(is_customer)s and (c.session_state = 'closed'"
        "  or excluded.last_customer_at > c.last_customer_at + interval '48 hours') then null"
        " else coalesce(excluded.session_state, c.session_state) end,"
        # The link they last came through, for as long as they come through any.
        " scene = case when excluded.source = '' then c.scene else excluded.scene end,"
        " source = case when excluded.source = '' then c.source else excluded.source end",
        {
            "thread": message.thread_id,
            "channel": message.channel,
            "account": message.account_id,
            "customer": message.customer_id,
            "last": sent_at if is_customer else None,
            "session": message.session,
            "is_customer": is_customer,
            "scene": scene,
            "source": source,
        },
    )


def _source(message: Inbound) -> tuple[str, str]:
    """Return the scene of the link a customer came through, and what it was made for."""
    if message.kind != "enter_session":
        return "", ""
    scene, param = (storable(str(message.extra.get(name) or "")) for name in ("scene", "scene_param"))
    return scene, param or scene


async def _one(conn: Connection, statement: str, parameters: tuple[object, ...]) -> Row | None:
    return await (await conn.execute(statement.encode(), parameters)).fetchone()
