"""`kefu kb drafts`: entries proposed from people's answers, and their review."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Literal, TypeVar

import typer
from rich.console import Console

from api.audit import cli_actor
from api.cli.bars import fit_confidence, progress_bar
from api.cli.common import Session, run_with_database
from api.knowledge import Knowledge, open_knowledge
from api.learning.drafts import (
    Draft,
    edit_draft,
    get_draft,
    list_drafts,
    reject_draft,
)
from api.learning.misses import load_misses
from api.learning.replay import Replayed, misses_of, replay
from api.learning.reviews import Review, approve_draft, merge_draft, review_draft

app = typer.Typer(help="Entries proposed from people's answers: review them.", no_args_is_help=True)

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DraftId = Annotated[int, typer.Argument(help="Number of a draft, see `kefu kb drafts list`.")]
By = Annotated[str, typer.Option("--by", help="Who decides.")]


@app.command("list")
def list_(
    state: Annotated[
        Literal["pending", "approved", "rejected", "all"], typer.Option(help="Drafts in this state.")
    ] = "pending",
    as_json: AsJson = False,
) -> None:
    """List the drafts, oldest first."""
    for draft in run_with_database(lambda session: list_drafts(session.pool, state=state)):
        if as_json:
            typer.echo(json.dumps(asdict(draft), ensure_ascii=False))
        else:
            typer.echo(f"{draft.id:>5}  {draft.state:<8} {len(draft.questions):>2}  {draft.question}")


@app.command()
def show(draft_id: DraftId, as_json: AsJson = False) -> None:
    """Show a draft, and what speaks against it: entries that ask the same or say otherwise, gaps, personal facts."""

    async def command(session: Session) -> tuple[Draft, Review]:
        draft = await get_draft(session.pool, draft_id)
        return draft, await _with_knowledge(session, lambda knowledge: review_draft(knowledge, draft))

    draft, review = run_with_database(command)
    if as_json:
        typer.echo(json.dumps({**asdict(draft), "review": asdict(review)}, ensure_ascii=False))
        return
    _print_draft(draft)
    for conflict in review.conflicts:
        typer.echo(f"{conflict.kind:<13} {conflict.closeness:.2f}  {conflict.entry_id}  {conflict.question}")
        typer.echo(f"              {conflict.answer}")
        for difference in conflict.differences:
            typer.echo(f"              ! {difference}")
    for objection in review.objections():
        typer.echo(f"! {objection}")


@app.command()
def edit(
    draft_id: DraftId,
    *,
    question: Annotated[str | None, typer.Option(help="The entry's question.")] = None,
    similar: Annotated[list[str] | None, typer.Option(help="Another wording; repeat it. Replaces all.")] = None,
    answer: Annotated[str | None, typer.Option(help="The answer.")] = None,
    category: Annotated[str | None, typer.Option(help="The category.")] = None,
    no_similar: Annotated[bool, typer.Option("--no-similar", help="Drop all other wordings.")] = False,
) -> None:
    """Change a draft before it is approved."""
    wordings = [] if no_similar else similar or None
    if question is None and wordings is None and answer is None and category is None:
        raise typer.BadParameter("name what to change: --question, --similar, --no-similar, --answer or --category")

    async def command(session: Session) -> Draft:
        return await edit_draft(
            session.pool,
            draft_id,
            actor=cli_actor(),
            question=question,
            similar=wordings,
            answer=answer,
            category=category,
        )

    _print_draft(run_with_database(command))


@app.command()
def approve(
    draft_id: DraftId,
    by: By,
    replace: Annotated[
        list[str] | None, typer.Option(help="An entry that goes when this one comes; repeat it.")
    ] = None,
    merge: Annotated[str | None, typer.Option(help="An entry that asks the same: only add the wordings to it.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Although something speaks against it.")] = False,
) -> None:
    """Make a draft an entry, live at once; then fit the confidence and ask the missed questions again.

    When an entry asks the same already, choose: --merge or --replace it.
    """
    console = Console(stderr=True)
    if merge is not None and replace:
        raise typer.BadParameter("name --merge or --replace, not both")

    async def decide(knowledge: Knowledge) -> Draft:
        actor = cli_actor()
        if merge is not None:
            return await merge_draft(knowledge, draft_id, into=merge, by=by, actor=actor, anyway=anyway)
        return await approve_draft(knowledge, draft_id, by=by, actor=actor, replaced=replace or (), anyway=anyway)

    async def command(session: Session) -> tuple[Draft, list[Replayed]]:
        async def work(knowledge: Knowledge) -> tuple[Draft, list[Replayed]]:
            draft = await decide(knowledge)
            await fit_confidence(knowledge, console)
            misses = await misses_of(session.pool, draft_id, await load_misses(session.pool))
            with progress_bar("asking again", console) as progress:
                return draft, await replay(knowledge, misses, draft, progress=progress)

        return await _with_knowledge(session, work)

    draft, replayed = run_with_database(command)
    typer.echo(f"draft {draft.id} is live as entry {draft.entry_id}")
    print_replayed(replayed)


@app.command()
def reject(
    draft_id: DraftId,
    by: By,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
) -> None:
    """Decide that a draft becomes no entry."""

    async def command(session: Session) -> Draft:
        return await reject_draft(session.pool, draft_id, by=by, actor=cli_actor(), reason=reason)

    typer.echo(f"draft {run_with_database(command).id} was rejected")


def print_replayed(replayed: list[Replayed]) -> None:
    """Show what became of the missed questions."""
    for result in replayed:
        unaided = "" if result.unaided == result.verdict else f"  (not stored: {result.unaided})"
        typer.echo(f"{result.verdict:<8} {result.confidence:.2f}  {result.question}{unaided}")
    counts = {
        verdict: sum(r.verdict == verdict for r in replayed) for verdict in ("closed", "offered", "other", "open")
    }
    typer.echo(", ".join(f"{verdict} {count}" for verdict, count in counts.items()))


def _print_draft(draft: Draft) -> None:
    typer.echo(f"{draft.id}  {draft.state}  {draft.created_at:.16}  {draft.author}")
    typer.echo(f"问: {draft.question}")
    for text in draft.similar:
        typer.echo(f"  | {text}")
    typer.echo(f"答: {draft.answer}")
    for text in draft.other_answers:
        typer.echo(f"also told: {text}")


async def _with_knowledge(session: Session, work: Callable[[Knowledge], Awaitable[T]]) -> T:
    async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
        return await work(knowledge)
