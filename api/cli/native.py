"""`kefu native`: what WeCom's own robot knows, taken over; how it did, as a baseline."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from api.cli.bars import fit_confidence, progress_bar
from api.cli.common import Session, configured_wecom, run_with_database
from api.knowledge import open_knowledge
from api.native import Baseline, NativeKnowledge, OwnDay, baseline, read_knowledge, share, twins
from api.settings import Settings, load_settings
from kb.embeddings import make_embedder
from kb.ingest import ImportReport, import_articles
from tools.wecom.client import WecomClient
from tools.wecom.native import BEIJING, OLDEST_DAYS, DayFigures, NativeRobot

app = typer.Typer(help="The robot of 微信客服 itself: take its questions over, compare with it.", no_args_is_help=True)


@app.command("import")
def import_(
    *,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Also remove what the robot does not know any more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would change.")] = False,
) -> None:
    """Take over every question of the robot; its groups become categories. A second run costs nothing.

    Pictures, videos and mini programs of an answer are named in it: WeCom does not give them out.
    """
    configured_wecom(load_settings())
    console = Console(stderr=True)

    async def command(session: Session) -> tuple[NativeKnowledge, ImportReport]:
        return await _take_over(session, console, refresh=refresh, dry_run=dry_run)

    found, report = run_with_database(command)
    for warning in found.warnings:
        console.print(f"warning: {warning}", markup=False)
    typer.echo(f"groups {found.groups}, questions {found.entries}, ways to ask {len(found.chunks)}")
    prefix = "would change: " if dry_run else ""
    typer.echo(prefix + ", ".join(f"{name} {count}" for name, count in asdict(report).items()))


@app.command()
def stats(
    *,
    days: Annotated[int, typer.Option(min=1, max=OLDEST_DAYS, help="How many days, up to yesterday.")] = 30,
    account: Annotated[list[str] | None, typer.Option(help="Only this account (open_kfid); may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output, with every day.")] = False,
) -> None:
    """Say how WeCom's own robot did, and how kefu did on the same days, as far as it was there.

    Yesterday's figures are there from six in the morning on, Beijing time.
    """
    configured_wecom(load_settings())

    async def command(session: Session) -> Baseline:
        async with _client(session.settings) as client:
            today = datetime.now(BEIJING).date()
            return await baseline(client, session.pool, days=days, today=today, only=account or ())

    found = run_with_database(command)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(_facts(found), ensure_ascii=False))
        return
    _show(found)


async def _take_over(
    session: Session, console: Console, *, refresh: bool, dry_run: bool
) -> tuple[NativeKnowledge, ImportReport]:
    async with _client(session.settings) as client:
        with progress_bar("reading", console) as progress:
            found = await read_knowledge(NativeRobot(client), progress=progress)
    found = replace(found, warnings=(*found.warnings, *await twins(session.pool, found)))
    async with contextlib.aclosing(make_embedder(session.settings.kb)) as embedder:
        with progress_bar("embedding", console) as progress:
            report = await import_articles(
                session.pool, embedder, found.chunks, refresh=refresh, dry_run=dry_run, progress=progress
            )
    if not dry_run and (report.embedded or report.removed):
        async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
            await fit_confidence(knowledge, console)
    return found, report


def _client(settings: Settings) -> WecomClient:
    wecom = settings.wecom
    return WecomClient(api_base=wecom.wecom_api_base, corp_id=wecom.wecom_corp_id, secret=wecom.kf_secret)


def _show(found: Baseline) -> None:
    native, own = _native(found.native), _own(found.own)
    names = ", ".join(account.name or account.open_kfid for account in found.accounts) or "no account"
    typer.echo(f"{found.first} to {found.last}: {names}")
    since = f"kefu, from {found.own_since} on" if found.own_since else "kefu, nothing recorded"
    typer.echo(f"{'':<24}{'WeCom':>10}  {since}")
    for title, name in (
        ("sessions", "sessions"),
        ("customers, day by day", "customers"),
        ("messages", "messages"),
        ("sessions of the robot", "robot_sessions"),
        ("knowledge hit rate", "ai_knowledge_hit_rate"),
        ("went on to a person", "ai_transfer_rate"),
    ):
        beside = _said(own.get(name)) if found.own_since else "-"
        typer.echo(f"{title:<24}{_said(native[name]):>10}  {beside}")


def _facts(found: Baseline) -> dict[str, Any]:
    native, own = defaultdict(list), {day.day: day for day in found.own}
    for figures in found.native:
        native[figures.day].append(figures)
    return {
        "first": found.first.isoformat(),
        "last": found.last.isoformat(),
        "accounts": [{"open_kfid": account.open_kfid, "name": account.name} for account in found.accounts],
        "native": _native(found.native),
        "kefu": {"since": found.own_since.isoformat() if found.own_since else None, **_own(found.own)},
        "days": [
            {
                "day": day.isoformat(),
                "native": _native(native[day]) if day in native else None,
                "kefu": _own([own[day]]) if day in own else None,
            }
            for day in sorted({*native, *own})
        ],
    }


def _native(rows: Sequence[DayFigures]) -> dict[str, Any]:
    """Add days up; of a share each day counts by what it is a share of, of the hits by all messages of the day."""
    return {
        "sessions": sum(row.sessions for row in rows),
        "customers": sum(row.customers for row in rows),
        "messages": sum(row.messages for row in rows),
        "robot_sessions": sum(row.robot_sessions for row in rows),
        "ai_knowledge_hit_rate": share([(row.hit_rate, row.messages) for row in rows]),
        "ai_transfer_rate": share([(row.transfer_rate, row.robot_sessions) for row in rows]),
    }


def _own(rows: Sequence[OwnDay]) -> dict[str, Any]:
    conversations, to_bot = sum(row.conversations for row in rows), sum(row.to_bot for row in rows)
    return {
        "sessions": conversations,
        "customers": conversations,
        "messages": sum(row.messages for row in rows),
        "robot_sessions": conversations,
        "ai_knowledge_hit_rate": sum(row.answered for row in rows) / to_bot if to_bot else None,
        "ai_transfer_rate": sum(row.handed_over for row in rows) / conversations if conversations else None,
    }


def _said(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if isinstance(value, float) else str(value)
