"""The HTTP contract: statuses, and stored before acknowledged."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from api.app import create_app
from api.lifespan import Services
from api.settings import load_settings
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom_callbacks import CallbackSender, event_xml

CORP = "wwRoutes01"
WECOM = {
    "WECOM_CORP_ID": CORP,
    "WECOM_AGENT_SECRET": "agent-s3cr3t",
    "WECOM_TOKEN": "t0k3n",
    "WECOM_ENCODING_AES_KEY": "k" * 43,
    # Nothing answers here: the routes must not need it.
    "WECOM_API_BASE": "http://127.0.0.1:9/cgi-bin/",
}
DESK = {
    "NOTIFICATION_CHANNEL": "telegram:-100",
    "TELEGRAM_BOT_TOKEN": "1:abc",
    "TELEGRAM_API_BASE": "http://127.0.0.1:9",
    "TELEGRAM_MODE": "webhook",
    "TELEGRAM_WEBHOOK_SECRET": "hook-s3cr3t",
}


@dataclass
class Site:
    """A running application without a worker."""

    client: httpx.AsyncClient
    services: Services
    asgi: Any

    def client_from(self, host: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.asgi, client=(host, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://kefu")

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        async with self.services.pool.connection() as conn:
            return await (await conn.execute(statement.encode())).fetchall()


OpenSite = Callable[[Mapping[str, str]], Awaitable[Site]]


@pytest.fixture
async def open_site(
    database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> AsyncIterator[OpenSite]:
    """Start the application with these variables."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(variables: Mapping[str, str]) -> Site:
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            app = create_app(load_settings(), database_uri, concurrency=0)
            state: Any = await stack.enter_async_context(app.router.lifespan_context(app))

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state)}, receive, send)

            transport = httpx.ASGITransport(with_state, client=("127.0.0.1", 1))
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://kefu"))
            return Site(client=client, services=state["services"], asgi=with_state)

        yield start


