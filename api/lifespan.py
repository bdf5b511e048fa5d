"""The composition root: opens pools, makes ports, compiles the graph, starts workers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.postgres import AsyncPostgresStore
from redis.asyncio import Redis

from api.customers import Customers
from api.database import Pool, open_pool
from api.deliveries import Deliveries
from api.desk.inbox import DeskInbox
from api.desk.intake import DeskIntake
from api.desk.news import DeskNews
from api.desk.opening import open_desks
from api.desk.reviews import DeskReviews
from api.desk.timers import HandoffTimers
from api.desk.wecom_intake import WecomDeskIntake
from api.friends.jobs import Friends, make_contacts, make_friends
from api.greetings import Greetings
from api.inbox import Inbox
from api.job_queue import JobQueue
from api.jobs import Jobs
from api.knowledge import Knowledge, open_knowledge
from api.learning.answers import learn
from api.learning.misses import want_entry
from api.learning.polish import ModelPolisher
from api.outbox import DurableOutbox
from api.retention import RetentionReport, run_retention
from api.settings import Settings
from api.transcripts import Transcripts
from graph.assist import Assistant
from graph.builder import build
from graph.context import Context, Ports
from graph.conversation import Conversation
from graph.profile import Profiles
from graph.reader import ModelReader
from graph.summary import ModelSummariser
from graph.texts import PromptTexts
from kb.chunks import Grade, Hit
from kb.errors import KbError
from kb.ingest import embed_waiting
from prompts.loader import load
from prompts.rule_book import RuleBook
from tools.answer_cache import AnswerCache
from tools.chat_model import GuardedChatModel, make_chat_model
from tools.memory import MemoryChannel
from tools.model_usage import Meter
from tools.office_hours import Reception
from tools.ports import Channel
from tools.rate_limit import RateLimiter
from tools.telegram import TelegramDesk
from tools.transcription import Transcribers, make_transcribers
from tools.wecom.callback import CallbackCrypto
from tools.wecom.channel import WecomChannel
from tools.wecom.client import WecomClient

logger = logging.getLogger(__name__)

POOL_SIZE = 8
"""Connections a process may use beside those of its turns: three workers and two servers fit into the 100 connections
PostgreSQL allows by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes and the workers of one process share."""

    settings: Settings
    pool: Pool
    redis: Redis | None
    crypto: CallbackCrypto | None
    """None: WeCom is not configured, its callbacks are refused."""
    inbox: Inbox
    knowledge: Knowledge
    jobs: Jobs
    desk: TelegramDesk | None
    """The one on Telegram."""
    desk_intake: DeskIntake | None
    wecom_intake: WecomDeskIntake | None = None
    """What members do in the app's chat; None: nobody answers inside WeCom."""


@contextlib.asynccontextmanager
async def open_services(settings: Settings, conninfo: str, *, concurrency: int) -> AsyncIterator[Services]:
    """Open everything one process needs to work on `concurrency` turns at once; the database must be migrated.

    A running turn holds one connection for its lock and borrows others.
    """
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(conninfo, size=POOL_SIZE + concurrency))
        knowledge = await stack.enter_async_context(open_knowledge(settings, pool, conninfo))
        redis = await _open_redis(settings, stack)
        channel = await _open_channel(settings, redis, stack)
        opened = await open_desks(settings, redis, stack)
        desks, desk = opened.desks, opened.telegram
        queue = JobQueue()
        await stack.enter_async_context(queue.app.open_async(pool))
        model = make_chat_model(settings.model)
        if model is not None:
            stack.push_async_callback(model.aclose)
        texts = PromptTexts()
        inbox = Inbox(pool, queue, burst_seconds=settings.service.kefu_burst_seconds)
        outbox = DurableOutbox(
            pool,
            queue,
            split=channel.split,
            has_desk=bool(desks),
            shortened=texts.render("shortened"),
            first_webhooks=desks.first_groups,
        )
        meter = Meter(price_input=settings.model.llm_price_input, price_output=settings.model.llm_price_output)
        ports = Ports(
            retriever=knowledge.retriever,
            grader=knowledge.grader,
            outbox=outbox,
            texts=texts,
            reader=_make_reader(redis, model, meter),
            summariser=ModelSummariser(model, meter=meter) if model else None,
            hours=Reception(settings.handoff.hours),
            rules=RuleBook(settings.handoff.kefu_rules_file),
            profiles=Profiles(AsyncPostgresStore(pool)),
        )
        context = Context(
            top_k=settings.kb.kb_top_k,
            has_desk=bool(desks),
            model_timeout_seconds=settings.model.llm_timeout_seconds,
            handoff_mode=settings.handoff.kefu_handoff_mode,
        )
        polisher = ModelPolisher(model, seconds=settings.model.llm_timeout_seconds) if model else None
        saver = make_saver(pool)
        graph = build(ports).compile(checkpointer=saver)
        conversation = Conversation(graph, outbox, context, assistant=Assistant(ports), profiles=ports.profiles)
        transcribers = await _open_transcribers(settings, stack)

        async def retention() -> RetentionReport:
            # First what people answered becomes drafts: afterwards the old texts are gone.
            await _learn(knowledge, polisher)
            return await run_retention(pool, saver, settings.retention, now=datetime.now(UTC))

        async def embed() -> int:
            return await embed_waiting(pool, knowledge.embedder)

        async def try_question(query: str, limit: int) -> tuple[Sequence[Hit], Grade]:
            return await knowledge.try_question(query, limit=limit)

        reviews = DeskReviews(pool, queue, outbox, texts, knowledge, polisher=polisher)
        jobs = Jobs(
            pool=pool,
            queue=queue,
            inbox=inbox,
            outbox=outbox,
            deliveries=Deliveries(pool, queue, limits=channel.limits, split=channel.split),
            conversation=conversation,
            channel=channel,
            desks=desks,
            customers=Customers(pool, channel),
            texts=texts,
            limiter=RateLimiter(redis, per_minute=settings.service.kefu_customer_messages_per_minute),
            timers=HandoffTimers(
                pool,
                queue,
                outbox,
                texts,
                settings.handoff,
                other_desks=desks.lines(outbox),
                take_minutes=settings.service.kefu_take_minutes,
            ),
            embed_waiting=embed,
            run_retention=retention,
            keep_calibrated=partial(knowledge.keep_calibrated, DeskNews(outbox=outbox, texts=texts).drift),
            greetings=Greetings(
                pool=pool,
                inbox=inbox,
                channel=channel,
                customers=Customers(pool, channel),
                texts=texts,
                questions=settings.welcome.kefu_greeting_questions,
                company=settings.welcome.kefu_company,
            ),
            friends=await _open_friends(settings, pool, redis, stack),
            try_question=try_question,
            reviews=reviews,
            transcripts=Transcripts(pool=pool, channel=channel, transcriber=transcribers),
        )
        jobs.register()
        desk_inbox = DeskInbox(
            pool,
            queue,
            outbox,
            texts,
            split=channel.split,
            limits=channel.limits,
            take_minutes=settings.service.kefu_take_minutes,
            request_entry=want_entry,
            take_review=reviews.take,
        )
        intake = DeskIntake(desk_inbox, desk, texts, chat_id=settings.telegram.chat_id) if desk else None
        wecom_intake = (
            WecomDeskIntake(desk_inbox, opened.wecom, texts, members=settings.telegram.members)
            if opened.wecom
            else None
        )
        yield Services(
            settings=settings,
            pool=pool,
            redis=redis,
            crypto=_make_crypto(settings),
            inbox=inbox,
            knowledge=knowledge,
            jobs=jobs,
            desk=desk,
            desk_intake=intake,
            wecom_intake=wecom_intake,
        )


