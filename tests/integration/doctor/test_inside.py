"""What is wrong in the database, at the desk and with Redis is named, with its mend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Shop = Any
Command = Callable[..., Awaitable[Result]]
Break = Callable[[Any], Any]


STALE = "now() - interval '6 minutes'"
ROW = "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, received_at, handled_at)"
OUT = "insert into outbox (thread_id, destination, message_key, turn_id, part, payload, state, created_at)"
JOB = "insert into procrastinate_jobs (queue_name, task_name, status, scheduled_at, worker_id)"
UNVERIFIED = """'{"fail_type": 8}'"""
DEAD = f"with w as (insert into procrastinate_workers (last_heartbeat) values ({STALE}) returning id)"
STORE: dict[str, tuple[str, str, str, str]] = {
    "empty knowledge": ("truncate knowledge_chunks", "knowledge base", "is empty", "kefu kb import"),
    "another model": (
        "update knowledge_chunks set embedding_model = 'older'",
        "vectors",
        "older (1 rows)",
        "kefu kb import --rebuild",
    ),
    "rows to embed": (
        "insert into knowledge_chunks (content, updated_at) values ('满 59 元包邮。', now() - interval '2 minutes')",
        "rows to embed",
        "1 rows",
        "kefu worker",
    ),
    "failed messages": (
        f"{OUT} values ('t', 'customer', 'k', 't', 'p', '{{}}', 'failed', now() - interval '2 hours')",
        "outbox",
        "1 messages failed",
        "last_error",
    ),
    "messages that wait": (
        f"{OUT} values ('t', 'customer', 'k', 't', 'p', '{{}}', 'pending', {STALE})",
        "outbox",
        "1 wait for over 5 minutes",
        "kefu worker",
    ),
    "unhandled messages": (
        f"{ROW} values ('t', 'customer', 'a', 'm', 'text', '{{}}', now(), {STALE}, null)",
        "inbox",
        "1 messages wait",
        "kefu worker",
    ),
    "nobody works": (
        f"{JOB} values ('fast', 'deliver', 'todo', {STALE}, null)",
        "jobs",
        "1 jobs wait for over 5 minutes, no worker runs",
        "kefu serve",
    ),
    "workers are behind": (
        f"insert into procrastinate_workers default values; {JOB} values ('fast', 'deliver', 'todo', {STALE}, null)",
        "jobs",
        "1 workers are behind",
        "more `kefu worker`",
    ),
    "dead worker": (
        f"{DEAD} {JOB} select 'fast', 'deliver', 'doing', null, id from w",
        "jobs",
        "1 jobs are stuck",
        "kefu worker",
    ),
    "not verified": (
        f"{ROW} values ('t', 'system', 'a', 'm', 'msg_send_fail', {UNVERIFIED}, now(), now(), now())",
        "corp verified",
        "did not deliver 1 messages",
        "企业认证",
    ),
    "pending migration": (
        "delete from schema_migrations where name like 'procrastinate %'",
        "migrations",
        "pending: procrastinate",
        "kefu db init",
    ),
    "newer database": (
        "insert into schema_migrations (name, checksum) values ('9999_future', '')",
        "migrations",
        "newer than this version of kefu (9999_future)",
        "update kefu",
    ),
}


@pytest.mark.parametrize(("statement", "check", "cause", "mend"), STORE.values(), ids=list(STORE))
async def test_what_is_wrong_in_the_database_is_named(
    shop: Shop, statement: str, check: str, cause: str, mend: str
) -> None:
    shop.sql(statement)
    failed = await shop.failed()
    assert list(failed) == [check]
    assert cause in failed[check].detail
    assert mend in failed[check].mend


async def test_what_is_old_or_in_hand_is_no_trouble(shop: Shop) -> None:
    shop.sql("insert into knowledge_chunks (content) values ('刚写的一条。'), ('   ')")
    shop.sql(f"{OUT} values ('t', 'customer', 'k', 't', 'p', '{{}}', 'failed', now() - interval '2 days')")
    shop.sql(f"{ROW} values ('t', 'customer', 'a', 'm', 'text', '{{}}', now(), {STALE}, now())")
    old = "now() - interval '8 days'"
    shop.sql(f"{ROW} values ('t', 'system', 'a', 'm2', 'msg_send_fail', {UNVERIFIED}, now(), {old}, now())")
    shop.sql(f"{JOB} values ('turns', 'turn', 'todo', now() + interval '1 minute', null)")
    shop.sql("insert into procrastinate_jobs (queue_name, task_name, queueing_lock) values ('fast', 'sweep', 'sweep')")
    assert await shop.failed() == {}


async def test_a_database_without_tables_is_to_be_migrated(shop: Shop, empty_database_uri: str) -> None:
    shop.uri = empty_database_uri
    found = await shop.findings()
    assert found["database"].status == "ok"
    for name in ("pgvector", "migrations"):
        assert (found[name].status, "kefu db init" in found[name].mend) == ("failed", True)
    for name in ("knowledge base", "vectors", "rows to embed", "outbox", "inbox", "jobs", "corp verified"):
        assert (found[name].status, "migrations" in found[name].detail) == ("off", True)


async def test_an_unreachable_database_is_one_failure(shop: Shop) -> None:
    shop.uri = f"postgresql://kefu:db-s3cr3t@127.0.0.1:{shop.free_port()}/kefu"
    failed = await shop.failed()
    assert list(failed) == ["database"]
    assert "PostgreSQL does not answer" in failed["database"].detail
    assert "KB_DB_URL" in failed["database"].mend


async def switch_topics_right_off(shop: Shop) -> None:
    shop.telegram.set_topic_right(can_manage_topics=False)


DESK: dict[str, tuple[Break, str, str, str]] = {
    "wrong token": (lambda s: s.set(TELEGRAM_BOT_TOKEN="1:wrong"), "telegram", "TELEGRAM_BOT_TOKEN", "@BotFather"),
    "wrong chat": (
        lambda s: s.set(NOTIFICATION_CHANNEL="telegram:-5"),
        "telegram",
        "does not see chat -5",
        "NOTIFICATION_CHANNEL",
    ),
    "no right": (switch_topics_right_off, "telegram", "lacks a right", "Manage topics"),
    "nobody answers": (
        lambda s: s.set(TELEGRAM_API_BASE=f"http://127.0.0.1:{s.free_port()}"),
        "telegram",
        "does not answer",
        "TELEGRAM_API_BASE",
    ),
    "webhook although polling": (
        lambda s: s.hook("https://other.example/telegram/webhook"),
        "telegram updates",
        "webhook at other.example",
        "TELEGRAM_MODE=webhook",
    ),
    "polling although webhook": (
        lambda s: s.set(TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET="hook-s3cr3t"),
        "telegram updates",
        "Telegram has none",
        "TELEGRAM_WEBHOOK_URL",
    ),
}


@pytest.mark.parametrize(("spoil", "check", "cause", "mend"), DESK.values(), ids=list(DESK))
async def test_what_is_wrong_with_the_desk_is_named(
    shop: Shop, spoil: Break, check: str, cause: str, mend: str
) -> None:
    done = spoil(shop)
    if done is not None:
        await done
    failed = await shop.failed()
    assert list(failed) == [check]
    assert cause in failed[check].detail
    assert mend in failed[check].mend


class TestWebhook:
    URL = "https://kefu.example/telegram/webhook"

    @pytest.fixture
    async def shop(self, shop: Shop) -> Shop:
        shop.set(TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET="hook-s3cr3t", TELEGRAM_WEBHOOK_URL=self.URL)
        return shop

    async def test_the_configured_one_is_fine(self, shop: Shop) -> None:
        await shop.hook(self.URL)
        found = await shop.findings()
        assert found["telegram updates"].detail == "posted to kefu.example, 0 wait"

    async def test_another_one_is_named(self, shop: Shop) -> None:
        await shop.hook("https://other.example/telegram/webhook")
        failed = await shop.failed()
        assert "another webhook, at other.example" in failed["telegram updates"].detail

    async def test_one_that_cannot_be_reached_is_named(self, shop: Shop) -> None:
        seen: list[Request] = []
        was_repeated = asyncio.Event()

        async def refuse(request: Request) -> Response:
            seen.append(request)
            if len(seen) > 1:
                was_repeated.set()
            return PlainTextResponse("no", 403)

        url = await shop.serve(Starlette(routes=[Route("/{path:path}", refuse, methods=["POST"])]))
        shop.set(TELEGRAM_WEBHOOK_URL=url)
        await shop.hook(url)
        await shop.telegram.agent_writes("在吗")
        await asyncio.wait_for(was_repeated.wait(), 5)
        failed = await shop.failed()
        assert "1 updates wait, Telegram does not get through to 127.0.0.1" in failed["telegram updates"].detail
        assert "TELEGRAM_WEBHOOK_SECRET" in failed["telegram updates"].mend


async def test_a_group_without_topics_works_and_is_hinted_at(shop: Shop) -> None:
    shop.telegram.set_forum(is_forum=False)
    found = await shop.findings()
    assert found["telegram"].status == "ok"
    assert "people answer by replying; switch on Topics" in found["telegram"].detail


class TestRedis:
    async def test_a_wrong_password_is_named(self, shop: Shop, redis_url: str) -> None:
        shop.set(REDIS_URL=redis_url.replace("redis-s3cr3t", "other-s3cr3t"))
        failed = await shop.failed()
        assert list(failed) == ["redis"]
        assert failed["redis"].detail == "Redis refuses the password"

    @pytest.mark.parametrize(
        ("url", "cause"),
        [
            ("redis://127.0.0.1:{port}/0", "does not answer (ConnectionError)"),
            ("redis://127.0.0.1:x/0", "is not a URL of Redis"),
        ],
    )
    async def test_what_does_not_answer_is_named(self, shop: Shop, url: str, cause: str) -> None:
        shop.set(REDIS_URL=url.format(port=shop.free_port()))
        failed = await shop.failed()
        assert list(failed) == ["redis"]
        assert cause in failed["redis"].detail
        assert failed["redis"].mend
