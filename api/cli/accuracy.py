"""`kefu eval` and `kefu calibrate`: how right the bot is, and how sure it may be."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from api.audits import Audit, recent_answers, record_audit
from api.cli.calibration_words import calibration_facts, calibration_lines
from api.cli.common import Session, run_with_database
from api.errors import ApiError, InputFileError
from api.evaluation import Evaluation, evaluate
from api.knowledge import open_knowledge
from api.labelled_files import EntryLine, LabelLine, QueryLine, read_lines, resolve_labels
from api.reliability import plot
from kb.calibration import Report
from kb.calibrations import save_labels
from kb.catalog import list_entries
from kb.measuring import Label


def register(app: typer.Typer) -> None:
    """Add the top-level commands."""
    app.command("eval")(eval_)
    app.command()(calibrate)


def _check_rate(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate < 1:
        raise typer.BadParameter("is a share between 0 and 1, for example 0.02")
    return rate


MaxWrong = Annotated[
    float | None,
    typer.Option(
        callback=_check_rate, help="Accepted rate of wrong answers, e.g. 0.02; else MAX_WRONG_ANSWER_RATE.", metavar="R"
    ),
]
Labels = Annotated[
    Path | None, typer.Option(help='Judged messages, JSON lines {"query": "…", "gold_id": "…"}.', metavar="FILE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def eval_(
    *,
    kb: Annotated[Path, typer.Option(help="The entries, JSON lines.", metavar="KB.jsonl")],
    queries: Annotated[Path, typer.Option(help="The messages, JSON lines.", metavar="Q.jsonl")],
    out: Annotated[Path, typer.Option(help="Where the decisions go, JSON lines.", metavar="PRED.jsonl")],
    max_wrong: MaxWrong = None,
    labels: Labels = None,
    as_json: AsJson = False,
) -> None:
    """Decide on every message of a file against a base of its own, and write what was decided.

    The live knowledge base is neither read nor changed. No language model is asked. Files may be gzipped (.gz).

    KB.jsonl, an entry a line (similar, answer, category are optional):

    {"id": "12", "question": "如何退款?", "similar": ["怎么退钱"], "answer": "七天内可退。"}

    Q.jsonl, a message a line (whatever else a line holds is not looked at):

    {"query": "我想退钱"}

    PRED.jsonl, a decision a line; query_index counts the messages from 0:

    {"query_index": 0, "answered": true, "entry_id": "12", "confidence": 0.97, "candidates": ["12"], "suggested": []}

    --labels: messages a person judged, to fit the confidence to; gold_id is an entry's id or its exact main question,
    null when no entry answers:

    {"query": "能刻字吗", "gold_id": null}
    """
    started = time.monotonic()
    console = Console(stderr=True)
    with _bad_usage():
        _check_target(out, kb, queries)
        entries, messages = read_lines(kb, EntryLine), read_lines(queries, QueryLine)
        judged, gone = (
            resolve_labels(read_lines(labels, LabelLine), {e.id: e.question for e in entries}, path=labels)
            if labels
            else ([], [])
        )
    _warn_of_gone(console, gone)

    async def command(session: Session) -> Evaluation:
        rate = session.settings.kb.max_wrong_answer_rate if max_wrong is None else max_wrong
        with _Bars(console=console) as bars:
            return await evaluate(
                session.settings,
                session.conninfo,
                entries,
                messages,
                [label for _, label in judged],
                max_wrong=rate,
                progress=bars.show,
            )

    done = run_with_database(command)
    _write(out, done)
    decisions = Counter(
        "answered" if each["answered"] else "suggested" if each["suggested"] else "escalated"
        for each in done.predictions
    )
    facts = {
        "entries": len(entries),
        "queries": len(messages),
        **{name: decisions[name] for name in ("answered", "suggested", "escalated")},
        "seconds": round(time.monotonic() - started, 1),
        "out": str(out),
    }
    if as_json:
        typer.echo(json.dumps({**facts, "calibration": calibration_facts(done.report)}, ensure_ascii=False))
        return
    typer.echo("\n".join(calibration_lines(done.report)))
    typer.echo(", ".join(f"{name} {value}" for name, value in facts.items()))


def calibrate(
    labels: Labels = None,
    max_wrong: MaxWrong = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only print so many recent answers, to be judged.", metavar="N")
    ] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Draw the reliability.", metavar="FILE.png")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the confidence to the knowledge base, and say what it promises.

    Without labels it is fitted to the base's own similar questions, if there are enough of them. What customers chose
    when they were asked what they meant counts as judged as well.

    --labels: messages a person judged, one a line; gold_id is an entry's id or its exact main question, null when no
    entry answers. They are kept, so that later fits use them too; a message that comes again replaces its label.

    {"query": "钱怎么退给我", "gold_id": "如何退款?"}

    {"query": "能刻字吗", "gold_id": null}

    --sample N: prints the newest automatic answers that nobody judged, in the same format. Replace each "?" by the
    entry_id where the answer was right, else by the right entry or null, and give the file to --labels. Lines left at
    "?" do not count.

    59 judged answers without a wrong one promise at most 5 % wrong, 149 at most 2 %, 299 at most 1 %.
    """
    if sample:
        _print_sample(sample)
        return
    started = time.monotonic()
    console = Console(stderr=True)
    with _bad_usage():
        lines = read_lines(labels, LabelLine) if labels else []
        if picture:
            _check_target(picture)

    async def command(session: Session) -> Report:
        entries = await list_entries(session.pool)
        if not entries:
            raise ApiError("the knowledge base is empty; fill it with `kefu kb import PATH`")
        if labels:
            with _bad_usage():
                judged, gone = resolve_labels(lines, {e.entry_id: e.question for e in entries}, path=labels)
            _warn_of_gone(console, gone)
            await _keep(session, judged)
        async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
            with _Bars(console=console) as bars:
                return await knowledge.calibrate(
                    max_wrong=max_wrong, progress=lambda done, total: bars.show("measuring", done, total)
                )

    report = run_with_database(command)
    if picture:
        plot(report, picture)
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps({**calibration_facts(report), "seconds": round(seconds, 1)}))
        return
    typer.echo("\n".join(calibration_lines(report, seconds=seconds)))