class TestWecomCallback:
    @pytest.fixture
    async def site(self, open_site: OpenSite) -> Site:
        return await open_site(WECOM)

    @pytest.fixture
    def sender(self) -> CallbackSender:
        return CallbackSender(corp_id=CORP, token="t0k3n", encoding_aes_key="k" * 43, clock=lambda: 1e9)

    @pytest.fixture
    def news(self) -> str:
        return event_xml(CORP, 1, Event="kf_msg_or_event", Token="sync-token", OpenKfId="wk1")

    async def test_a_callback_is_stored_with_its_pull_before_it_is_acknowledged(
        self, site: Site, sender: CallbackSender, news: str
    ) -> None:
        query, body = sender.encrypt(news)
        for _ in range(2):
            response = await site.client.post("/wecom/callback", params=query, content=body)
            assert (response.status_code, response.text) == (200, "success")
        rows = await site.rows("select payload from callbacks")
        assert [row["payload"]["OpenKfId"] for row in rows] == ["wk1"]
        jobs = await site.rows("select task_name, args from procrastinate_jobs")
        assert jobs == [{"task_name": "pull", "args": {"account_id": "wk1", "token": "sync-token"}}]

    async def test_other_events_are_stored_without_a_pull(self, site: Site, sender: CallbackSender) -> None:
        query, body = sender.encrypt(event_xml(CORP, 1, Event="change_external_contact", ChangeType="add"))
        response = await site.client.post("/wecom/callback", params=query, content=body)
        assert response.status_code == 200
        assert len(await site.rows("select id from callbacks")) == 1
        assert await site.rows("select id from procrastinate_jobs") == []

    async def test_a_wrong_signature_is_forbidden(self, site: Site, sender: CallbackSender, news: str) -> None:
        query, body = sender.encrypt(news)
        forged = {**query, "msg_signature": "0" * 40}
        response = await site.client.post("/wecom/callback", params=forged, content=body)
        assert response.status_code == 403
        assert await site.rows("select id from callbacks") == []

    async def test_another_corp_s_callback_is_forbidden(self, site: Site, sender: CallbackSender, news: str) -> None:
        query, body = sender.encrypt(news, receiveid="wwSomebodyElse")
        response = await site.client.post("/wecom/callback", params=query, content=body)
        assert response.status_code == 403

    async def test_a_malformed_body_is_a_bad_request(self, site: Site) -> None:
        for body in (b"", b"{}", b"<xml></xml>", b"\xff\xfe", b"<xml><Encrypt>!</Encrypt></xml>"):
            response = await site.client.post("/wecom/callback", content=body)
            assert response.status_code == 400, body

    async def test_an_oversized_body_is_refused_even_without_a_length(self, site: Site) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 65536

        response = await site.client.post("/wecom/callback", content=endless())
        assert response.status_code == 413
        response = await site.client.post("/wecom/callback", content=b"x" * 1024 * 1024)
        assert response.status_code == 400

    async def test_other_methods_are_not_allowed(self, site: Site) -> None:
        assert (await site.client.put("/wecom/callback")).status_code == 405

    async def test_what_could_not_be_stored_is_to_be_sent_again(
        self, site: Site, sender: CallbackSender, news: str
    ) -> None:
        query, body = sender.encrypt(news)
        await site.services.pool.close()
        response = await site.client.post("/wecom/callback", params=query, content=body)
        assert response.status_code == 503

    async def test_a_failed_transaction_stores_nothing_and_is_to_be_sent_again(
        self, site: Site, sender: CallbackSender, news: str, database_uri: str
    ) -> None:
        query, body = sender.encrypt(news)
        with psycopg.connect(database_uri, autocommit=True) as conn:
            conn.execute("alter table procrastinate_jobs rename to hidden")
            response = await site.client.post("/wecom/callback", params=query, content=body)
            assert response.status_code == 503
            assert await site.rows("select id from callbacks") == []
            conn.execute("alter table hidden rename to procrastinate_jobs")
        assert (await site.client.post("/wecom/callback", params=query, content=body)).status_code == 200

    async def test_the_url_verification_echoes_the_bare_text(self, site: Site, sender: CallbackSender) -> None:
        query, body = sender.encrypt("1616140317555161061")
        echo = body.split(b"<Encrypt><![CDATA[")[1].split(b"]]>")[0].decode()
        response = await site.client.get("/wecom/callback", params={**query, "echostr": echo})
        assert (response.status_code, response.content) == (200, b"1616140317555161061")
        forged = {**query, "echostr": echo, "timestamp": "2"}
        assert (await site.client.get("/wecom/callback", params=forged)).status_code == 403
        assert (await site.client.get("/wecom/callback")).status_code == 400


async def test_without_wecom_its_callbacks_are_refused_with_what_is_missing(open_site: OpenSite) -> None:
    site = await open_site({})
    for response in (await site.client.get("/wecom/callback"), await site.client.post("/wecom/callback")):
        assert response.status_code == 503
        assert "WECOM_CORP_ID" in response.text


@pytest.mark.parametrize("path", ["/console/session", "/metrics"])
async def test_without_the_database_nobody_is_let_in_and_it_is_said(open_site: OpenSite, path: str) -> None:
    site = await open_site({})
    await site.services.pool.close()
    headers = {"Cookie": "kefu_console=x", "Authorization": "Bearer kefu_x"}
    answer = await site.client_from("10.0.0.7").get(path, headers=headers)
    assert (answer.status_code, answer.json()) == (503, {"detail": "the database is away, try again"})


