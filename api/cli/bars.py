"""Progress bars, on standard error and gone when they are full."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.knowledge import Knowledge
from kb.calibration import Report


@contextlib.contextmanager
def progress_bar(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; yields what to call with done and total."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


async def fit_confidence(knowledge: Knowledge, console: Console) -> Report:
    """Fit the confidence to what is stored now, with a bar."""
    with progress_bar("measuring", console) as progress:
        return await knowledge.calibrate(progress=progress)
