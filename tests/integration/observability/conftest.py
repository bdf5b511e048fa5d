"""Readers of what /metrics serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

from api.cli import app
from api.database import Pool
from api.observability.exposition import Exposition
from api.observability.totals import OwnCounters
from api.settings import variable_names

Samples = Mapping[str, float]


@pytest.fixture
def samples() -> Callable[[bytes], Samples]:
    """Read the text; samples by `name{label=value,...}`."""

    def read(text: bytes) -> Samples:
        return {
            f"{s.name}{{{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}}}": s.value
            for family in text_string_to_metric_families(text.decode())
            for s in family.samples
        }

    return read


@pytest.fixture
def exposition(pool: Pool) -> Exposition:
    """What a process serves on the test's database."""
    return Exposition(pool, OwnCounters(pool), units=5)


@pytest.fixture
async def talked(works):
    """An answered question, one that went to a person, the person's reply, and the end of the ticket."""
    works.knowledge.entries = {"如何退款?": "七天内可退。"}
    await works.customer("如何退款?")
    await works.customer("能刻字吗?")
    await works.agent("可以。")
    await works.agent("", action="done")
    return works


@pytest.fixture
def known_commands() -> set[str]:
    """The names of `kefu`'s commands and groups."""
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture
def known_variables() -> set[str]:
    """The names of all variables that are read."""
    return set(variable_names())
