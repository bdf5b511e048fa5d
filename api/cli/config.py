"""`kefu config`: the settings in effect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from api.doctor.diagnosis import read_settings
from api.effective import Unknown, Variable, effective, unknown_variables
from tools.errors import ConfigurationError

app = typer.Typer(help="The settings.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Keep `show` a command of its own: with a single one typer would drop its name."""


@app.command("show")
def show(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List every setting, its value and where it comes from: the environment, .env, or the default.

    Of secrets is told only that they are set, and of long ones the last two characters. What is set and read by
    nobody is named below. Exit 1 when a variable is wrong.
    """
    settings, wrong = read_settings()
    try:
        variables, unknown = effective(settings, wrong=wrong), unknown_variables()
    except UnicodeDecodeError:
        raise ConfigurationError(".env: is not UTF-8; save it again with that encoding") from None
    if as_json:
        body = {
            "settings": [asdict(variable) for variable in variables],
            "unknown": [asdict(each) for each in unknown],
            "wrong": list(dict.fromkeys(wrong.values())),
        }
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        _print(variables, unknown, wrong)
    if wrong:
        raise typer.Exit(1)


def _print(variables: Sequence[Variable], unknown: Sequence[Unknown], wrong: Mapping[str, str]) -> None:
    width = max((len(variable.name) for variable in variables), default=0)
    for variable in variables:
        typer.echo(f"{variable.name:<{width}}  {variable.origin:<11}  {variable.value}".rstrip())
    for line in (*(each.line for each in unknown), *dict.fromkeys(wrong.values())):
        typer.echo(f"kefu: {line}", err=True)
