"""The composition root: opens pools, makes ports, compiles the graph, starts workers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from langgraph.store.postgres import AsyncPostgresStore
from redis.asyncio import Redis

from api.accounts import Account, load_accounts
from api.callback_addresses import CallbackAddresses
from api.channels import open_channels
from api.checkpoints import make_saver
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
from api.friends.jobs import make_contacts, make_friends
from api.greetings import Greetings
from api.housekeeping import Housekeeping
from api.inbox import Inbox
from api.job_queue import JobQueue
from api.jobs import Jobs
from api.knowledge import Knowledge, open_knowledge
from api.learning.answers import learn
from api.learning.misses import want_entry
from api.learning.polish import ModelPolisher
from api.observability.exposition import Exposition
from api.observability.opening import make_observer, open_observability, traced
from api.observability.totals import settle
from api.outbox import DurableOutbox
from api.outreach.jobs import make_outreach
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
from kb.masking import Mask
from kb.ports import Retriever
from kb.retriever import CategoryRetriever
from prompts.loader import load
from prompts.rule_book import RuleBook
from tools.answer_cache import AnswerCache
from tools.chat_model import GuardedChatModel, make_chat_model
from tools.model_usage import Meter
from tools.office_hours import Reception
from tools.rate_limit import RateLimiter
from tools.telegram import TelegramDesk
from tools.transcription import Transcribers, make_transcribers
from tools.wecom.app_channel import WecomAppChannel
from tools.wecom.callback import CallbackCrypto
from tools.wecom.contacts import WecomContacts

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
    wecom_app: WecomAppChannel | None = None
    """The app's chat as a customers' channel; None: it is none."""
    exposition: Exposition
    """What /metrics serves."""


@contextlib.asynccontextmanager
async def open_services(settings: Settings, conninfo: str, *, concurrency: int) -> AsyncIterator[Services]:
    """Open everything one process needs to work on `concurrency` turns at once; the database must be migrated.

    A running turn holds one connection for its lock and borrows others.
    """
    async with contextlib.AsyncExitStack() as stack:
        ring = settings.service.key_ring
        pool = await stack.enter_async_context(open_pool(conninfo, size=POOL_SIZE + concurrency, ring=ring))
        knowledge = await stack.enter_async_context(open_knowledge(settings, pool, conninfo))
        redis = await _open_redis(settings, stack)
        opened_channels = await open_channels(settings, redis, stack)
        channels = opened_channels.channels
        exposition = await stack.enter_async_context(
            open_observability(settings, pool, knowledge, units=channels.pulled.limits.units)
        )
        opened = await open_desks(settings, redis, stack)
        desks, desk = opened.desks, opened.telegram
        queue = JobQueue()
        await stack.enter_async_context(queue.app.open_async(pool))
        model = make_chat_model(settings.model, Mask)
        if model is not None:
            stack.push_async_callback(model.aclose)
        texts = PromptTexts()
        inbox = Inbox(pool, queue, burst_seconds=settings.service.kefu_burst_seconds)
        outbox = DurableOutbox(
            pool,
            queue,
            split=channels.split,
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
            reader=_make_reader(AnswerCache(redis, sealer=ring), model, meter),
            summariser=ModelSummariser(model, meter=meter) if model else None,
            hours=Reception(settings.handoff.hours),
            rules=RuleBook(settings.handoff.kefu_rules_file),
            profiles=Profiles(AsyncPostgresStore(pool), seal=ring.seal if ring else str),
        )
        context = Context(
            top_k=settings.kb.kb_top_k,
            has_desk=bool(desks),
            model_timeout_seconds=settings.model.llm_timeout_seconds,
            handoff_mode=settings.handoff.kefu_handoff_mode,
        )
        polisher = ModelPolisher(model, seconds=settings.model.llm_timeout_seconds) if model else None
        saver = make_saver(pool, ring)
        observer = make_observer(settings, knowledge)

        def converse(with_ports: Ports) -> Conversation:
            graph = traced(build(with_ports).compile(checkpointer=saver), settings)
            assistant = Assistant(with_ports)
            return Conversation(graph, outbox, context, assistant=assistant, profiles=ports.profiles, observer=observer)

        accounts = load_accounts(settings.service.kefu_accounts_file)
        own_ports = {name: _ports_of(account, ports, knowledge) for name, account in accounts.by_name.items()}
        transcribers = await _open_transcribers(settings, stack)
        contacts = await _open_contacts(settings, redis, stack)

        async def retention() -> RetentionReport:
            # First what people answered becomes drafts: afterwards the old texts are gone.
            await _learn(knowledge, polisher)
            return await run_retention(pool, saver, settings.retention, now=datetime.now(UTC))

        async def embed() -> int:
            return await embed_waiting(pool, knowledge.embedder)

        async def try_question(query: str, limit: int) -> tuple[Sequence[Hit], Grade]:
            return await knowledge.try_question(query, limit=limit)

        reviews = DeskReviews(pool, queue, outbox, texts, knowledge, polisher=polisher)
        timers = HandoffTimers(
            pool,
            queue,
            outbox,
            texts,
            settings.handoff,
            other_desks=desks.lines(outbox),
            take_minutes=settings.service.kefu_take_minutes,
            texts_of=lambda thread_id: own_ports[own.name].texts if (own := accounts.of(thread_id)) else texts,
        )
        greetings = Greetings(
            pool=pool,
            inbox=inbox,
            channel=channels.pulled,
            customers=Customers(pool, channels),
            texts=texts,
            questions=settings.welcome.kefu_greeting_questions,
            company=settings.welcome.kefu_company,
            categories=accounts.categories,
        )
        housekeeping = Housekeeping(
            pool=pool,
            queue=queue,
            inbox=inbox,
            outbox=outbox,
            channels=channels,
            texts=texts,
            timers=timers,
            greetings=greetings,
            embed_waiting=embed,
            run_retention=retention,
            settle=partial(settle, pool),
            refresh_callback_addresses=CallbackAddresses(pool, settings.wecom, redis=redis).refresh,
            keep_calibrated=partial(knowledge.keep_calibrated, DeskNews(outbox=outbox, texts=texts).drift),
        )
        jobs = Jobs(
            pool=pool,
            queue=queue,
            inbox=inbox,
            outbox=outbox,
            deliveries=Deliveries(pool, queue, limits=channels.limits, split=channels.split),
            conversation=converse(ports),
            accounts=accounts,
            own_conversations={name: converse(own) for name, own in own_ports.items()},
            channels=channels,
            desks=desks,
            customers=Customers(pool, channels),
            texts=texts,
            limiter=RateLimiter(redis, per_minute=settings.service.kefu_customer_messages_per_minute),
            timers=timers,
            greetings=greetings,
            housekeeping=housekeeping,
            friends=make_friends(pool, contacts, settings.welcome) if contacts else None,
            outreach=make_outreach(settings, pool, outbox, Customers(pool, channels), contacts),
            try_question=try_question,
            reviews=reviews,
            transcripts=Transcripts(pool=pool, channels=channels, transcriber=transcribers),
        )
        jobs.register()
        desk_inbox = DeskInbox(
            pool,
            queue,
            outbox,
            texts,
            split=channels.split,
            limits=channels.limits,
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
            wecom_app=opened_channels.app,
            exposition=exposition,
        )


def _ports_of(account: Account, ports: Ports, knowledge: Knowledge) -> Ports:
    """Return what a graph is built with for an account that differs."""
    retriever: Retriever = knowledge.retriever
    if account.categories is not None:
        retriever = CategoryRetriever(knowledge.retriever, account.categories)
    return replace(ports, texts=PromptTexts(account.texts), retriever=retriever)


def _make_reader(cache: AnswerCache, model: GuardedChatModel | None, meter: Meter) -> ModelReader | None:
    if model is None:
        return None
    return ModelReader(model, model_id=model.model_name, cache=cache, meter=meter)


async def _learn(knowledge: Knowledge, polisher: ModelPolisher | None) -> None:
    try:
        await learn(knowledge.pool, knowledge.embedder, polisher=polisher, actor="kefu")
    except KbError as error:
        logger.warning("No drafts from people's answers", extra={"action": "learn_failed", "error": str(error)})


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


async def _open_contacts(
    settings: Settings, redis: Redis | None, stack: contextlib.AsyncExitStack
) -> WecomContacts | None:
    wecom = settings.wecom
    return await stack.enter_async_context(make_contacts(wecom, redis)) if wecom.is_configured else None


def _make_crypto(settings: Settings) -> CallbackCrypto | None:
    wecom = settings.wecom
    if wecom.wecom_token is None or wecom.wecom_encoding_aes_key is None:
        return None
    return CallbackCrypto(wecom.wecom_token, wecom.wecom_encoding_aes_key, wecom.wecom_corp_id)
