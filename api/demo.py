"""The demonstration: the real service between a WeCom simulator and a Telegram simulator, one conversation played."""

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
from rich.console import Console

from api.embedded import embedded_postgres
from api.errors import ApiError
from api.settings import variable_names
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

CUSTOMER, NICKNAME, AGENT = "wmDemoCustomer01", "小满", "小王"
START_SECONDS = 60
REPLY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs."""

    wecom: WecomSimulator
    telegram: TelegramSimulator
    url: str


async def play(*, keep: bool) -> None:
    """Start everything, play the conversation, stop everything.

    Raises:
        ApiError: a part did not start, or a message did not arrive.
    """
    console = Console(highlight=False)
    console.print("启动嵌入式 PostgreSQL、企业微信模拟器、Telegram 模拟器和 kefu 服务……", style="dim")
    async with open_stage() as stage:
        try:
            await _conversation(stage, console)
        except TimeoutError as error:
            raise ApiError(f"the demo stopped: {error}") from error
        console.print(NEXT.format(url=stage.url), markup=False)
        if keep:
            console.print("仍在运行,按 Ctrl-C 结束。", style="dim")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


NEXT = """
接下来:
  make demo KEEP=1      保持运行,服务地址 {url},接口文档 {url}/docs
  .venv/bin/kefu chat   在终端里以客户身份提问
  cp .env.example .env  填上企业微信和 Telegram 的参数后 make run
  README.zh-CN.md       完整说明"""


async def _conversation(stage: Stage, console: Console) -> None:
    wecom, telegram = stage.wecom, stage.telegram

    def show(who: str, text: str, style: str) -> None:
        console.print(f"\n{who}", style=style)
        for line in text.splitlines():
            console.print(f"  {line}", markup=False)

    async def customer(text: str) -> None:
        show(f"客户 {NICKNAME}(微信)", text, "bold green")
        seen = len(wecom.texts_to(CUSTOMER))
        await wecom.customer_says(CUSTOMER, text)
        show("机器人", await wecom.wait_for_text(CUSTOMER, seen + 1, timeout=REPLY_SECONDS), "bold cyan")

    async def agent(text: str, topic_id: int | None) -> None:
        seen = len(wecom.texts_to(CUSTOMER))
        show(f"人工 {AGENT}(Telegram)", text, "bold magenta")
        await telegram.agent_writes(text, topic_id=topic_id, agent=AGENT)
        show("客户收到", await wecom.wait_for_text(CUSTOMER, seen + 1, timeout=REPLY_SECONDS), "bold cyan")

    await wecom.enter_session(CUSTOMER)
    show("机器人(欢迎语)", await wecom.wait_for_text(CUSTOMER, 1, timeout=REPLY_SECONDS), "bold cyan")
    await customer("如何退款?")
    await customer("那要多久?")
    await customer("你们可以在杯子上刻我的名字吗?")
    card = await telegram.wait_for_message(timeout=REPLY_SECONDS)
    show("Telegram 工单卡片", card.text, "bold yellow")
    await agent("可以刻字,一个杯子加 10 元,三天内发货。", card.topic_id)
    await agent("/done", card.topic_id)
    await customer("运费谁承担?")


@contextlib.asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Run simulators, database and service, with the sample knowledge imported."""
    token, key = secrets.token_hex(8), "".join(secrets.choice(string.ascii_letters) for _ in range(43))
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kefu-demo-", ignore_cleanup_errors=True)))
        # Held here so that the importer and the service share one server.
        stack.enter_context(embedded_postgres(folder))
        secret = secrets.token_hex(8)
        wecom = await stack.enter_async_context(
            WecomSimulator(corp_id="wwDemoCorp", secret=secret, token=token, encoding_aes_key=key)
        )
        wecom.add_customer(CUSTOMER, nickname=NICKNAME)
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
        yield Stage(wecom=wecom, telegram=telegram, url=url)


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