class TestTelegramWebhook:
    HEADERS = {"x-telegram-bot-api-secret-token": "hook-s3cr3t"}

    @pytest.fixture
    async def site(self, open_site: OpenSite) -> Site:
        site = await open_site(DESK)
        async with site.services.pool.connection() as conn:
            await conn.execute(
                "insert into desk_places (thread_id, chat_id, topic_id) values ('wecom:wk1:wm1', -100, 7)"
            )
        return site

    @pytest.fixture
    def update(self) -> dict[str, Any]:
        message = {
            "message_id": 1,
            "chat": {"id": -100, "type": "supergroup"},
            "is_topic_message": True,
            "message_thread_id": 7,
            "from": {"id": 5, "is_bot": False, "first_name": "小王"},
            "text": "可以刻字",
        }
        return {"update_id": 1, "message": message}

    async def test_an_update_is_stored_once_with_its_turn(self, site: Site, update: dict[str, Any]) -> None:
        for _ in range(2):
            response = await site.client.post("/telegram/webhook", json=update, headers=self.HEADERS)
            assert response.status_code == 200
        rows = await site.rows("select payload from inbox")
        assert [row["payload"]["text"] for row in rows] == ["可以刻字"]
        assert [row["task_name"] for row in await site.rows("select task_name from procrastinate_jobs")] == ["turn"]

    async def test_without_the_secret_it_is_forbidden(self, site: Site, update: dict[str, Any]) -> None:
        for headers in ({}, {"x-telegram-bot-api-secret-token": "guess"}):
            response = await site.client.post("/telegram/webhook", json=update, headers=headers)
            assert response.status_code == 403
        assert await site.rows("select id from inbox") == []

    async def test_what_is_no_update_is_a_bad_request(self, site: Site) -> None:
        for body in (b"", b"{", b"[]", b'"x"', b"\xff"):
            response = await site.client.post("/telegram/webhook", content=body, headers=self.HEADERS)
            assert response.status_code == 400, body

    async def test_what_could_not_be_stored_is_to_be_sent_again(self, site: Site, update: dict[str, Any]) -> None:
        await site.services.pool.close()
        response = await site.client.post("/telegram/webhook", json=update, headers=self.HEADERS)
        assert response.status_code == 503

    async def test_what_comes_before_its_post_is_recorded_is_to_be_sent_again(
        self, site: Site, update: dict[str, Any]
    ) -> None:
        outbox = site.services.jobs.outbox
        await outbox.notify_desk("wecom:wk1:wm2", "t", "note", "看一下")
        await site.services.jobs.deliveries.next("wecom:wk1:wm2", "desk")
        update["message"]["message_thread_id"] = 8
        response = await site.client.post("/telegram/webhook", json=update, headers=self.HEADERS)
        assert response.status_code == 503


async def test_without_a_desk_the_webhook_is_forbidden(open_site: OpenSite) -> None:
    site = await open_site({"TELEGRAM_WEBHOOK_SECRET": "hook-s3cr3t"})
    response = await site.client.post("/telegram/webhook", json={}, headers=TestTelegramWebhook.HEADERS)
    assert response.status_code == 403


async def test_the_webhook_is_registered_at_the_start(open_site: OpenSite) -> None:
    async with TelegramSimulator() as telegram:
        await open_site(
            {
                **DESK,
                "TELEGRAM_BOT_TOKEN": telegram.token,
                "TELEGRAM_API_BASE": telegram.api_base,
                "TELEGRAM_WEBHOOK_URL": "http://127.0.0.1:9/telegram/webhook",
            }
        )
        assert telegram.webhook is not None
        assert telegram.webhook.url == "http://127.0.0.1:9/telegram/webhook"


async def test_a_dead_telegram_does_not_stop_the_start(open_site: OpenSite) -> None:
    site = await open_site({**DESK, "TELEGRAM_WEBHOOK_URL": "http://127.0.0.1:9/telegram/webhook"})
    assert (await site.client.get("/ready")).status_code == 200


