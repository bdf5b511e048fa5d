"""`kefu doctor`: is everything in order, and if not, why and what to do?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import typer

from api.database import database
from api.doctor.checks import Finding
from api.doctor.diagnosis import diagnose, read_settings
from api.doctor.wecom import PATH
from api.errors import ApiError, DatabaseError
from api.log_config import configure_logging
from api.settings import Settings

MARKS = {"ok": "✓", "failed": "✗", "off": "–"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    url: Annotated[
        str, typer.Option(help="Where WeCom reaches the running service, such as https://kefu.example.com.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Check the settings and everything the service leans on; name what is wrong and how to mend it.

    One line a check: ✓ in order, ✗ failed, – off or not checked. Exit 1 when something failed. Nothing is written
    and nobody is messaged; a configured chat model is asked for one token.
    """
    base = _base(url)
    settings, wrong = read_settings()
    # What goes wrong is in the findings; the libraries' own words would stand between them.
    configure_logging(settings.service.model_copy(update={"kefu_log_level": "CRITICAL"}))
    findings = _diagnose(settings, wrong, base)
    has_failed = any(finding.status == "failed" for finding in findings)
    if as_json:
        body = {"ok": not has_failed, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        _show(findings)
    if has_failed:
        raise typer.Exit(1)


def _diagnose(settings: Settings, wrong: Mapping[str, str], url: str) -> list[Finding]:
    def run(conninfo: str | ApiError) -> list[Finding]:
        return asyncio.run(diagnose(settings, conninfo, wrong=wrong, url=url))

    if "service" in wrong:
        return run(DatabaseError("the settings do not say where the database is"))
    try:
        with database(settings.service.kb_db_url, settings.service.kefu_data_dir) as conninfo:
            return run(conninfo)
    except DatabaseError as error:
        return run(error)


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        text = " ".join(f"{finding.detail} → {finding.mend}".split() if finding.mend else finding.detail.split())
        typer.echo(f"{MARKS[finding.status]} {finding.check:<{width}}  {text}")


def _base(url: str) -> str:
    """Cut an address down to what stands before the callback's path."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_url = False
    if not is_url:
        raise typer.BadParameter("is not a URL; example: https://kefu.example.com", param_hint="--url")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(PATH)}"
