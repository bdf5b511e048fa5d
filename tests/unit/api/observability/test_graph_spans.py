"""What begins ends, also a call of the model that is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langgraph.graph import START, StateGraph
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.observability import spans
from api.observability.graph_spans import GraphSpans


class State(TypedDict):
    text: str


class SilentModel(GenericFakeChatModel):
    """Never answers."""

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def test_a_call_that_was_given_up_is_told_and_forgotten(ended: InMemorySpanExporter) -> None:
    model = SilentModel(messages=iter([]))

    async def read(state: State) -> State:
        try:
            async with asyncio.timeout(0.01):
                await model.ainvoke(state["text"])
        except TimeoutError:
            return {"text": "too late"}
        raise AssertionError("it answered")

    handler = GraphSpans()
    graph = StateGraph(State).add_node("read", read).add_edge(START, "read").compile()
    assert await graph.ainvoke({"text": "?"}, {"callbacks": [handler]}) == {"text": "too late"}
    told = {span.name: (span.status.is_ok, span.status.description) for span in ended.get_finished_spans()}
    assert told == {"model": (False, "CancelledError"), "node read": (True, None)}
    assert handler._runs == {}


async def test_a_turn_that_is_cancelled_leaves_nothing(ended: InMemorySpanExporter) -> None:
    model = SilentModel(messages=iter([]))
    asked = asyncio.Event()

    async def read(state: State) -> State:
        asked.set()
        await model.ainvoke(state["text"])
        return state

    handler = GraphSpans()
    graph = StateGraph(State).add_node("read", read).add_edge(START, "read").compile()
    turn = asyncio.create_task(graph.ainvoke({"text": "?"}, {"callbacks": [handler]}))
    await asked.wait()
    await asyncio.sleep(0)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert {span.status.is_ok for span in ended.get_finished_spans()} == {False}
    assert handler._runs == {}
