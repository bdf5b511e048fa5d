"""Spans of the graph's nodes and of the model's calls: told by callbacks, so that the graph knows nothing of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry.trace import Span

from api.observability import spans

SHOWN = ("prompt", "prompt_version", "ls_model_name")
"""What a call of the model tells of itself."""


@dataclass(frozen=True, slots=True)
class _Run:
    span: Span | None
    is_own: bool
    """Otherwise it is the span around it."""
    parent: UUID | None


class GraphSpans(BaseCallbackHandler):
    """Begins and ends a span for each node and each call of the model."""

    run_inline = True

    def __init__(self) -> None:
        self._runs: dict[UUID, _Run] = {}

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a node's span; whatever else runs belongs to the one around it."""
        del serialized, inputs
        node = (metadata or {}).get("langgraph_node")
        around = self._around(parent_run_id)
        if node is not None and kwargs.get("name") == node:
            self._runs[run_id] = _Run(spans.begin(f"node {node}", around, {}), is_own=True, parent=parent_run_id)
        else:
            self._runs[run_id] = _Run(around, is_own=False, parent=parent_run_id)

    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        """End it."""
        del outputs, kwargs
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End it with the kind of the error; a wait for a person comes this way too and is none."""
        del kwargs
        self._end(run_id, None if type(error).__name__ == "GraphInterrupt" else error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a call."""
        del serialized, messages, kwargs
        facts = {name: str(value) for name, value in (metadata or {}).items() if name in SHOWN}
        begun = spans.begin("model", self._around(parent_run_id), facts)
        self._runs[run_id] = _Run(begun, is_own=True, parent=parent_run_id)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End it."""
        del response, kwargs
        self._end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End it with the kind of the error."""
        del kwargs
        self._end(run_id, error)

    def _around(self, run_id: UUID | None) -> Span | None:
        run = self._runs.get(run_id) if run_id is not None else None
        return run.span if run is not None else None

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        # Of a call of the model that was given up nobody tells the end: its time was over, or its turn.
        for left in [other for other, inner in self._runs.items() if inner.parent == run_id]:
            self._end(left, error or asyncio.CancelledError())
        if run.is_own:
            spans.end(run.span, error)
