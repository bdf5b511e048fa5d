"""`kefu demo` and `kefu chat`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.demo.day import play_day
from api.demo.one_conversation import play
from api.terminal_chat import chat_in_terminal


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(chat)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    day: Annotated[bool, typer.Option("--day", help="A whole day instead: customers, tickets, three agents.")] = False,
    customers: Annotated[int, typer.Option(min=8, max=200, help="How many customers come on that day.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Another day.")] = 1,
) -> None:
    """Play a whole conversation on this machine: simulators of WeCom and Telegram, the real service in between.

    Needs no key, no account and no network; whatever is in .env is left aside. With --day it prints what was measured,
    and fails when a message was lost or doubled, a ticket went astray, or a learned question was missed again.
    """
    if day and keep:
        raise typer.BadParameter("name --keep or --day, not both")
    asyncio.run(play_day(customers=customers, seed=seed) if day else play(keep=keep))


def chat() -> None:
    """Talk to the bot in the terminal, as a customer, over the sample knowledge.

    What it cannot answer is shown as the ticket a person would get.
    """
    asyncio.run(chat_in_terminal())
