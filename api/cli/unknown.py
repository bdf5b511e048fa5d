"""`kefu unknown`: questions the knowledge base did not cover, and what became of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from api.audit import cli_actor
from api.cli.bars import progress_bar
from api.cli.common import Session, run_with_database
from api.cli.drafts import print_replayed
from api.database import Row
from api.knowledge import open_knowledge
from api.learning.answers import Learned, learn
from api.learning.drafts import get_draft
from api.learning.misses import Cluster, Week, base_floor, cluster_misses, load_misses, repeat_rates
from api.learning.polish import ModelPolisher
from api.learning.replay import Replayed, misses_of, replay
from api.observability.langsmith_traces import open_langsmith
from kb.embeddings import make_embedder
from kb.masking import Mask
from tools.chat_model import make_chat_model

app = typer.Typer(help="Questions nobody could answer from the knowledge base.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, help="How many, newest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

COLUMNS = (
    "id, content, user_id, created_at, reason, confidence, hits, outcome, outcome_at, draft_id, verdict, verdict_at"
)


async def _newest(session: Session, limit: int) -> list[Row]:
    async with session.pool.connection() as conn:
        cursor = await conn.execute(
            f"select {COLUMNS} from unknown_questions order by id desc limit %s",  # noqa: S608 -- constants
            (limit,),
        )
        return await cursor.fetchall()


@app.command("list")
def list_questions(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the newest open questions."""
    for row in run_with_database(lambda session: _newest(session, limit)):
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False, default=str))
        else:
            typer.echo(f"{row['created_at']:%Y-%m-%d %H:%M}  {row['reason'] or '':<16} {row['content']}")


@app.command()
def export(limit: Limit = 10_000) -> None:
    """Write all questions as JSON lines to standard output."""
    list_questions(limit=limit, as_json=True)


@app.command()
def cluster(
    limit: Annotated[int, typer.Option(min=1, help="How many groups, what cost the most customers first.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Also what the bot answers by now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Group what was missed, over all time, by what it asks."""
    console = Console(stderr=True)

    async def command(session: Session) -> list[Cluster]:
        return await _clusters(session, console, everything=everything)

    for number, found in enumerate(run_with_database(command)[:limit], start=1):
        if as_json:
            typer.echo(json.dumps(_facts(number, found), ensure_ascii=False))
            continue
        misses = len(found.misses)
        typer.echo(f"{number:>3}. {found.customers} customers, {misses} times, last {found.last_at:%Y-%m-%d}")
        for wording in found.wordings[:6]:
            typer.echo(f"       {wording.text}")
        if len(found.wordings) > 6:
            typer.echo(f"       … {len(found.wordings) - 6} more wordings")


@app.command("learn")
def learn_(as_json: AsJson = False) -> None:
    """Draft entries from what people answered; see `kefu kb drafts list`. Again is harmless."""
    console = Console(stderr=True)

    async def command(session: Session) -> Learned:
        embedder, model = make_embedder(session.settings.kb), make_chat_model(session.settings.model, Mask)
        seconds = session.settings.model.llm_timeout_seconds
        try:
            # Otherwise LangChain reads LANGSMITH_TRACING by itself, and sends words past the mask.
            async with open_langsmith(session.settings.trace):
                with progress_bar("embedding", console) as progress:
                    polisher = ModelPolisher(model, seconds=seconds) if model else None
                    return await learn(session.pool, embedder, polisher=polisher, actor=cli_actor(), progress=progress)
        finally:
            await embedder.aclose()
            if model is not None:
                await model.aclose()

    done = run_with_database(command)
    if as_json:
        facts = {"drafts": done.drafts, "joined": done.joined, "answered": done.answered, "empty": done.empty}
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"{len(done.drafts)} drafts of {done.answered} answered questions; {done.joined} joined drafts that wait,"
        f" {done.empty} held nothing to tell others"
    )


@app.command("replay")
def replay_(
    draft: Annotated[int | None, typer.Option(help="What this draft was made of.")] = None,
    cluster: Annotated[int | None, typer.Option(min=1, help="Number in `kefu unknown cluster --all`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask missed questions again: closed (answered), offered (in a menu), other (from another entry), or still open.

    Without an option, everything that was ever missed.
    """
    console = Console(stderr=True)
    if draft is not None and cluster is not None:
        raise typer.BadParameter("name --draft or --cluster, not both")

    async def command(session: Session) -> list[Replayed]:
        misses, approved = await load_misses(session.pool), None
        if draft is not None:
            approved = await get_draft(session.pool, draft)
            misses = await misses_of(session.pool, draft, misses)
        elif cluster is not None:
            clusters = await _clusters(session, console, everything=True)
            if cluster > len(clusters):
                raise typer.BadParameter(f"there are {len(clusters)} groups")
            misses = clusters[cluster - 1].misses
        async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
            with progress_bar("asking again", console) as progress:
                return await replay(knowledge, misses, approved, progress=progress)

    replayed = run_with_database(command)
    if not as_json:
        print_replayed(replayed)
        return
    for result in replayed:
        facts = {
            "id": result.miss_id,
            "question": result.question,
            "verdict": result.verdict,
            "unaided": result.unaided,
            "confidence": round(result.confidence, 4),
        }
        typer.echo(json.dumps(facts, ensure_ascii=False))


@app.command()
def report(as_json: AsJson = False) -> None:
    """Show week by week how many misses somebody had asked before: what learning would have spared."""
    console = Console(stderr=True)

    async def command(session: Session) -> list[Week]:
        embedder = make_embedder(session.settings.kb)
        try:
            floor = await base_floor(session.pool, embedder.model_id)
            with progress_bar("embedding", console) as progress:
                return await repeat_rates(await load_misses(session.pool), embedder, floor=floor, progress=progress)
        finally:
            await embedder.aclose()

    weeks = run_with_database(command)
    if not as_json:
        typer.echo("week of     misses  repeats   rate")
    for week in weeks:
        if as_json:
            facts = {
                "week": str(week.monday),
                "misses": week.misses,
                "repeats": week.repeats,
                "rate": round(week.rate, 4),
            }
            typer.echo(json.dumps(facts))
        else:
            typer.echo(f"{week.monday}  {week.misses:>6}  {week.repeats:>7}  {week.rate:>5.0%}")


async def _clusters(session: Session, console: Console, *, everything: bool) -> list[Cluster]:
    embedder = make_embedder(session.settings.kb)
    try:
        floor = await base_floor(session.pool, embedder.model_id)
        misses = await load_misses(session.pool, everything=everything)
        with progress_bar("embedding", console) as progress:
            return await cluster_misses(misses, embedder, floor=floor, progress=progress)
    finally:
        await embedder.aclose()


def _facts(number: int, found: Cluster) -> dict[str, Any]:
    return {
        "cluster": number,
        "question": found.question,
        "customers": found.customers,
        "misses": len(found.misses),
        "last_at": _text(found.last_at),
        "questions": [wording.text for wording in found.wordings],
        "ids": [miss.id for miss in found.misses],
        "drafts": sorted({miss.draft_id for miss in found.misses if miss.draft_id is not None}),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat()
