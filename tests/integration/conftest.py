"""The service's durable parts on a real database, between a shop's channel and a desk kept in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api.channels import Channels
from api.checkpoints import make_saver
from api.customers import Customers
from api.database import Pool, Row
from api.deliveries import Deliveries
from api.desk.desks import Desks
from api.desk.inbox import DeskInbox
from api.desk.timers import HandoffTimers
from api.greetings import Greetings
from api.housekeeping import Housekeeping
from api.inbox import Inbox
from api.job_queue import JobQueue
from api.jobs import Jobs
from api.observability.totals import settle
from api.outbox import DurableOutbox
from api.settings import HandoffSettings, variable_names
from graph.assist import Assistant
from graph.builder import build
from graph.context import Context, Ports
from graph.conversation import Conversation
from graph.texts import PromptTexts
from kb.chunks import Grade, Hit
from tools.memory import MemoryChannel, MemoryDesk
from tools.messages import (
    DeskEvent,
    DeskPlace,
    DeskPost,
    Handoff,
    Inbound,
    Menu,
    Outbound,
    Page,
    SendLimits,
    Session,
    thread_id_for,
)
from tools.rate_limit import RateLimiter

CHAT_ID = -100
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class ScriptedKnowledge:
    """Answers from a table; a query in `poison` fails in a way nobody foresaw, one in `near` is unclear."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.near: dict[str, dict[str, str]] = {}
        self.poison: set[str] = set()

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        if query in self.poison:
            raise RuntimeError("nobody foresaw this")
        if query in self.near:
            return [self._hit(question, answer, 0.5) for question, answer in self.near[query].items()][:limit]
        return [self._hit(query, self.entries[query], 0.95)] if query in self.entries else []

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        return Grade(
            confidence=hits[0].score if hits else 0.0,
            threshold=0.8,
            shortlist=0.9 if query in self.near else 0.0,
            shortlist_threshold=0.6,
        )

    @staticmethod
    def _hit(question: str, answer: str, score: float) -> Hit:
        return Hit(
            chunk_id=f"c-{question}",
            entry_id=f"e-{question}",
            content=answer,
            question=question,
            answer=answer,
            score=score,
        )


class ShopChannel(MemoryChannel):
    """Serves scripted pages and fails on demand; errors are raised in order, one a call."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[Page] = []
        self.pulled: list[tuple[str, str, str]] = []
        self.accounts: list[str] = []
        self.names: dict[str, str] = {}
        self.asked_names: list[str] = []
        self.send_errors: list[Exception] = []
        self.other_errors: list[Exception] = []
        self.attempted_keys: list[str] = []
        self.arrived = asyncio.Event()
        self.current_session: Session = "bot"

    async def session(self, account_id: str, customer_id: str) -> Session:
        return self.current_session

    async def pull(self, account_id: str, *, cursor: str, token: str) -> Page:
        self.pulled.append((account_id, cursor, token))
        return self.pages.pop(0) if self.pages else Page(messages=(), next_cursor=cursor, has_more=False)

    async def send(self, outbound: Outbound) -> None:
        self.attempted_keys.append(outbound.key)
        if self.send_errors:
            raise self.send_errors.pop(0)
        await super().send(outbound)
        self.arrived.set()

    async def welcome(self, code: str, greeting: str | Menu, key: str) -> None:
        self._fail()
        await super().welcome(code, greeting, key)

    async def account_ids(self) -> Sequence[str]:
        self._fail()
        return self.accounts

    async def customer_name(self, customer_id: str) -> str:
        self.asked_names.append(customer_id)
        return self.names.get(customer_id, "")

    def split(self, text: str) -> list[str]:
        return text.split("|")

    @property
    def texts(self) -> list[str]:
        return [sent.text for sent in self.sent]

    def _fail(self) -> None:
        if self.other_errors:
            raise self.other_errors.pop(0)


class ForumDesk(MemoryDesk):
    """A desk with topics that fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.shown_in: list[DeskPlace] = []
        self._topics = 40

    async def place(self, post: DeskPost, known: DeskPlace | None) -> DeskPlace:
        if known is not None:
            return known
        self._topics += 1
        return DeskPlace(chat_id=CHAT_ID, topic_id=self._topics)

    async def post(self, post: DeskPost, place: DeskPlace) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.shown_in.append(place)
        return await super().post(post, place)

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(post.kind, post.text) for post in self.posts]