def _make_reader(redis: Redis | None, model: GuardedChatModel | None, meter: Meter) -> ModelReader | None:
    if model is None:
        return None
    return ModelReader(model, model_id=model.model_name, cache=AnswerCache(redis), meter=meter)


async def _learn(knowledge: Knowledge, polisher: ModelPolisher | None) -> None:
    try:
        await learn(knowledge.pool, knowledge.embedder, polisher=polisher, actor="kefu")
    except KbError as error:
        logger.warning("No drafts from people's answers", extra={"action": "learn_failed", "error": str(error)})


def make_saver(pool: Pool) -> AsyncPostgresSaver:
    """Build the checkpointer over our pool; its tables are made by the migration."""
    saver = AsyncPostgresSaver(pool, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    # Its one lock per instance would run all conversations through one connection at a time; the pool needs none.
    saver.lock = contextlib.nullcontext()  # type: ignore[assignment]
    return saver


async def _open_transcribers(settings: Settings, stack: contextlib.AsyncExitStack) -> Transcribers | None:
    made = make_transcribers(settings.model, picture_prompt=load("describe_picture").render())
    if made is not None:
        stack.push_async_callback(made.aclose)
    return made


async def _open_redis(settings: Settings, stack: contextlib.AsyncExitStack) -> Redis | None:
    url = settings.redis.redis_url
    if url is None:
        return None
    redis = Redis.from_url(url.get_secret_value(), socket_timeout=2, socket_connect_timeout=2)
    stack.push_async_callback(redis.aclose)
    return redis


async def _open_channel(settings: Settings, redis: Redis | None, stack: contextlib.AsyncExitStack) -> Channel:
    wecom = settings.wecom
    if not wecom.is_configured:
        logger.warning("WeCom is not configured: no customer reaches this service", extra={"action": "wecom_off"})
        return MemoryChannel()
    client = WecomClient(
        api_base=wecom.wecom_api_base, corp_id=wecom.wecom_corp_id, secret=wecom.kf_secret, redis=redis
    )
    await stack.enter_async_context(client)
    return WecomChannel(client)


async def _open_friends(
    settings: Settings, pool: Pool, redis: Redis | None, stack: contextlib.AsyncExitStack
) -> Friends | None:
    wecom = settings.wecom
    if not wecom.is_configured:
        return None
    contacts = await stack.enter_async_context(make_contacts(wecom, redis))
    return make_friends(pool, contacts, settings.welcome)


def _make_crypto(settings: Settings) -> CallbackCrypto | None:
    wecom = settings.wecom
    if wecom.wecom_token is None or wecom.wecom_encoding_aes_key is None:
        return None
    return CallbackCrypto(wecom.wecom_token, wecom.wecom_encoding_aes_key, wecom.wecom_corp_id)
