"""`kefu kb`: import, search, list, export, delete."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli import drafts
from api.cli.common import Session, run_with_database
from api.knowledge import open_knowledge
from kb.calibration import Report
from kb.catalog import Entry, delete_entries, export_entries, list_entries
from kb.chunks import Grade, Hit
from kb.embeddings import make_embedder
from kb.ingest import ImportReport, import_articles

app = typer.Typer(help="The knowledge base the bot answers from.", no_args_is_help=True)
app.add_typer(drafts.app, name="drafts")

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command("import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(help="Files (.md, .csv, .xlsx, .docx, .pdf, .html), or folders of them.")
    ],
    category: Annotated[str, typer.Option(help="Put everything into this category.")] = "",
    refresh: Annotated[bool, typer.Option("--refresh", help="Also remove what vanished from these files.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Embed every stored row again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would change.")] = False,
) -> None:
    """Import articles. What did not change costs nothing: a second run embeds nothing.

    Markdown, Word, PDF, HTML: a heading that asks, or lines 问：… 答：…, are entries; a line 相似问法：a；b adds ways
    to ask; other text is kept as passages.

    CSV, Excel: columns question, answer, similar, category, or 问题, 答案, 相似问, 分类.
    """
    from kb.readers import read_articles  # noqa: PLC0415 -- 25 MB of libraries that no server needs

    articles = read_articles(paths)
    console = Console(stderr=True)
    for warning in articles.warnings:
        console.print(f"warning: {warning}", markup=False)

    async def command(session: Session) -> ImportReport:
        columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("embedding", total=None)
            report = await import_articles(
                session.pool,
                make_embedder(session.settings.kb),
                articles.chunks,
                refresh=refresh,
                rebuild=rebuild,
                category=category,
                dry_run=dry_run,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        if not dry_run and (report.embedded or report.removed):
            await fit_confidence(session, console)
        return report

    report = run_with_database(command)
    prefix = "would change: " if dry_run else ""
    typer.echo(prefix + ", ".join(f"{name} {count}" for name, count in asdict(report).items()))


async def fit_confidence(session: Session, console: Console) -> Report:
    """Fit the confidence to what is stored now, with a bar."""
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("measuring", total=None)
            return await knowledge.calibrate(progress=lambda done, total: bar.update(task, completed=done, total=total))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What a customer might ask.")],
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, max=50, help="How many hits.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the hits for a question, and what the bot would decide."""

    async def command(session: Session) -> tuple[list[Hit], Grade]:
        async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
            return await knowledge.try_question(query, limit=top_k or session.settings.kb.kb_top_k)

    hits, grade = run_with_database(command)
    if as_json:
        results = [
            {"id": hit.chunk_id, "content": hit.content, "score": hit.score, "metadata": dict(hit.metadata)}
            for hit in hits
        ]
        body = {
            "query": query,
            "results": results,
            "confidence": grade.confidence,
            "decision": grade.decision,
            "threshold": grade.threshold,
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
        return
    for hit in hits:
        first, *rest = hit.content.splitlines() or [""]
        typer.echo(f"{hit.score:.3f}  {first}")
        typer.echo("".join(f"       {line}\n" for line in rest), nl=False)
    typer.echo(f"confidence {grade.confidence:.3f}, threshold {grade.threshold:.3f} → {grade.decision}")


@app.command("list")
def list_(
    source: Annotated[str, typer.Option(help="Only entries of this file.")] = "",
    category: Annotated[str, typer.Option(help="Only entries of this category.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the entries."""
    for entry in _entries(source, category):
        if as_json:
            typer.echo(json.dumps(asdict(entry), ensure_ascii=False))
        else:
            typer.echo(f"{entry.entry_id}  {entry.question or entry.answer[:40]}")


@app.command()
def export(
    source: Annotated[str, typer.Option(help="Only entries of this file.")] = "",
    category: Annotated[str, typer.Option(help="Only entries of this category.")] = "",
    kind: Annotated[Literal["jsonl", "md"], typer.Option("--format", help="jsonl, or md to import again.")] = "md",
) -> None:
    """Write the entries to standard output."""
    for line in export_entries(_entries(source, category), kind):
        typer.echo(line)


@app.command()
def delete(
    entry_ids: Annotated[list[str] | None, typer.Argument(help="Entry ids, see `kefu kb list`.")] = None,
    source: Annotated[str, typer.Option(help="Every entry of this file.")] = "",
) -> None:
    """Delete entries by id, or all entries of a file."""
    if not entry_ids and not source:
        raise typer.BadParameter("name entry ids or --source")

    async def command(session: Session) -> int:
        return await delete_entries(session.pool, entry_ids=entry_ids or [], source=source)

    removed = run_with_database(command)
    typer.echo(f"deleted {removed} rows")
    if removed == 0:
        raise typer.Exit(1)


def _entries(source: str, category: str) -> list[Entry]:
    async def command(session: Session) -> list[Entry]:
        return await list_entries(session.pool, source=source, category=category)

    return run_with_database(command)
