"""What is measured: `kefu` as its users start it, on a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import string
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import httpx
import psutil
import psycopg
from psycopg import sql

from api.settings import variable_names

START_SECONDS = 60


def wecom_environment() -> dict[str, str]:
    """Made-up secrets of one corp."""
    return {
        "WECOM_CORP_ID": "wwBench0001",
        "WECOM_AGENT_SECRET": secrets.token_hex(16),
        "WECOM_TOKEN": secrets.token_hex(8),
        "WECOM_ENCODING_AES_KEY": "".join(secrets.choice(string.ascii_letters) for _ in range(43)),
        "KEFU_BURST_SECONDS": "0",
    }


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This environment without anybody's settings of the service, and with `extra`."""
    ours = set(variable_names())
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **extra}


def make_database(server_uri: str, name: str, *, template: str = "template1") -> str:
    """Create a database and return its connection string."""
    with psycopg.connect(server_uri, autocommit=True) as conn:
        names = (sql.Identifier(name), sql.Identifier(template))
        conn.execute(sql.SQL("create database {} template {}").format(*names))
        return f"postgresql://postgres@/{name}?host={conn.info.host}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process that listens."""

    pid: int
    port: int

    @property
    def memory(self) -> int:
        """Bytes of the process that are in memory."""
        return int(psutil.Process(self.pid).memory_info().rss)


async def kefu(*arguments: str, environment: Mapping[str, str], folder: Path) -> None:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api.cli",
        *arguments,
        cwd=folder,
        env=clean_environment(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"kefu {' '.join(arguments)} failed: {said.decode()}")


async def fill(environment: Mapping[str, str], folder: Path) -> None:
    """Migrate the database and import the sample knowledge."""
    await kefu("db", "init", environment=environment, folder=folder)
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        await kefu("kb", "import", str(sample), environment=environment, folder=folder)


@contextlib.asynccontextmanager
async def serve(*arguments: str, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Service]:
    """Run `kefu serve` until the block ends."""
    port = free_port()
    command = ("-m", "api.cli", "serve", "--port", str(port), *arguments)
    async with _listening(command, port, environment, folder) as service:
        yield service


@contextlib.asynccontextmanager
async def bare_route(*, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Service]:
    """Run the bare route until the block ends."""
    port = free_port()
    script = Path(__file__).with_name("bare_route.py")
    async with _listening((str(script), str(port)), port, environment, folder) as service:
        yield service


@contextlib.asynccontextmanager
async def _listening(
    command: tuple[str, ...], port: int, environment: Mapping[str, str], folder: Path
) -> AsyncIterator[Service]:
    log_file = folder / f"service-{port}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=folder, env=clean_environment(environment), stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(START_SECONDS):
            while not await _answers(client, port):
                if process.returncode is not None:
                    raise RuntimeError(f"{command} ended: {log_file.read_text()}")
                await asyncio.sleep(0.1)
        yield Service(pid=process.pid, port=port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(client: httpx.AsyncClient, port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        await client.get(f"http://127.0.0.1:{port}/ready")
        return True
    return False
