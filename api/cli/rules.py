"""`kefu rules`: check the rules that call a person, and try them on a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.settings import load_settings
from graph.judge import largest_amount
from prompts.mood import MOOD_WORDS, MoodLexicon
from prompts.rule_book import read_rules, shipped_path
from prompts.rules import RuleFacts, first_match

app = typer.Typer(help="When a person shall have a conversation: check the rules, try them.", no_args_is_help=True)

File = Annotated[Path | None, typer.Option(help="Another file than KEFU_RULES_FILE.")]

WORDS = {mood: word for word, mood in MOOD_WORDS.items()}


@app.command()
def check(*, file: File = None) -> None:
    """Check the rules. Exit 1 when something is wrong, with a line for each rule."""
    path = file or load_settings().handoff.kefu_rules_file
    rules = read_rules(path)
    typer.echo(f"{len(rules)} rules are fine ({path or shipped_path() or 'shipped'})")


@app.command("test")
def try_rules(
    text: Annotated[str, typer.Argument(help="What the customer writes.")],
    *,
    mood: Annotated[str, typer.Option(help="负面, 中性 or 正面, in every turn; by default as the words sound.")] = "",
    turns: Annotated[int, typer.Option(min=1, max=10, help="Turns in a row in that mood.")] = 1,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the customer; may be repeated.")] = None,
    source: Annotated[str, typer.Option(help="Where the customer came from.")] = "",
    account: Annotated[str, typer.Option(help="The account they write to.")] = "",
    repeats: Annotated[int, typer.Option(min=1, help="How often they asked this.")] = 1,
    confidence: Annotated[str, typer.Option(help="low: the bot is not sure; high: it is.")] = "high",
    unsure_turns: Annotated[int, typer.Option(min=0, help="Turns in a row without a sure answer.")] = 0,
    closed: Annotated[bool, typer.Option("--closed", help="Outside office hours.")] = False,
    file: File = None,
) -> None:
    """Say which rule fits a text and what follows."""
    if mood and mood not in MOOD_WORDS:
        raise typer.BadParameter(f"{mood!r} is no mood; use {', '.join(MOOD_WORDS)}", param_hint="--mood")
    if confidence not in {"low", "high"}:
        raise typer.BadParameter(f"{confidence!r} is neither low nor high", param_hint="--confidence")
    felt = MOOD_WORDS[mood] if mood else MoodLexicon().mood_of(text)
    facts = RuleFacts(
        text=text,
        moods=[felt] * turns,
        tags=tag or (),
        source=source,
        repeats=repeats,
        unsure_turns=max(unsure_turns, int(confidence == "low")),
        amount=largest_amount(text),
        is_open=not closed,
        account=account,
    )
    rules = read_rules(file or load_settings().handoff.kefu_rules_file)
    typer.echo(f"情绪 {WORDS[felt]}" + (f", 金额 {facts.amount:g} 元" if facts.amount else ""))
    rule = first_match(rules, facts)
    if rule is None:
        typer.echo("no rule fits: the bot goes on as usual")
        return
    place = list(rules).index(rule) + 1
    typer.echo(f"rule {place} of {len(rules)} fits: {rule.name}")
    typer.echo(f"  because {'; '.join(rule.reasons(facts))}")
    then = rule.then
    follows = "a person gets it" if then.escalate else "an exception: the bot goes on as usual"
    told = [f"priority {then.priority}", f"desk {then.channel}" if then.channel else "", then.words]
    typer.echo(f"  then {follows}" + (f" ({', '.join(filter(None, told))})" if then.escalate else ""))
