"""`kefu customers`: find somebody, forget somebody."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from api.checkpoints import make_saver
from api.cli.bars import progress_bar
from api.cli.common import Session, run_with_database
from api.erasure import Erasure, erase_customer

app = typer.Typer(help="Who wrote, and how one of them is forgotten.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def find(
    text: Annotated[str, typer.Argument(help="Part of a name or of an id; empty: everybody.")] = "",
    as_json: AsJson = False,
) -> None:
    """List customers with their ids, the last one who wrote first."""

    async def command(session: Session) -> list[dict[str, str]]:
        async with session.pool.connection() as conn:
            cursor = await conn.execute(
                "select customer_id, customer_name, account_id, last_customer_at from conversations"
                " order by last_customer_at desc nulls last"
            )
            rows = await cursor.fetchall()
        # Names may be sealed, which the database cannot search.
        return [
            {
                "customer_id": row["customer_id"],
                "name": row["customer_name"],
                "account_id": row["account_id"],
                "last_wrote_at": row["last_customer_at"].isoformat() if row["last_customer_at"] else "",
            }
            for row in rows
            if text in row["customer_name"] or text in row["customer_id"]
        ]

    found = run_with_database(command)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for customer in found:
        typer.echo("  ".join(customer.values()))


@app.command()
def erase(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="As `kefu customers find` shows it.")],
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove one person everywhere: messages, checkpoints, queue, profile, friendship, outreach; then look again.

    It cannot be undone. Knowledge that was made of an answer to them stays: names and numbers were taken out of it.
    Ends with 1 when anything still names them.
    """
    customer_id = customer_id.strip()
    if len(customer_id) < 4:
        raise typer.BadParameter("an id has at least 4 characters; see `kefu customers find`")
    if not is_sure:
        typer.confirm(f"Forget {customer_id} for good?", abort=True, err=True)

    async def command(session: Session) -> Erasure:
        saver = make_saver(session.pool, session.settings.service.key_ring)
        with progress_bar("looking again", Console(stderr=True)) as progress:
            return await erase_customer(session.pool, saver, customer_id, actor="cli", progress=progress)

    done = run_with_database(command)
    if as_json:
        typer.echo(json.dumps({"rows": done.rows, "left": done.left, "places": done.places}))
    else:
        _say(done)
    if done.left:
        raise typer.Exit(1)


def _say(done: Erasure) -> None:
    for table, rows in done.rows.items():
        if rows:
            typer.echo(f"{rows:>8}  {table}")
    for table, rows in done.left.items():
        typer.echo(f"still named in {rows} rows of {table}: run it again", err=True)
    if not done.left:
        typer.echo("looked through every table: nothing names them any more")
    for place in done.places:
        typer.echo(f"what the desk read stays there until somebody deletes it: {place}")
