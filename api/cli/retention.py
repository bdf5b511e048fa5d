"""`kefu retention`: what is old goes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from api.checkpoints import make_saver
from api.cli.common import Session, run_with_database
from api.retention import RetentionReport, run_retention

app = typer.Typer(help="How long things are kept.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    # Without it typer would drop the group's only command's name.
    """How long things are kept."""


@app.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Empty and delete what is older than the settings allow; a worker does this every day."""

    async def command(session: Session) -> RetentionReport:
        saver, settings = make_saver(session.pool, session.settings.service.key_ring), session.settings.retention
        return await run_retention(session.pool, saver, settings, now=datetime.now(UTC), dry_run=dry_run)

    report = run_with_database(command)
    if as_json:
        typer.echo(json.dumps({"dry_run": report.is_dry_run, **report.counts}))
        return
    for name, count in report.counts.items():
        typer.echo(f"{count:>10}  {name}")
    typer.echo("nothing was changed" if report.is_dry_run else "done")
