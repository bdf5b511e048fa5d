"""Where demonstrations play: the real service between a WeCom simulator and a Telegram simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import string
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import httpx

from api.embedded import embedded_postgres
from api.errors import ApiError
from api.settings import variable_names
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

START_SECONDS = 60
REPLY_SECONDS = 30
"""How long anything that is waited for may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs."""

    wecom: WecomSimulator
    telegram: TelegramSimulator
    url: str
    database_uri: str


@contextlib.asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Run simulators, database and service, with the sample knowledge imported."""
    token, key = secrets.token_hex(8), "".join(secrets.choice(string.ascii_letters) for _ in range(43))
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kefu-demo-", ignore_cleanup_errors=True)))
        # Held here so that the importer and the service share one server.
        database_uri = stack.enter_context(embedded_postgres(folder))
        secret = secrets.token_hex(8)
        wecom = await stack.enter_async_context(
            WecomSimulator(corp_id="wwDemoCorp", secret=secret, token=token, encoding_aes_key=key)
        )
        telegram = await stack.enter_async_context(TelegramSimulator())
        environment = {
            "KEFU_DATA_DIR": str(folder),
            "KEFU_LOG_LEVEL": "WARNING",
            "KEFU_BURST_SECONDS": "0.5",
            "WECOM_CORP_ID": "wwDemoCorp",
            "WECOM_AGENT_SECRET": secret,
            "WECOM_TOKEN": token,
            "WECOM_ENCODING_AES_KEY": key,
            "WECOM_API_BASE": wecom.api_base,
            "NOTIFICATION_CHANNEL": f"telegram:{telegram.chat_id}",
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_API_BASE": telegram.api_base,
        }
        with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
            await _run(["kb", "import", str(sample)], environment, folder)
        port = _free_port()
        service = await _start(["serve", "--port", str(port)], environment, folder)
        stack.push_async_callback(_stop, service)
        url = f"http://127.0.0.1:{port}"
        await _until_ready(url, service)
        wecom.callback_url = f"{url}/wecom/callback"
        yield Stage(wecom=wecom, telegram=telegram, url=url, database_uri=database_uri)


async def _start(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> asyncio.subprocess.Process:
    # The operator's own settings, real accounts among them, must not reach the demonstration.
    inherited = {name: value for name, value in os.environ.items() if name not in set(variable_names())}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api.cli",
        *arguments,
        cwd=folder,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )


async def _run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    process = await _start(arguments, environment, folder)
    if await process.wait() != 0:
        raise ApiError(f"`kefu {' '.join(arguments)}` failed; see the lines above")


async def _until_ready(url: str, service: asyncio.subprocess.Process) -> None:
    exited = asyncio.create_task(service.wait())
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(START_SECONDS):
            while not exited.done():
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{url}/ready")).status_code == httpx.codes.OK:
                        return
                await asyncio.wait({exited}, timeout=0.1)
    except TimeoutError as error:
        raise ApiError(f"the service did not become ready within {START_SECONDS} s") from error
    finally:
        exited.cancel()
    raise ApiError("the service stopped while starting; see the lines above")


async def _stop(service: asyncio.subprocess.Process) -> None:
    if service.returncode is None:
        service.terminate()
        try:
            await asyncio.wait_for(service.wait(), 20)
        except TimeoutError:
            service.kill()
            await service.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
