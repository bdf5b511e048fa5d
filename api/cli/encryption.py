"""`kefu encryption`: keys for personal data at rest."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Annotated

import typer
from rich.console import Console

from api.cli.bars import progress_bar
from api.cli.common import Session, run_with_database
from api.encryption import KEY_BYTES
from api.errors import EncryptionError
from api.resealing import reseal

app = typer.Typer(
    help="Keys for personal data at rest: DATA_ENCRYPTION_KEY holds one, or several with the current one first.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("new-key")
def new_key() -> None:
    """Print a new random key. Keep a copy outside the database's backup: what it sealed is lost without it."""
    typer.echo(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())


@app.command()
def status(as_json: AsJson = False) -> None:
    """Count what is not sealed with the current key: written before there was one, or with an older one."""
    _show(_reseal(dry_run=True), as_json, done="everything personal is sealed with the current key", rest="not yet")


@app.command()
def rotate(as_json: AsJson = False) -> None:
    """Seal everything anew with the current key, beside live traffic; it can be stopped and run again.

    To change keys: put a new one before the old one in DATA_ENCRYPTION_KEY, restart every process, run this, see that
    `kefu encryption status` finds nothing, and only then remove the old key.
    """
    _show(_reseal(dry_run=False), as_json, done="there was nothing to seal", rest="sealed")


def _reseal(*, dry_run: bool) -> dict[str, int]:
    async def command(session: Session) -> dict[str, int]:
        ring = session.settings.service.key_ring
        if ring is None:
            raise EncryptionError("DATA_ENCRYPTION_KEY is empty: set it to what `kefu encryption new-key` prints")
        with progress_bar("reading" if dry_run else "sealing", Console(stderr=True)) as progress:
            return await reseal(session.pool, ring, progress, dry_run=dry_run)

    return run_with_database(command)


def _show(counts: dict[str, int], as_json: bool, *, done: str, rest: str) -> None:
    if as_json:
        typer.echo(json.dumps(counts))
        return
    for name, count in counts.items():
        if count:
            typer.echo(f"{count:>10}  {name}  {rest}")
    if not any(counts.values()):
        typer.echo(done)
