"""`kefu audit`: who did what."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from api.audit import Filter, entries
from api.cli.common import run_with_database

app = typer.Typer(help="Who did what: decisions of people, at the desk and on the command line.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    # Without it typer would drop the group's only command's name.
    """Who did what: decisions of people, at the desk and on the command line."""


@app.command("list")
def list_entries(
    *,
    since: Annotated[datetime | None, typer.Option(help="From this moment on, in this machine's time zone.")] = None,
    ticket: Annotated[str, typer.Option(help="Only about this ticket.")] = "",
    actor: Annotated[str, typer.Option(help="Only by this actor, `cli:ops` or `desk:小王`.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, `draft.approved`, or this kind, `draft`.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what was done, newest first."""
    moment = since.astimezone() if since else None
    chosen = Filter(since=moment, ticket=ticket, actor=actor, action=action)
    for row in run_with_database(lambda session: entries(session.pool, chosen, limit=limit)):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
            continue
        facts = "".join(f"  {name}={value}" for name, value in row["detail"].items() if value not in (None, "", []))
        about = row["subject"] or row["ticket_id"] or row["thread_id"] or ""
        typer.echo(f"{row['created_at']:%Y-%m-%d %H:%M:%S}  {row['actor']:<16} {row['action']:<18} {about}{facts}")
