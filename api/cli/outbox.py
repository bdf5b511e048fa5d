"""`kefu outbox`: what was not delivered, and what to do about it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from psycopg import Rollback

from api.audit import cli_actor, record
from api.cli.common import Session, run_with_database
from api.database import Row
from api.deliveries import Deliveries
from api.job_queue import JobQueue

app = typer.Typer(help="Messages on their way out: what failed, retry it, drop it.", no_args_is_help=True)

RowIds = Annotated[list[int], typer.Argument(help="Row ids, see `kefu outbox list`.")]

ACTIONS = {"retry": "outbox.retried", "drop": "outbox.dropped"}
"""In the audit log."""

STATES = {"failed": ("failed", "unknown"), "waiting": ("pending", "sending")}


@app.command("list")
def list_rows(
    failed: Annotated[bool, typer.Option("--failed", help="What was not delivered, or nobody can tell.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what waits to be sent, or with --failed what could not be sent."""
    states = STATES["failed" if failed else "waiting"]

    async def command(session: Session) -> list[Row]:
        async with session.pool.connection() as conn:
            cursor = await conn.execute(
                "select id, thread_id, destination, state, attempts, last_error, created_at,"
                " coalesce(payload ->> 'text', payload ->> 'kind') as text from outbox"
                " where state = any(%s) order by id desc limit %s",
                (list(states), limit),
            )
            return await cursor.fetchall()

    for row in run_with_database(command):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
        else:
            typer.echo(
                f"{row['id']:>6}  {row['created_at']:%Y-%m-%d %H:%M}  {row['destination']:<8} {row['state']:<8}"
                f" {row['last_error'] or ''}"
            )


@app.command()
def retry(row_ids: RowIds) -> None:
    """Send again what failed. What may have arrived goes out under its old key, so that it cannot arrive twice."""
    _each(row_ids, "retry")


@app.command()
def drop(row_ids: RowIds) -> None:
    """Give up what failed, for good."""
    _each(row_ids, "drop")


def _each(row_ids: list[int], verb: str) -> None:
    async def command(session: Session) -> list[int]:
        queue = JobQueue()
        async with queue.app.open_async(session.pool):
            deliveries = Deliveries(session.pool, queue)
            act = deliveries.revive if verb == "retry" else deliveries.drop
            failed = []
            for row_id in row_ids:
                async with session.pool.connection() as conn, conn.transaction() as transaction:
                    await record(conn, actor=cli_actor(), action=ACTIONS[verb], subject=str(row_id))
                    if not await act(row_id):
                        failed.append(row_id)
                        raise Rollback(transaction)
            return failed

    unknown = run_with_database(command)
    for row_id in unknown:
        typer.echo(f"{row_id} is no failed message", err=True)
    if unknown:
        raise typer.Exit(1)
