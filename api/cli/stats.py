"""`kefu stats`: today's numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from api.cli.common import Session, run_with_database
from api.observability.figures import Figures, Quantiles, begin_of, figures_since
from api.observability.totals import KEPT_DAYS


def register(app: typer.Typer) -> None:
    """Add the top-level command."""
    app.command()(stats)


def stats(
    *,
    days: Annotated[int, typer.Option(min=1, max=KEPT_DAYS, help="How many days, today included.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Tell today's numbers: messages, answers, waits, spend, trouble. Days are those of KEFU_TIMEZONE."""

    async def command(session: Session) -> Figures:
        zone = ZoneInfo(session.settings.handoff.kefu_timezone)
        return await figures_since(session.pool, begin_of(days, now=datetime.now(UTC), zone=zone))

    figures = run_with_database(command)
    if as_json:
        typer.echo(json.dumps(asdict(figures), default=str))
        return
    for name, value in _lines(figures):
        typer.echo(f"{name:<22} {value}")


def _lines(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "since", f"{figures.since:%Y-%m-%d %H:%M %Z}"
    yield "messages", _counts(figures.messages)
    share = figures.resolved_share
    yield "resolved by the bot", "no questions yet" if share is None else f"{share:.0%} of the questions"
    yield "answer time", _quantiles(figures.answer_seconds)
    yield "escalations", _counts(figures.escalations) or "none"
    yield "wait for a person", _quantiles(figures.handoff_wait_seconds)
    yield "time to resolve", _quantiles(figures.handoff_resolve_seconds)
    yield "tickets now", _counts(figures.tickets)
    yield "judged answers", _counts(figures.audits)
    yield "chat model", _counts(figures.model)
    yield "outbox now", _counts(figures.outbox)


def _counts(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in counts.items())


def _quantiles(quantiles: Quantiles) -> str:
    if quantiles.p50 is None or quantiles.p95 is None:
        return "none yet"
    return f"half within {_duration(quantiles.p50)}, 95 % within {_duration(quantiles.p95)}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
