"""`kefu prompts`: check and preview the bot's texts."""

from __future__ import annotations

from typing import Annotated

import typer

from prompts.loader import check_all, load, names

app = typer.Typer(help="The bot's texts: check them, preview one.", no_args_is_help=True)


@app.command()
def check() -> None:
    """Check every prompt: placeholders, sizes, patterns. Exit 1 when something is wrong."""
    problems = check_all()
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(names())} prompts are fine")


@app.command()
def preview(name: Annotated[str, typer.Argument(help="The prompt's file name without .md.")]) -> None:
    """Show one prompt filled with sample values."""
    prompt = load(name)
    typer.echo(prompt.render(**{placeholder: f"〔{placeholder}〕" for placeholder in prompt.placeholders}))