class Works:
    """Inbox, outbox, queue, graph and jobs of one shop, with everything to look at."""

    account_id = "wk1"
    chat_id = CHAT_ID
    now = NOW

    def __init__(self, pool: Pool, queue: JobQueue) -> None:
        self.pool, self.queue = pool, queue
        self.texts = PromptTexts()
        self.knowledge, self.channel, self.desk = ScriptedKnowledge(), ShopChannel(), ForumDesk()
        self.inbox = Inbox(pool, queue)
        self.channels = Channels({"wecom": self.channel})
        self.outbox = DurableOutbox(pool, queue, split=self.channels.split, has_desk=True)
        self.deliveries = Deliveries(pool, queue, limits=self.channels.limits, split=self.channels.split)
        self.ports = Ports(retriever=self.knowledge, grader=self.knowledge, outbox=self.outbox, texts=self.texts)
        self.graph = build(self.ports).compile(checkpointer=make_saver(pool))
        self.conversation = Conversation(self.graph, self.outbox, Context())
        self.desk_inbox = self.make_desk_inbox()
        self.embedded = self.cleaned = 0
        timers = HandoffTimers(pool, queue, self.outbox, self.texts, HandoffSettings(_env_file=None))
        greetings = Greetings(
            pool=pool,
            inbox=self.inbox,
            channel=self.channel,
            customers=Customers(pool, self.channels),
            texts=self.texts,
        )
        housekeeping = Housekeeping(
            pool=pool,
            queue=queue,
            inbox=self.inbox,
            outbox=self.outbox,
            channels=self.channels,
            texts=self.texts,
            timers=timers,
            greetings=greetings,
            embed_waiting=self._embed,
            run_retention=self._clean,
            keep_calibrated=self._calibrate,
            settle=partial(settle, pool),
            refresh_callback_addresses=self._refresh,
        )
        self.jobs = Jobs(
            pool=pool,
            queue=queue,
            inbox=self.inbox,
            outbox=self.outbox,
            deliveries=self.deliveries,
            conversation=self.conversation,
            channels=self.channels,
            desks=Desks(desks={"telegram": self.desk}),
            customers=Customers(pool, self.channels),
            texts=self.texts,
            limiter=RateLimiter(None, per_minute=1000),
            timers=timers,
            greetings=greetings,
            housekeeping=housekeeping,
            try_question=self._try_question,
        )
        self._numbers = 0

    async def _clean(self) -> None:
        self.cleaned += 1

    def make_desk_inbox(self, *, limits: SendLimits | None = None, **options: Any) -> DeskInbox:
        """Build the desk's side of the inbox."""
        return DeskInbox(
            self.pool,
            self.queue,
            self.outbox,
            self.texts,
            split=self.channels.split,
            limits=(lambda _: limits) if limits else self.channels.limits,
            **options,
        )

    async def _try_question(self, query: str, limit: int) -> tuple[Sequence[Hit], Grade]:
        hits = await self.knowledge.search(query, limit=limit)
        return hits, self.knowledge.grade(query, hits)

    async def _calibrate(self) -> bool:
        return False

    async def _refresh(self) -> None:
        return

    async def _embed(self) -> int:
        self.embedded += 1
        return 0

    def thread(self, customer: str = "wm1") -> str:
        return thread_id_for("wecom", self.account_id, customer)

    def message(self, text: str = "你好", message_id: str = "", *, age: float = 0, **fields: Any) -> Inbound:
        """Make a message `age` seconds old."""
        self._numbers += 1
        facts: dict[str, Any] = {
            "channel": "wecom",
            "account_id": self.account_id,
            "customer_id": "wm1",
            "message_id": message_id or f"m{self._numbers}",
            "sender": "customer",
            "kind": "text",
            "text": text,
            "sent_at": NOW.timestamp() - age,
        }
        return Inbound(**facts | fields)

    def recall(self, message_id: str) -> Inbound:
        """Make the event of a message taken back."""
        return self.message("", sender="system", kind="user_recall_msg", effect="recalled", about=message_id)

    def not_delivered(self, key: str, reason: str) -> Inbound:
        """Make the report that a sent message did not arrive."""
        return self.message(reason, sender="system", kind="msg_send_fail", effect="not_delivered", about=key)

    def staff_message(self, text: str) -> Inbound:
        """Make what a servicer writes in the channel's own client."""
        return self.message(text, sender="staff", session="staff")

    def set_limits(self, *, units: int, window_seconds: float = float("inf")) -> None:
        """Let the channel allow so many messages after each of the customer's."""
        limits = SendLimits(units=units, window_seconds=window_seconds)
        self._renew(deliveries=Deliveries(self.pool, self.queue, limits=lambda _: limits, split=self.channels.split))
        self.desk_inbox = self.make_desk_inbox(limits=limits)

    def set_handoff(self, **variables: Any) -> None:
        """Change what happens while a person has the conversation, by variables without their prefix."""
        settings = HandoffSettings(_env_file=None, **{f"kefu_{name}": value for name, value in variables.items()})
        context = Context(handoff_mode=settings.kefu_handoff_mode)
        self.conversation = Conversation(self.graph, self.outbox, context, assistant=Assistant(self.ports))
        timers = HandoffTimers(self.pool, self.queue, self.outbox, self.texts, settings)
        self._renew(conversation=self.conversation, timers=timers)

    def set_burst(self, seconds: float) -> None:
        """Wait so long for the customer's next line."""
        self.inbox = Inbox(self.pool, self.queue, burst_seconds=seconds)
        self._renew(inbox=self.inbox)

    def _renew(self, **parts: Any) -> None:
        def renewed(whole: Any) -> Any:
            return replace(whole, **{name: part for name, part in parts.items() if hasattr(whole, name)})

        self.jobs = replace(renewed(self.jobs), housekeeping=renewed(self.jobs.housekeeping))
        self.deliveries = self.jobs.deliveries

    async def store(self, *messages: Inbound, cursor: str = "c1", has_more: bool = False) -> None:
        """Store a page."""
        await self.inbox.cursor(self.account_id)
        page = Page(messages=messages, next_cursor=cursor, has_more=has_more)
        await self.inbox.store_page(self.account_id, page, now=NOW)

    async def customer(self, *texts: str) -> None:
        """Write as the customer, let the bot work, deliver everything."""
        await self.store(*(self.message(text) for text in texts))
        await self.work()

    async def agent(self, text: str, **fields: Any) -> str:
        """Act at the desk, let the bot work, deliver everything; return what became of it."""
        outcome = await self.act(await self.event(text, **fields))
        await self.work()
        return outcome

    async def act(self, event: DeskEvent) -> str:
        """Do something at the desk; return what became of it."""
        return (await self.desk_inbox.store(event)).outcome

    async def event(self, text: str = "", **fields: Any) -> DeskEvent:
        """Make a desk event in the customer's topic."""
        self._numbers += 1
        rows = await self.rows("select topic_id from desk_places where thread_id = %s", self.thread())
        facts: dict[str, Any] = {
            "update_id": self._numbers,
            "place": DeskPlace(chat_id=CHAT_ID, topic_id=rows[0]["topic_id"] if rows else None),
            "reply_to": None,
            "agent": "小王",
            "action": "text",
            "text": text,
        }
        return DeskEvent(**facts | fields)

    async def work(self) -> None:
        """Do the jobs of the first customer's conversation."""
        await self.jobs.turn(self.thread())
        await self.jobs.deliver(self.thread(), "customer")
        await self.jobs.deliver(self.thread(), "desk")

    def handoff(self, ticket_id: str = "ticket1", **fields: Any) -> Handoff:
        facts: dict[str, Any] = {
            "ticket_id": ticket_id,
            "thread_id": self.thread(),
            "customer_name": "",
            "question": "能刻字吗?",
            "reason": "low_confidence",
            "confidence": 0.3,
            "history": (),
            "draft": "可以。",
        }
        return Handoff(**facts | fields)

    async def rows(self, statement: str, *parameters: object) -> list[Row]:
        async with self.pool.connection() as conn:
            return await (await conn.execute(statement.encode(), parameters)).fetchall()

    async def run(self, statement: str, *parameters: object) -> None:
        async with self.pool.connection() as conn:
            await conn.execute(statement.encode(), parameters)

    async def waiting_jobs(self, *names: str) -> list[tuple[str, str | None]]:
        """List task and lock of what the queue holds."""
        rows = await self.rows("select task_name, lock from procrastinate_jobs where status = 'todo' order by id")
        return [(row["task_name"], row["lock"]) for row in rows if not names or row["task_name"] in names]

    async def forget_jobs(self) -> None:
        await self.run("truncate procrastinate_jobs cascade")


@pytest.fixture
async def queue(pool: Pool) -> AsyncIterator[JobQueue]:
    """The real queue on the test's database."""
    opened = JobQueue()
    async with opened.app.open_async(pool):
        yield opened


@pytest.fixture
async def works(pool: Pool, queue: JobQueue) -> Works:
    """A shop without a worker: tests call the jobs."""
    made = Works(pool, queue)
    made.jobs.register()
    return made


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Unset every variable that is read, stand in an empty folder, and undo what a command does to logging."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    root.handlers[:] = handlers
    root.setLevel(level)
