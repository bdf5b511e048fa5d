"""Opens what tells operators of one process, and closes it at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

from api.database import Pool
from api.knowledge import Knowledge
from api.observability.exposition import Exposition, open_exposition
from api.observability.graph_spans import GraphSpans
from api.observability.langsmith_traces import open_langsmith
from api.observability.spans import open_spans
from api.observability.turns import TurnObserver, prompts_version
from api.settings import Settings
from graph.conversation import Graph


@contextlib.asynccontextmanager
async def open_observability(
    settings: Settings, pool: Pool, knowledge: Knowledge, *, units: int
) -> AsyncIterator[Exposition]:
    """Count and trace while the block runs; `units` are the messages a channel allows after each of the customer's."""

    def versions() -> dict[str, str]:
        return {"prompts_version": prompts_version(), "knowledge_version": knowledge.lexical.latest.version}

    zone = ZoneInfo(settings.handoff.kefu_timezone)
    async with (
        open_spans(settings.trace),
        open_langsmith(settings.trace, versions),
        open_exposition(pool, units=units, zone=zone) as exposition,
    ):
        yield exposition


def make_observer(settings: Settings, knowledge: Knowledge) -> TurnObserver:
    """Build who looks on at the turns."""
    return TurnObserver(
        knowledge_version=lambda: knowledge.lexical.latest.version, has_words=settings.trace.kefu_trace_text == "full"
    )


def traced(graph: Graph, settings: Settings) -> Graph:
    """Return the graph, with a span for each node where somebody collects them."""
    if not settings.trace.otel_exporter_otlp_endpoint:
        return graph
    return graph.with_config(callbacks=[GraphSpans()])
