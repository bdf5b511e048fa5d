"""`kefu token`: tokens of programs that use the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from api.api_tokens import SCOPES, ApiTokens
from api.audit import cli_actor
from api.cli.common import run_with_database

app = typer.Typer(
    help=f"Tokens of programs that use the API, each for some scopes: {', '.join(SCOPES)}.", no_args_is_help=True
)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who uses it, for example grafana.")],
    scope: Annotated[list[str], typer.Option(help=f"What it opens, {' or '.join(SCOPES)}; can be repeated.")],
    days: Annotated[int, typer.Option(min=0, max=3650, help="When it ends; 0: never.")] = 90,
) -> None:
    """Make a token and print it, alone on its line. It is shown this once: only a hash of it is kept."""
    token = run_with_database(
        lambda session: ApiTokens(session.pool).create(name, scope, days=days or None, actor=cli_actor())
    )
    typer.echo(token)


@app.command("list")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the tokens: what they open, until when, when each was last used."""
    for row in run_with_database(lambda session: ApiTokens(session.pool).list()):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
            continue
        end, used = row["expires_at"], row["last_used_at"]
        is_over = end is not None and end <= datetime.now(UTC)
        until = "never ends" if end is None else f"{'ended' if is_over else 'ends'} {end:%Y-%m-%d}"
        last = f"used {used:%Y-%m-%d %H:%M}" if used else "never used"
        typer.echo(f"{row['name']:<20} {' '.join(row['scopes']):<24} {until}  {last}")


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """End a token at once."""
    run_with_database(lambda session: ApiTokens(session.pool).revoke(name, actor=cli_actor()))
    typer.echo(f"revoked {name}")
