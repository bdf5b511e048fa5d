"""The whole service as its own process, between the two simulators, over real sockets and real crypto."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import socket
import string
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.database import open_pool
from api.encryption import KEY_BYTES, KeyRing, use_keys
from api.knowledge import open_knowledge
from api.settings import load_settings, variable_names
from kb.embeddings import make_embedder
from kb.ingest import import_articles
from kb.readers import read_articles
from kb.settings import KbSettings
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

CORP_ID = "wwAcceptance01"
SAMPLE_TEMPLATE = "kefu_sample"


@pytest.fixture(scope="session")
def sample_template(postgres_uri: str, template: str) -> str:
    """A migrated database with the sample knowledge."""
    with psycopg.connect(postgres_uri, autocommit=True) as conn:
        names = (sql.Identifier(SAMPLE_TEMPLATE), sql.Identifier(template))
        conn.execute(sql.SQL("create database {} template {}").format(*names))

    async def fill() -> None:
        with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
            chunks = read_articles([sample]).chunks
        conninfo = make_conninfo(postgres_uri, dbname=SAMPLE_TEMPLATE)
        async with open_pool(conninfo, size=2) as pool:
            await import_articles(pool, make_embedder(KbSettings()), chunks)
            # As `kefu kb import` does; else every service of the suite would fit the confidence at its start.
            async with open_knowledge(load_settings(), pool, conninfo) as knowledge:
                await knowledge.calibrate()

    asyncio.run(fill())
    return SAMPLE_TEMPLATE


@pytest.fixture
def sample_uri(postgres_uri: str, sample_template: str) -> Iterator[str]:
    """A fresh database with the sample knowledge."""
    name = f"a_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_uri, autocommit=True) as conn:
        names = (sql.Identifier(name), sql.Identifier(sample_template))
        conn.execute(sql.SQL("create database {} template {}").format(*names))
        yield f"postgresql://postgres@/{name}?host={conn.info.host}"
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@dataclass
class Service:
    """`kefu serve` (and workers) as processes, with everything around them."""

    wecom: WecomSimulator
    telegram: TelegramSimulator
    database_uri: str
    folder: Path
    environment: dict[str, str]
    url: str = ""
    port: int = 0
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start `kefu ARGUMENTS`; its log goes to a file."""
        inherited = {name: value for name, value in os.environ.items() if name not in set(variable_names())}
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "api.cli",
                *arguments,
                cwd=self.folder,
                env={**inherited, **self.environment},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    async def serve(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the HTTP side on the same port as before and wait until it is ready."""
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
            self.wecom.callback_url = f"{self.url}/wecom/callback"
        process = await self.start("serve", "--port", str(self.port), *arguments)
        async with httpx.AsyncClient() as client, asyncio.timeout(60):
            while process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/ready")).status_code == 200:
                        return process
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(process.wait()), 0.05)
        raise AssertionError(f"the service ended: {self.log.read_text()}")

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """Kill -9."""
        process.kill()
        await process.wait()

    async def stop(self) -> None:
        """End everything that runs, politely."""
        running = [process for process in self.processes if process.returncode is None]
        for process in running:
            process.terminate()
        for process in running:
            await asyncio.wait_for(process.wait(), 30)

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    def rows(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.database_uri) as conn:
            if keys := self.environment["DATA_ENCRYPTION_KEY"]:
                use_keys(conn, KeyRing.parse(keys))
            return conn.execute(statement).fetchall()


MakeService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def make_service(sample_uri: str, tmp_path: Path) -> AsyncIterator[MakeService]:
    """Build a service that is not started yet; keyword arguments are its environment."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(*, forum: bool = True, telegram: TelegramSimulator | None = None, **environment: str) -> Service:
            secret, token = secrets.token_hex(8), secrets.token_hex(8)
            key = "".join(secrets.choice(string.ascii_letters) for _ in range(43))
            wecom = await stack.enter_async_context(
                WecomSimulator(corp_id=CORP_ID, secret=secret, token=token, encoding_aes_key=key)
            )
            desk = telegram or TelegramSimulator(forum=forum)
            await stack.enter_async_context(desk)
            service = Service(
                wecom=wecom,
                telegram=desk,
                database_uri=sample_uri,
                folder=tmp_path,
                environment={
                    "KB_DB_URL": sample_uri,
                    # Whatever the suite shows holds with sealed data.
                    "DATA_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
                    "KEFU_BURST_SECONDS": "0.2",
                    "WECOM_CORP_ID": CORP_ID,
                    "WECOM_AGENT_SECRET": secret,
                    "WECOM_TOKEN": token,
                    "WECOM_ENCODING_AES_KEY": key,
                    "WECOM_API_BASE": wecom.api_base,
                    "NOTIFICATION_CHANNEL": f"telegram:{desk.chat_id}",
                    "TELEGRAM_BOT_TOKEN": desk.token,
                    "TELEGRAM_API_BASE": desk.api_base,
                    **environment,
                },
            )
            stack.push_async_callback(service.stop)
            return service

        yield make


@pytest.fixture
async def service(make_service: MakeService) -> Service:
    """A running service: one process, polling Telegram, a forum at the desk."""
    made = await make_service()
    await made.serve()
    return made