class TestOperations:
    async def test_health_tells_each_dependency(self, open_site: OpenSite) -> None:
        site = await open_site({**WECOM, **DESK, "REDIS_URL": "redis://127.0.0.1:9/0"})
        response = await site.client.get("/health")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "ok"
        states = body["dependencies"]
        assert (states["database"], states["redis"], states["wecom"], states["desk"]) == ("ok", "down", "ok", "ok")
        assert states["embeddings"]

    async def test_health_answers_although_the_database_is_down(self, open_site: OpenSite) -> None:
        site = await open_site({})
        assert (await site.client.get("/ready")).json() == {"database": "ok"}
        await site.services.pool.close()
        response = await site.client.get("/health")
        assert (response.status_code, response.json()["dependencies"]["database"]) == (200, "down")
        response = await site.client.get("/ready")
        assert (response.status_code, response.json()) == (503, {"database": "down"})

    async def test_what_is_not_configured_is_off(self, open_site: OpenSite) -> None:
        states = (await (await open_site({})).client.get("/health")).json()["dependencies"]
        assert (states["redis"], states["wecom"], states["desk"]) == ("off", "off", "off")

    async def test_metrics_count_what_waits(self, open_site: OpenSite) -> None:
        site = await open_site(DESK)
        outbox = site.services.jobs.outbox
        await outbox.say("wecom:wk1:wm1", "t1", "answer", "一")
        await outbox.say("wecom:wk1:wm1", "t2", "answer", "二")
        async with site.services.pool.connection() as conn:
            await conn.execute("update outbox set state = 'sent', sent_at = now() where turn_id = 't1'")
        async with site.services.pool.connection() as conn:
            await conn.execute("insert into tickets (ticket_id, thread_id, reason) values ('t', 'x', 'failure')")
        response = await site.client.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain")
        lines = response.text.splitlines()
        assert 'kefu_outbox_rows{destination="customer",state="pending"} 1.0' in lines
        assert 'kefu_sent_total{destination="customer"} 1.0' in lines
        assert "kefu_inbox_unhandled_rows 0.0" in lines
        assert "kefu_open_tickets 1.0" in lines

    async def test_what_nobody_foresaw_says_nothing_and_has_its_headers(
        self, open_site: OpenSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = await open_site({})

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("s3cr3t detail")

        monkeypatch.setattr(type(site.services.knowledge), "try_question", broken)
        transport = httpx.ASGITransport(site.asgi, client=("127.0.0.1", 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
            response = await client.post("/api/test_kb", json={"query": "如何退款?"})
        assert (response.status_code, response.json()) == (500, {"detail": "something went wrong"})
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    async def test_the_interface_is_documented(self, open_site: OpenSite) -> None:
        site = await open_site({})
        assert (await site.client.get("/docs")).status_code == 200
        paths = (await site.client.get("/openapi.json")).json()["paths"]
        assert {"/wecom/callback", "/telegram/webhook", "/health", "/ready", "/metrics", "/api/test_kb"} <= set(paths)


class TestTestKb:
    async def test_a_row_typed_in_by_hand_is_embedded_and_found(self, open_site: OpenSite) -> None:
        site = await open_site({})
        async with site.services.pool.connection() as conn:
            await conn.execute(
                "insert into knowledge_chunks (content, metadata) values (%s, %s)",
                ("如何退款?\n七天内可退。", '{"category": "售后"}'),
            )
        before = (await site.client.post("/api/test_kb", json={"query": "如何退款?"})).json()
        assert before["results"] == []
        assert (before["decision"], before["confidence"]) == ("escalate", 0.0)
        await site.services.jobs.housekeeping.embed()
        response = await site.client.post("/api/test_kb", json={"query": "如何退款?", "top_k": 1})
        assert response.status_code == 200
        body = response.json()
        assert set(body) == {"query", "results", "confidence", "decision", "threshold"}
        assert body["query"] == "如何退款?"
        (hit,) = body["results"]
        assert set(hit) == {"id", "content", "score", "metadata"}
        assert "七天内可退。" in hit["content"]
        assert hit["metadata"]["category"] == "售后"
        assert 0 <= body["confidence"] <= 1
        assert body["decision"] in {"answer", "clarify", "escalate"}

    async def test_a_bad_body_is_unprocessable(self, open_site: OpenSite) -> None:
        site = await open_site({})
        missing: list[Any] = [{}, [], None]
        wrong = [{"query": ""}, {"query": "x" * 2001}, {"query": "a", "top_k": 0}, {"query": "a", "top_k": 51}]
        for body in missing + wrong:
            assert (await site.client.post("/api/test_kb", json=body)).status_code == 422, body

    async def test_odd_questions_are_searched_like_any_other(self, open_site: OpenSite) -> None:
        site = await open_site({})
        for query in ("a\0b", "🙂" * 100, "'; drop table knowledge_chunks; --", " "):
            assert (await site.client.post("/api/test_kb", json={"query": query})).status_code == 200, query
        lone_surrogate = b'{"query": "\\ud800"}'
        headers = {"content-type": "application/json"}
        response = await site.client.post("/api/test_kb", content=lone_surrogate, headers=headers)
        assert response.status_code == 422

    async def test_without_a_token_it_answers_this_machine_only(self, open_site: OpenSite) -> None:
        site = await open_site({})
        body = {"query": "如何退款?"}
        forwarded = await site.client.post("/api/test_kb", json=body, headers={"x-forwarded-for": "127.0.0.1"})
        assert forwarded.status_code == 401
        async with site.client_from("10.0.0.7") as stranger:
            response = await stranger.post("/api/test_kb", json=body)
        assert response.status_code == 401
        assert "API_TOKEN" in response.json()["detail"]

    async def test_with_a_token_only_its_bearer_is_answered(self, open_site: OpenSite) -> None:
        site = await open_site({"API_TOKEN": "s3cr3t-token"})
        body = {"query": "如何退款?"}
        assert (await site.client.post("/api/test_kb", json=body)).status_code == 401
        headers = {"authorization": "Bearer s3cr3t-token"}
        async with site.client_from("10.0.0.7") as stranger:
            assert (await stranger.post("/api/test_kb", json=body, headers=headers)).status_code == 200
            assert (await stranger.post("/api/test_kb", json=body)).status_code == 401

    async def test_an_unavailable_index_is_said_so(self, open_site: OpenSite, database_uri: str) -> None:
        site = await open_site({})
        with psycopg.connect(database_uri, autocommit=True) as conn:
            conn.execute("alter table knowledge_chunks rename to hidden")
        response = await site.client.post("/api/test_kb", json={"query": "如何退款?"})
        assert response.status_code == 503
        assert response.json()["detail"]


class TestOpenApi:
    @pytest.fixture
    async def site(self, open_site: OpenSite) -> Site:
        # Nobody is told to wait: every route is to be reached by every case.
        return await open_site(WECOM | DESK | {"KEFU_FAILURES_PER_MINUTE": "1000000"})

    async def test_the_page_names_every_route_and_loads_nothing(self, site: Site) -> None:
        page = await site.client.get("/docs")
        schema = (await site.client.get("/openapi.json")).json()
        assert all(path in page.text for path in schema["paths"])
        assert "http" not in page.text.replace("/openapi.json", "")
        assert "style-src 'unsafe-inline'" in page.headers["Content-Security-Policy"]

    async def test_nothing_that_fits_the_description_or_breaks_it_is_our_fault(self, site: Site) -> None:
        schema = schemathesis.openapi.from_dict((await site.client.get("/openapi.json")).json())
        asked = 0
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for found in schema.get_all_operations():
                for case in _cases(found.ok(), mode):
                    request = case.as_transport_kwargs(base_url="http://kefu")
                    url, method = request.pop("url"), request.pop("method")
                    sendable = {name: request[name] for name in ("params", "json") if request.get(name)}
                    sendable["headers"] = {k: str(v).encode() for k, v in request.get("headers", {}).items()}
                    response = await site.client.request(method, url, **sendable)
                    assert response.status_code < 500, (method, url, sendable, response.text)
                    documented = found.ok().definition.raw["responses"]
                    assert str(response.status_code) in {*documented, "405"}, (method, url, response.text)
                    asked += 1
        assert asked > 40


def _cases(operation: Any, mode: GenerationMode) -> list[Any]:
    """Make up requests for one route."""
    cases: list[Any] = []

    @settings(max_examples=25, database=None, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        cases.append(case)

    with contextlib.suppress(Unsatisfiable):
        collect()
    return cases
