"""`make demo`: one conversation, from the welcome to the bot back at work."""

from __future__ import annotations

import asyncio
import contextlib

from rich.console import Console

from api.demo.stage import REPLY_SECONDS, Stage, open_stage
from api.errors import ApiError

CUSTOMER, NICKNAME, AGENT = "wmDemoCustomer01", "小满", "小王"


async def play(*, keep: bool) -> None:
    """Start everything, play the conversation, stop everything.

    Raises:
        ApiError: a part did not start, or a message did not arrive.
    """
    console = Console(highlight=False)
    console.print("启动嵌入式 PostgreSQL、企业微信模拟器、Telegram 模拟器和 kefu 服务……", style="dim")
    async with open_stage() as stage:
        stage.wecom.add_customer(CUSTOMER, nickname=NICKNAME)
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
