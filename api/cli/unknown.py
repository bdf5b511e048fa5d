"""`kefu unknown`: questions the knowledge base did not cover."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from api.cli.common import Session, run_with_database
from api.database import Row

app = typer.Typer(help="Questions nobody could answer from the knowledge base.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, help="How many, newest first.")]


async def _newest(session: Session, limit: int) -> list[Row]:
    async with session.pool.connection() as conn:
        cursor = await conn.execute(
            "select id, content, user_id, created_at, reason, confidence from unknown_questions"
            " order by id desc limit %s",
            (limit,),
        )
        return await cursor.fetchall()


@app.command("list")
def list_questions(
    limit: Limit = 50, as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False
) -> None:
    """List the newest open questions."""
    for row in run_with_database(lambda session: _newest(session, limit)):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
        else:
            typer.echo(f"{row['created_at']:%Y-%m-%d %H:%M}  {row['reason'] or '':<16} {row['content']}")


@app.command()
def export(limit: Limit = 10_000) -> None:
    """Write all questions as JSON lines to standard output."""
    list_questions(limit=limit, as_json=True)