async def _keep(session: Session, judged: Sequence[tuple[LabelLine, Label]]) -> None:
    """Keep labels for this fit and later ones; what says which answer it is about is an audit of that."""
    await save_labels(session.pool, [label for line, label in judged if not line.turn_id])
    for line, label in judged:
        if line.turn_id:
            audit = Audit(
                turn_id=line.turn_id,
                question=line.query,
                entry_id=line.entry_id,
                right_entry_id=label.entry_id,
                confidence=line.confidence,
                source="operator",
            )
            await record_audit(session.pool, audit)


def _print_sample(count: int) -> None:
    async def command(session: Session) -> list[dict[str, object]]:
        answers = await recent_answers(session.pool, count)
        entries = await list_entries(session.pool)
        owner = {row_id: entry.entry_id for entry in entries for row_id in entry.row_ids}
        async with open_knowledge(session.settings, session.pool, session.conninfo) as knowledge:
            return [
                {
                    "query": each.question,
                    "gold_id": "?",
                    "entry_id": owner.get(each.chunk_id, ""),
                    # As the bot would be today: what it was then is not kept.
                    "confidence": round((await knowledge.try_question(each.question, limit=1))[1].confidence, 6),
                    "answer": each.answer,
                    "asked_at": each.asked_at.isoformat(timespec="seconds"),
                    "turn_id": each.turn_id,
                }
                for each in answers
            ]

    for line in run_with_database(command):
        typer.echo(json.dumps(line, ensure_ascii=False))


@dataclass(kw_only=True)
class _Bars:
    """A progress bar for each phase, as they come."""

    console: Console
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __enter__(self) -> Self:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, phase: str, done: int, total: int) -> None:
        """Move the bar of a phase."""
        if phase not in self.tasks:
            self.tasks[phase] = self._progress.add_task(phase)
        self._progress.update(self.tasks[phase], completed=done, total=total)


@contextlib.contextmanager
def _bad_usage() -> Iterator[None]:
    """End the command with 2 and one line when a file is not what it should be."""
    try:
        yield
    except InputFileError as error:
        typer.echo(f"kefu: {error}", err=True)
        raise typer.Exit(2) from error


def _check_target(target: Path, *inputs: Path) -> None:
    """Refuse what cannot be written before any work is done."""
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InputFileError(f"{target} cannot be written; name a file in a folder that exists")
    if target.resolve() in {path.resolve() for path in inputs}:
        raise InputFileError(f"{target} would overwrite an input; name another file")


def _warn_of_gone(console: Console, gone: list[str]) -> None:
    if gone:
        console.print(f"warning: {len(gone)} labels name no entry and are left out, e.g. {gone[0]}", markup=False)


def _write(out: Path, done: Evaluation) -> None:
    try:
        out.write_text(
            "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in done.predictions),
            encoding="utf-8",
            errors="surrogatepass",
        )
    except OSError as error:
        raise InputFileError(f"{out} cannot be written ({type(error).__name__})") from error
