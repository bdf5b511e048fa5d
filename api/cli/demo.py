"""`kefu demo` and `kefu chat`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.demo import play
from api.terminal_chat import chat_in_terminal


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(chat)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Play a whole conversation on this machine: simulators of WeCom and Telegram, the real service in between.

    Needs no key, no account and no network; whatever is in .env is left aside.
    """
    asyncio.run(play(keep=keep))


def chat() -> None:
    """Talk to the bot in the terminal, as a customer, over the sample knowledge.

    What it cannot answer is shown as the ticket a person would get.
    """
    asyncio.run(chat_in_terminal())
