"""`kefu serve`, `kefu worker`, `kefu db`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from typing import Annotated

import typer
import uvicorn
import uvloop

from api.app import create_app
from api.database import database, open_pool
from api.effective import warn_of_unknown
from api.lifespan import open_services
from api.log_config import configure_logging
from api.migrate import migrate, pending
from api.observability.masking import secrets_of
from api.patient_http import PatientHttp
from api.resealing import check_keys
from api.settings import Settings, load_settings
from api.worker import worker_beside
from kb.embeddings import make_embedder
from kb.vector_index import check_model
from tools.chat_model import make_chat_model

CONCURRENCY = 10
"""Jobs of a kind one worker runs at once."""

db = typer.Typer(help="The database: migrations.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the top-level commands."""
    app.command()(serve)
    app.command()(worker)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers_inline: Annotated[
        int, typer.Option(min=0, help="Workers in this process; 0 serves HTTP only, run `kefu worker` beside it.")
    ] = 1,
) -> None:
    """Serve the callbacks and the API, and by default do the work too.

    WeCom reaches it at /wecom/callback, Telegram (in webhook mode) at /telegram/webhook; /docs lists the rest.
    """
    settings = load_settings()
    configure_logging(settings.service, secrets=secrets_of(settings))
    warn_of_unknown()
    # uvicorn ends by sending itself the signal it was stopped with; unhandled, it would leave the database running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
        asyncio.run(_prepare(settings, conninfo))
        app = create_app(settings, conninfo, concurrency=workers_inline * CONCURRENCY)
        server = _Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=settings.access.trusted_proxies,
                http=PatientHttp,
                timeout_graceful_shutdown=10,
            )
        )
        # uvicorn leaves by itself when it cannot start, with a code of its own.
        with contextlib.suppress(SystemExit):
            server.run()
        if not server.started:
            raise typer.Exit(1)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _settle()


def _settle() -> None:
    """Keep the garbage collector away from what start-up made, which stays to the end.

    Walking all of it stops the process for a quarter of a second every few hundred requests.
    """
    gc.collect()
    gc.freeze()


def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs of a kind at once.")] = CONCURRENCY,
) -> None:
    """Do the work only: turns, deliveries, pulls. Run any number beside `kefu serve --workers-inline 0`."""
    settings = load_settings()
    configure_logging(settings.service, secrets=secrets_of(settings))
    warn_of_unknown()
    with (
        database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_work(settings, conninfo, concurrency))


async def _prepare(settings: Settings, conninfo: str) -> None:
    """Find what would stop the start while it can still be said in one line."""
    await migrate(conninfo)
    async with open_pool(conninfo, size=2) as pool:
        await check_keys(pool, settings.service.key_ring)
        await check_model(pool, make_embedder(settings.kb).model_id)
    make_chat_model(settings.model)


async def _work(settings: Settings, conninfo: str, concurrency: int) -> None:
    await _prepare(settings, conninfo)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        open_services(settings, conninfo, concurrency=concurrency) as services,
        worker_beside(services, concurrency=concurrency),
    ):
        _settle()
        await stop.wait()


@db.command("init")
def init() -> None:
    """Create or update every table. Safe to repeat, and when several processes start at once."""
    settings = load_settings()
    with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
        applied = asyncio.run(migrate(conninfo))
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo("the database is up to date")


@db.command("status")
def status() -> None:
    """List what `kefu db init` would apply; exit 1 when there is something."""
    settings = load_settings()
    with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
        waiting = asyncio.run(pending(conninfo))
    for name in waiting:
        typer.echo(f"pending {name}")
    if waiting:
        raise typer.Exit(1)
    typer.echo("the database is up to date")
