"""`kefu contact-way` and `kefu kf-link`: QR codes and links by which customers come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from api.cli.common import Session, configured_wecom, run_with_database
from api.contact_ways import ContactWayError, ContactWays, StoredWay, make_link, save_picture
from api.friends.jobs import make_contacts
from api.settings import load_settings
from tools.wecom.client import WecomClient

app = typer.Typer(help="QR codes by which customers become friends of the staff.", no_args_is_help=True)
links = typer.Typer(help="Links that open the 微信客服 chat.", no_args_is_help=True)

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
ConfigId = Annotated[str, typer.Argument(help="The way's config_id, see `kefu contact-way list`.")]
Out = Annotated[Path | None, typer.Option("--out", help="Save the QR code here, as PNG.")]


@app.command()
def create(
    user: Annotated[list[str], typer.Option(help="The userid of who gets the friends; repeat it for several.")],
    source: Annotated[str, typer.Option(help="Where the QR code will hang; new friends are tagged with it.")],
    tag: Annotated[list[str] | None, typer.Option(help="Another tag for these friends; repeat it.")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Make a way that needs nobody's consent: whoever scans its QR code can write at once."""
    way = _with_ways(lambda ways: ways.create(staff_ids=user, source=source, tags=tag or ()))
    _show(way, as_json=as_json)
    _save(way, out)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the ways made here, and those WeCom has beside them."""
    for way in _with_ways(lambda ways: ways.list_all()):
        _show(way, as_json=as_json)


@app.command()
def update(
    config_id: ConfigId,
    *,
    user: Annotated[list[str] | None, typer.Option(help="Who gets the friends from now on; repeat it.")] = None,
    source: Annotated[str | None, typer.Option(help="Another name of the source.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeat it. Replaces all.")] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Drop all tags.")] = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Change a way; printed QR codes go on working. With --out alone it saves the QR code again."""
    tags = [] if no_tags else tag or None
    if user is None and source is None and tags is None and out is None:
        raise typer.BadParameter("name what to change: --user, --source, --tag, --no-tags, or --out")
    way = _with_ways(lambda ways: ways.update(config_id, staff_ids=user, source=source, tags=tags))
    _show(way, as_json=as_json)
    _save(way, out)


@app.command()
def delete(config_id: ConfigId) -> None:
    """Let a QR code lead nowhere, wherever it hangs. Friends stay friends."""
    _with_ways(lambda ways: ways.delete(config_id))
    typer.echo(f"{config_id} was deleted")


@links.command("create")
def create_link(
    account: Annotated[str, typer.Option(help="The open_kfid of the account.")],
    scene: Annotated[str, typer.Option(help="Where the link will stand: 1 to 32 of 0-9 a-z A-Z _ -.")],
    param: Annotated[str, typer.Option(help="More about it, at most 128 bytes.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a link that tells where the customer came from. Do not change it: WeCom would no longer tell."""
    settings = configured_wecom(load_settings())

    async def make() -> str:
        wecom = settings.wecom
        async with WecomClient(
            api_base=wecom.wecom_api_base, corp_id=wecom.wecom_corp_id, secret=wecom.kf_secret
        ) as client:
            return await make_link(client, account=account, scene=scene, param=param)

    url = asyncio.run(make())
    facts = {"account": account, "scene": scene, "param": param, "url": url}
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else url)


def _with_ways(command: Callable[[ContactWays], Awaitable[T]]) -> T:
    async def run(session: Session) -> T:
        async with make_contacts(session.settings.wecom) as contacts:
            return await command(ContactWays(pool=session.pool, contacts=contacts))

    configured_wecom(load_settings())
    return run_with_database(run)


def _save(way: StoredWay, out: Path | None) -> None:
    if out is None:
        return
    try:
        asyncio.run(save_picture(way.qr_code, out))
    except ContactWayError as error:
        again = f"`kefu contact-way update {way.config_id} --out {out}` tries it again"
        raise ContactWayError(f"{error}; the way itself is there: {again}") from error


def _show(way: StoredWay, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(way), ensure_ascii=False))
        return
    notes = []
    if not way.is_stored:
        notes.append("made elsewhere")
    if way.config_id is None:
        notes.append("open whether WeCom made it")
    elif way.is_at_wecom is False:
        notes.append("not at WeCom")
    typer.echo(
        f"{way.config_id or '-':<34} {way.source or '-':<10} {','.join(way.staff_ids)}  {way.state}"
        + (f"  {' '.join(way.tags)}" if way.tags else "")
        + (f"  ({', '.join(notes)})" if notes else "")
    )
