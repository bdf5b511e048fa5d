"""Spans by OpenTelemetry: how long each part of a message's way took, over processes, without its words.

The trace of a turn has an id that follows from the turn's: whoever works on it later, in any process, adds to the same.
Nothing here waits for the collector and nothing fails because of it; without one every span is nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, StatusCode, TraceFlags, Tracer

from api.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

EXPORT_SECONDS = 5
"""How long the collector may take for a batch."""
QUEUED_SPANS = 2048
"""Spans that wait for a slow collector; more are dropped."""
DELAY_MILLIS = 1000
"""How often what ended is sent."""
END_SECONDS = 6
"""How long the last spans may take at the end of a process."""

Fact = str | bool | int | float

_tracer: Tracer | None = None
_next_ids: ContextVar[SpanContext | None] = ContextVar("next_ids", default=None)


def place_of(turn_id: str) -> SpanContext:
    """Return where the trace of a turn begins: the same in every process."""
    digest = hashlib.sha256(turn_id.encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


@contextlib.contextmanager
def span(name: str, facts: Mapping[str, Fact], *, of_turn: str = "") -> Iterator[None]:
    """Time a part of the work; with `of_turn` it belongs to that turn's trace, whatever runs it."""
    context = trace.set_span_in_context(NonRecordingSpan(place_of(of_turn)), Context()) if of_turn else None
    with _timed(name, context, facts):
        yield


@contextlib.contextmanager
def turn_span(turn_id: str, facts: Mapping[str, Fact], *, times: tuple[datetime, datetime] | None) -> Iterator[None]:
    """Time a turn: the beginning of its trace.

    `times` are when its newest message was written and when it was stored: what came before has spans of its own.
    """
    token = _next_ids.set(place_of(turn_id))
    try:
        with _timed("turn", Context(), {"turn_id": turn_id, **facts}):
            if times is not None:
                _past("pull", *times)
                _past("wait", times[1], datetime.now(UTC))
            yield
    finally:
        _next_ids.reset(token)


def note(facts: Mapping[str, Fact]) -> None:
    """Add facts to the span that runs."""
    if _tracer is not None:
        trace.get_current_span().set_attributes(_named(facts))


def begin(name: str, parent: Span | None, facts: Mapping[str, Fact]) -> Span | None:
    """Begin a span that somebody else ends; None while nobody traces."""
    if _tracer is None:
        return None
    context = trace.set_span_in_context(parent) if parent is not None else None
    return _tracer.start_span(name, context, attributes=_named(facts))


def end(begun: Span | None, error: BaseException | None = None) -> None:
    """End a span; of an error only its kind is told: its words may be a customer's."""
    if begun is None:
        return
    if error is not None:
        begun.set_status(StatusCode.ERROR, type(error).__name__)
    begun.end()


@contextlib.contextmanager
def _timed(name: str, context: Context | None, facts: Mapping[str, Fact]) -> Iterator[None]:
    if _tracer is None:
        yield
        return
    begun = _tracer.start_span(name, context, attributes=_named(facts))
    with trace.use_span(begun, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            end(begun, error)
            raise
        end(begun)


def _past(name: str, since: datetime, until: datetime) -> None:
    if _tracer is not None:
        # The channel's clock may be ahead of ours.
        begun, ended = (int(moment.timestamp() * 1e9) for moment in (min(since, until), until))
        _tracer.start_span(name, start_time=begun).end(ended)


def _named(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {f"kefu.{name}": value for name, value in facts.items()}


@contextlib.asynccontextmanager
async def open_spans(settings: TraceSettings) -> AsyncIterator[None]:
    """Send spans to the collector while the block runs; does nothing without one."""
    global _tracer  # noqa: PLW0603 -- spans are begun wherever work is done; the process has one destination
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    provider = _provider(settings)
    _tracer = provider.get_tracer("kefu")
    try:
        yield
    finally:
        _tracer = None
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.to_thread(provider.shutdown)
        except TimeoutError:
            logger.warning("The last spans were not taken", extra={"action": "spans_lost"})


def _provider(settings: TraceSettings) -> TracerProvider:
    # Takes a moment to load, for those only who have a collector.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class TurnIds(RandomIdGenerator):
        """The ids of a turn where one begins, else random ones."""

        def generate_trace_id(self) -> int:
            place = _next_ids.get()
            return place.trace_id if place else super().generate_trace_id()

        def generate_span_id(self) -> int:
            place = _next_ids.get()
            # Once: what follows are other spans of the same trace.
            _next_ids.set(None)
            return place.span_id if place else super().generate_span_id()

    exporter = OTLPSpanExporter(
        f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces",
        headers=settings.otlp_headers,
        timeout=EXPORT_SECONDS,
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "kefu"}), id_generator=TurnIds())
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUED_SPANS, schedule_delay_millis=DELAY_MILLIS)
    )
    return provider
