"""`kefu prompts`: check and preview the bot's texts."""

from __future__ import annotations

from typing import Annotated

import typer

from prompts.loader import check_all, load, names
from prompts.welcomes import KINDS, Welcome, check_welcomes, welcome_prompt

app = typer.Typer(help="The bot's texts: check them, preview one.", no_args_is_help=True)


@app.command()
def check() -> None:
    """Check every prompt: placeholders, sizes, patterns. Exit 1 when something is wrong."""
    problems = [*check_all(), *check_welcomes()]
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(names())} prompts are fine")


@app.command()
def preview(
    name: Annotated[str, typer.Argument(help="The prompt's file name without .md.")],
    account: Annotated[str, typer.Option(help="Of a greeting: the one for this account.")] = "",
    source: Annotated[str, typer.Option(help="Of a greeting or welcome: the one for this source.")] = "",
) -> None:
    """Show one prompt filled with sample values."""
    greeted: Welcome | None = next((kind for kind in KINDS if kind == name), None)
    if greeted is None and (account or source):
        raise typer.BadParameter(f"only {' and '.join(KINDS)} differ by account or source")
    prompt = welcome_prompt(greeted, account=account, source=source) if greeted else load(name)
    typer.echo(prompt.render(**{placeholder: f"〔{placeholder}〕" for placeholder in prompt.placeholders}))
