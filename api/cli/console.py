"""`kefu console`: who may log in to the console."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from api.audit import cli_actor
from api.cli.common import Session, run_with_database
from api.console.passwords import SHORTEST, Passwords, check_password
from api.console.users import ConsoleUsers

T = TypeVar("T")

app = typer.Typer(help="The console: who may log in.", no_args_is_help=True)
user = typer.Typer(help="People who log in, besides `admin` with CONSOLE_PASSWORD.", no_args_is_help=True)
app.add_typer(user, name="user")

Name = Annotated[str, typer.Argument(help="Who logs in, for example xiaowang.")]
FromInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.callback()
def _group() -> None:
    # Without it typer would drop the only group's name.
    """Who may log in to the console."""


@user.command()
def add(name: Name, password_stdin: FromInput = False) -> None:
    """Let somebody log in. Asks for the password."""
    password = _password(from_input=password_stdin)
    _run(lambda users: users.add(name, password, actor=cli_actor()))
    typer.echo(f"added {name}")


@user.command("password")
def change_password(name: Name, password_stdin: FromInput = False) -> None:
    """Give somebody another password: their sessions end, and what locked them out."""
    password = _password(from_input=password_stdin)
    _run(lambda users: users.change_password(name, password, actor=cli_actor()))
    typer.echo(f"changed; every session of {name} has ended")


@user.command()
def remove(name: Name) -> None:
    """Let somebody in no more; their sessions end."""
    _run(lambda users: users.remove(name, actor=cli_actor()))
    typer.echo(f"removed {name}")


@user.command("list")
def list_users(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """List who may log in."""
    for row in _run(lambda users: users.list()):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
            continue
        typer.echo(f"{row['name']:<20} password of {row['changed_at']:%Y-%m-%d}  {row['sessions']} open sessions")


def _password(*, from_input: bool) -> str:
    if from_input:
        return check_password(sys.stdin.readline().rstrip("\r\n"))
    return check_password(
        typer.prompt(f"Password, at least {SHORTEST} characters", hide_input=True, confirmation_prompt=True)
    )


def _run(command: Callable[[ConsoleUsers], Awaitable[T]]) -> T:
    async def run(session: Session) -> T:
        return await command(ConsoleUsers(pool=session.pool, passwords=Passwords()))

    return run_with_database(run)
