"""The greeting of who opens the chat: a text, and the questions that are asked most, ready before anybody comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.customers import Customers
from api.database import Connection, Pool, Row
from api.inbox import Inbox
from graph.choices import greeting_option_id
from graph.context import Texts
from kb.chunks import Chunk
from kb.rows import make_entry_id, parse_row
from prompts.welcomes import EXAMPLE, around_examples, welcome_prompt
from tools.errors import ChannelError, DuplicateMessageError
from tools.messages import Menu, MenuOption, delivery_key
from tools.ports import Channel

logger = logging.getLogger(__name__)

CODE_LIFE = timedelta(seconds=20)
TRIES = 3
PREPARE_SECONDS = 2
"""How long a name, or questions that nobody has made yet, may take."""

KEPT = 9
"""Questions that are made ready; some may lose their entry before they are next made."""
LABEL_BYTES = 128
HEAD_BYTES = TAIL_BYTES = 1024
"""What WeCom takes in a menu (doc 95122)."""

IS_STALE = b"""
select count(*) = 0 or min(made_at) < now() - interval '10 minutes'
    or exists (select 1 from knowledge_changes where created_at > min(made_at)) as is_stale
from greeting_questions
"""
READY = b"""
select g.entry_id, g.question from greeting_questions g join knowledge_chunks k on k.id = g.chunk_id
where %(categories)s::text[] is null or btrim(coalesce(k.metadata ->> 'category', '')) = any(%(categories)s)
order by g.place limit %(limit)s
"""
# How many customers each chunk answered, but for those who only clicked what a greeting had offered them: else what is
# offered once would stay for ever.
MOST_ASKED = b"""
with said as (
    select s.source, count(distinct o.thread_id) as asked
    from outbox o cross join lateral jsonb_array_elements_text(o.payload -> 'sources') as s (source)
    where o.destination = 'customer' and o.created_at > now() - interval '30 days' and not exists (
            select 1 from inbox i where i.turn_id = o.turn_id and i.payload ->> 'menu_id' like 'greeted\\_%%')
    group by s.source
)
select k.id, k.content, k.metadata from said join knowledge_chunks k on k.id::text = said.source
order by said.asked desc, k.id limit 100
"""
OF_ENTRIES = b"select id, content, metadata from knowledge_chunks where metadata ->> 'entry_id' = any(%(ids)s)"
NAMED = b"select id, content, metadata from knowledge_chunks where metadata ->> 'question' = any(%(questions)s)"
FIRST = b"""
select id, content, metadata from knowledge_chunks
order by created_at, metadata ->> 'source', metadata ->> 'question', id limit 100
"""
NO_CHUNK = "00000000-0000-0000-0000-000000000000"
SAVE = b"""
insert into greeting_questions (place, entry_id, chunk_id, question) values (%(place)s, %(entry)s, %(chunk)s, %(text)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greetings:
    """Greets customers within the 20 seconds their code lives."""

    pool: Pool
    inbox: Inbox
    channel: Channel
    customers: Customers
    texts: Texts
    questions: int = 3
    """How many are offered; 0: the greeting is a text."""
    company: str = ""
    pause_seconds: float = 1
    """Between two tries."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    categories: Callable[[str], frozenset[str] | None] = lambda _: None
    """What a conversation is answered from; None: everything."""

    async def greet(self, inbox_id: int) -> None:
        """Greet a customer who just entered; the key makes another try harmless, the code's life bounds them."""
        row = await self.inbox.message(inbox_id)
        assert row is not None, "stored in the transaction that added this job"
        greeting = await self.greeting_for(row)
        key, until = delivery_key(row["message_id"], "welcome"), row["received_at"] + CODE_LIFE
        for attempt in range(1, TRIES + 1):
            try:
                await self.channel.welcome(row["payload"]["welcome_code"], greeting, key)
            except DuplicateMessageError:
                return
            except ChannelError as error:
                extra: dict[str, Any] = {"action": "welcome_failed", "inbox_id": inbox_id, "code": error.code}
                logger.warning("Welcome not sent", extra=extra)
                if not error.transient or attempt == TRIES or self.now() >= until:
                    return
                await asyncio.sleep(self.pause_seconds)
            else:
                return

    async def greeting_for(self, row: Row) -> Menu | str:
        """Return what the customer is told; a menu where questions are ready."""
        scene, param = (str(row["payload"].get(name) or "") for name in ("scene", "scene_param"))
        source = param or scene
        prompt = welcome_prompt("greeting", account=row["account_id"], source=source, scene=scene)
        name = await self._name(row["thread_id"]) if "customer_name" in prompt.placeholders else ""
        text = prompt.render(customer_name=name, company=self.company, source=source)
        head, tail = around_examples(text)
        options = await self._options(self.categories(row["thread_id"])) if self.questions else ()
        if not options or not head or len(head.encode()) > HEAD_BYTES or len(tail.encode()) > TAIL_BYTES:
            return self.channel.split(text)[0]
        return Menu(head=head, options=options, tail=tail)

    async def refresh(self, *, anyway: bool = False) -> bool:
        """Make the questions ready if they are old, or the base has changed; tell whether they were."""
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute("select pg_advisory_xact_lock(hashtextextended('kefu.greetings', 14))")
            row = await (await conn.execute(IS_STALE)).fetchone()
            if not anyway and row is not None and not row["is_stale"]:
                return False
            entries = await self._choose(conn)
            await conn.execute("delete from greeting_questions")
            # Says when it was looked, where nothing was found, too: else every greeting would look again.
            await conn.execute(SAVE, {"place": 0, "entry": "", "chunk": NO_CHUNK, "text": ""})
            for place, (chunk_id, chunk) in enumerate(entries, start=1):
                values = {"place": place, "entry": chunk.entry_id, "chunk": chunk_id, "text": chunk.question}
                await conn.execute(SAVE, values)
        return True

    async def _options(self, categories: frozenset[str] | None) -> tuple[MenuOption, ...]:
        rows = await self._ready(categories)
        if not rows:
            # Nobody has made any yet: the service just started.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PREPARE_SECONDS):
                    await self.refresh()
                    rows = await self._ready(categories)
        named = ((greeting_option_id(row["entry_id"]), row["question"]) for row in rows)
        return tuple(MenuOption(option_id=option_id, label=label) for option_id, label in named if option_id)

    async def _ready(self, categories: frozenset[str] | None) -> list[Row]:
        values = {"limit": self.questions, "categories": None if categories is None else list(categories)}
        async with self.pool.connection() as conn:
            return await (await conn.execute(READY, values)).fetchall()

    async def _name(self, thread_id: str) -> str:
        with contextlib.suppress(ChannelError, TimeoutError):
            async with asyncio.timeout(PREPARE_SECONDS):
                return await self.customers.name(thread_id)
        return ""

    async def _choose(self, conn: Connection) -> list[tuple[str, Chunk]]:
        """Return the questions to offer: those asked most, then the greeting's own examples, then the first."""
        chosen: dict[str, tuple[str, Chunk]] = {}
        asked = await _rows(conn, MOST_ASKED, {})
        ids = list(dict.fromkeys(chunk.entry_id for _, chunk in asked))
        mains = _by_entry([*asked, *await _rows(conn, OF_ENTRIES, {"ids": ids})])
        for found in (
            [mains[entry_id] for entry_id in ids],
            await _rows(conn, NAMED, {"questions": _examples()}),
            await _rows(conn, FIRST, {}),
        ):
            for chunk_id, chunk in found:
                if self._is_suitable(chunk) and chunk.question not in {each.question for _, each in chosen.values()}:
                    chosen.setdefault(chunk.entry_id, (chunk_id, chunk))
        return list(chosen.values())[:KEPT]

    def _is_suitable(self, chunk: Chunk) -> bool:
        """Tell whether a click on it would be answered from its entry and the label shows it whole."""
        question = chunk.question
        is_short = len(question.encode()) <= LABEL_BYTES and "\n" not in question
        has_id = greeting_option_id(chunk.entry_id) is not None
        return bool(question) and is_short and has_id and not self.texts.wants_human(question)


async def _rows(conn: Connection, statement: bytes, values: dict[str, Any]) -> list[tuple[str, Chunk]]:
    rows = await (await conn.execute(statement, values)).fetchall()
    return [(str(row["id"]), parse_row(row["content"], row["metadata"])) for row in rows]


def _by_entry(found: Sequence[tuple[str, Chunk]]) -> dict[str, tuple[str, Chunk]]:
    """Return of each entry the chunk with its own question, not one with another wording."""
    mains: dict[str, tuple[str, Chunk]] = {}
    for chunk_id, chunk in found:
        is_main = chunk.entry_id == make_entry_id(chunk.source, chunk.question)
        if is_main or chunk.entry_id not in mains:
            mains[chunk.entry_id] = chunk_id, chunk
    return mains


def _examples() -> list[str]:
    """Return the questions the default greeting shows as examples, with either question mark."""
    lines = (line.strip() for line in welcome_prompt("greeting").text.split("\n"))
    asked = [line.removeprefix(EXAMPLE).strip(" ?？") for line in lines if line.startswith(EXAMPLE)]
    return [question + mark for question in asked for mark in ("？", "?", "")]
