"""`kefu outreach`: campaigns that a person approves and that cannot break the platform's rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

from api.audit import cli_actor
from api.cli.common import Session, run_with_database
from api.cli.outreach_words import campaign_words, preview_words, ran_words, report_words
from api.outreach import campaigns, consents
from api.outreach.campaigns import NewCampaign
from api.outreach.errors import OutreachError
from api.outreach.facts import Audience
from api.outreach.jobs import make_law
from api.outreach.opened import open_outreach
from api.outreach.previews import preview as make_preview
from api.outreach.reports import report as make_report
from api.outreach.staff_tasks import resolve as settle
from api.settings import load_settings
from prompts.loader import load

app = typer.Typer(
    help=(
        "Write to customers of your own accord. create → preview → approve → run → report. Nothing is sent that a"
        " person did not approve; who opted out, left, or is with a person is left alone; 微信客服 is used within its"
        " 48 hours, else a member of staff confirms the message in their client."
    ),
    no_args_is_help=True,
)

T = TypeVar("T")

TIMES = ("%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M")
DEFAULT_DAYS = 7

Name = Annotated[str, typer.Argument(help="The campaign's name, see `kefu outreach list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
By = Annotated[str, typer.Option("--by", help="Your name; it is kept.")]
Words = Annotated[str, typer.Option("--words", help="What they said, and where.")]
CustomerId = Annotated[str, typer.Argument(help="The customer's external_userid.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name of your own, for example double-11.")],
    *,
    text: Annotated[str, typer.Option(help="What is said; {customer_name} and {company} are filled in.")] = "",
    file: Annotated[Path | None, typer.Option(help="A text file instead; with neither, prompts/outreach.md.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="For friends with this tag; repeat it for any of several.")
    ] = None,
    active_days: Annotated[int | None, typer.Option(help="For those who wrote within so many days.")] = None,
    source: Annotated[str, typer.Option(help="For those who came from there.")] = "",
    account: Annotated[str, typer.Option(help="For customers of this open_kfid.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Not before, `2026-11-30 10:00`; by default now.")] = "",
    until: Annotated[str, typer.Option(help=f"Not after; by default {DEFAULT_DAYS} days later.")] = "",
    holdout: Annotated[int, typer.Option(help="Percent to leave alone, to see whether it does anything.")] = 10,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change one that has sent nothing; approve it anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a campaign. Nothing is sent: look at its preview, then approve it."""
    settings = load_settings()
    zone = ZoneInfo(settings.handoff.kefu_timezone)
    starts_at = _moment(from_, zone, "--from") or datetime.now(UTC)
    wanted = NewCampaign(
        name=name,
        text=_text(text, file),
        audience=Audience.of(tags=tag or (), active_days=active_days, source=source, account=account),
        holdout=holdout,
        starts_at=starts_at,
        ends_at=_moment(until, zone, "--until") or starts_at + timedelta(days=DEFAULT_DAYS),
        created_by=cli_actor(),
    )
    company = settings.welcome.kefu_company
    made = run_with_database(lambda session: campaigns.create(session.pool, wanted, company=company, replace=replace))
    _print(asdict(made), campaign_words(made, zone), as_json=as_json)
    if not as_json:
        typer.echo(f"next: kefu outreach preview {name}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the campaigns, newest first."""
    zone = ZoneInfo(load_settings().handoff.kefu_timezone)
    for campaign in run_with_database(lambda session: campaigns.list_all(session.pool)):
        _print(asdict(campaign), campaign_words(campaign, zone), as_json=as_json)


@app.command()
def preview(
    name: Name,
    show_all: Annotated[bool, typer.Option("--all", help="Every customer, with what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell who would get it and by which way, who would not and why, and when it would go out. Nothing is sent."""
    settings = load_settings()

    async def command(session: Session) -> Any:
        campaign = await campaigns.get(session.pool, name)
        company = settings.welcome.kefu_company
        return await make_preview(session.pool, campaign, make_law(settings), company=company, now=datetime.now(UTC))

    told = run_with_database(command)
    facts = asdict(told) if show_all else {**asdict(told), "customers": len(told.customers)}
    _print(facts, preview_words(told, show_all=show_all), as_json=as_json)


@app.command()
def approve(name: Name, by: By, as_json: AsJson = False) -> None:
    """Let it go out as it is now: text, times and people are frozen. A later change needs another approval."""

    async def command(session: Session) -> tuple[Any, int]:
        return await campaigns.approve(session.pool, name, by=by, actor=cli_actor(), now=datetime.now(UTC))

    campaign, people = run_with_database(command)
    facts = {"name": name, "approved_by": campaign.approved_by, "people": people, "hash": campaign.approved_hash}
    words = f"{name} is approved by {campaign.approved_by} for {people} people; a worker sends it when it is due"
    _print(facts, [words], as_json=as_json)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="One campaign only.")] = "",
    as_json: AsJson = False,
) -> None:
    """Carry out now what was approved and is due; a worker does it every minute by itself."""
    settings = load_settings()

    async def command(session: Session) -> Any:
        if name:
            await _refuse_unapproved(session, name)
        async with open_outreach(settings, session.pool) as outreach:
            ran = await outreach.runner.run(name)
            await outreach.look()
            return ran

    for ran in run_with_database(command):
        _print(asdict(ran), ran_words(ran), as_json=as_json)


@app.command()
def report(name: Name, as_json: AsJson = False) -> None:
    """Tell what came of it: sent, failed, skipped and why, confirmed by staff, answers, and whether it did anything."""

    async def command(session: Session) -> Any:
        campaign = await campaigns.get(session.pool, name)
        return await make_report(session.pool, campaign, now=datetime.now(UTC))

    told = run_with_database(command)
    _print({**asdict(told), "verdict": told.verdict}, report_words(told), as_json=as_json)


@app.command()
def cancel(name: Name) -> None:
    """Stop it for good. What members of staff were asked to send stays with them."""
    now = datetime.now(UTC)
    spared = run_with_database(lambda session: campaigns.cancel(session.pool, name, actor=cli_actor(), now=now))
    typer.echo(f"{name} is cancelled; {spared} people get nothing")


@app.command()
def resolve(
    task: Annotated[int, typer.Argument(help="The task's number, see `kefu outreach report`.")],
    by: By,
    msgid: Annotated[str, typer.Option(help="WeCom made it: the msgid of the task there.")] = "",
    not_created: Annotated[bool, typer.Option("--not-created", help="WeCom made none: staff are asked again.")] = False,
) -> None:
    """Settle a call to staff whose outcome nobody knows, after looking at 客户联系 → 群发工具 in the console."""
    if bool(msgid) == not_created:
        raise typer.BadParameter("say what you found: --msgid MSGID or --not-created")
    now = datetime.now(UTC)
    run_with_database(lambda session: settle(session.pool, task, msgid=msgid, by=by, actor=cli_actor(), now=now))
    typer.echo(f"task {task} is settled")


@app.command("opt-out")
def opt_out(customer_id: CustomerId, words: Words) -> None:
    """Record that a customer wants no campaigns, said elsewhere than in 微信客服 (there it is recorded by itself)."""
    run_with_database(
        lambda session: consents.record_by_hand(session.pool, customer_id, "out", words=words, actor=cli_actor())
    )
    typer.echo(f"{customer_id} gets no campaigns")


@app.command("opt-in")
def opt_in(customer_id: CustomerId, words: Words) -> None:
    """Record that a customer who had opted out wants campaigns again."""
    run_with_database(
        lambda session: consents.record_by_hand(session.pool, customer_id, "in", words=words, actor=cli_actor())
    )
    typer.echo(f"{customer_id} may get campaigns")


async def _refuse_unapproved(session: Session, name: str) -> None:
    campaign = await campaigns.get(session.pool, name)
    if campaign.state != "approved":
        mend = f"; see `kefu outreach approve {name} --by NAME`" if campaign.state == "draft" else ""
        raise OutreachError(f"{name} is {campaign.state}, nothing is sent{mend}")


def _text(text: str, file: Path | None) -> str:
    if text and file is not None:
        raise typer.BadParameter("give --text or --file, not both")
    if file is None:
        return text.strip() or load("outreach").text
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OutreachError(f"{file}: cannot be read ({type(error).__name__}); give a text file in UTF-8") from error


def _moment(text: str, zone: ZoneInfo, option: str) -> datetime | None:
    if not text.strip():
        return None
    for form in TIMES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=zone)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is no moment; example: 2026-11-30 10:00", param_hint=option)


def _print(facts: Any, lines: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
        return
    for line in lines:
        typer.echo(line)
