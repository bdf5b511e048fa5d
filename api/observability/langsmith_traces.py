"""Traces on LangSmith: the graph's steps with what went in and came out, words masked unless somebody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import langsmith
from langsmith.run_helpers import tracing_context
from urllib3.util.retry import Retry

from api.settings import TraceSettings

CONNECT_MILLIS, READ_MILLIS = 2_000, 5_000
END_SECONDS = 5.0
"""How long the last traces may take at the end of a process."""

_facts: Callable[[], Mapping[str, str]] = dict
"""What is told of every turn."""

_KEPT = re.compile(
    r"(?:id|type|lc|role|kind|intent|decision|reason|speaker|source|sources|cited|model|model_name|finish_reason|revision_id"
    r"|prompt|prompt_version|prompts_version|knowledge_version|outcome|\w+_id|langgraph_\w+|ls_\w+|checkpoint_ns|run_name)"
)
"""Names of what is no word of anybody: ids, kinds, versions."""
_KIND = re.compile(r"[A-Za-z_][\w.]{0,80}(?=\(|:|$)")


def masked(value: Any, name: str = "") -> Any:
    """Return a value without words: numbers, ids and kinds stay, a text is told by its length."""
    if isinstance(value, Mapping):
        return {key: masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, name) for item in value]
    if not isinstance(value, str) or _KEPT.fullmatch(name):
        return value
    if name == "error":
        # Its kind; what follows may quote a customer.
        kind = _KIND.match(value)
        return kind[0] if kind else "error"
    return f"[{len(value)} characters]"


class QuietClient(langsmith.Client):
    """A client that leaves out what no anonymizer sees: the pieces of a streamed answer."""

    def update_run(self, run_id: Any, **kwargs: Any) -> None:
        """See `langsmith.Client`."""
        super().update_run(run_id, **{**kwargs, "events": None})


@contextlib.asynccontextmanager
async def open_langsmith(settings: TraceSettings, facts: Callable[[], Mapping[str, str]] = dict) -> AsyncIterator[None]:
    """Send traces while the block runs. Without the setting none are sent, whatever else the environment says."""
    if not settings.langsmith_tracing:
        langsmith.configure(enabled=False)
        yield
        return
    global _facts  # noqa: PLW0603 -- LangSmith's own settings are the process's too
    _facts = facts
    client = make_client(settings)
    langsmith.configure(client=client, enabled=True, project_name=settings.langsmith_project)
    try:
        yield
    finally:
        _facts = dict
        langsmith.configure(client=None, enabled=False, project_name=None)
        # What is not taken by then is lost: traces are worth no waiting.
        await asyncio.to_thread(client.close, END_SECONDS)


def make_client(settings: TraceSettings) -> langsmith.Client:
    """Build the client; it queues, and sends from a thread of its own."""
    key = settings.langsmith_api_key
    has_words, is_empty = settings.kefu_trace_text == "full", settings.kefu_trace_text == "off"
    kind = langsmith.Client if has_words else QuietClient
    return kind(
        settings.langsmith_endpoint,
        api_key=key.get_secret_value() if key else None,
        timeout_ms=(CONNECT_MILLIS, READ_MILLIS),
        retry_config=Retry(total=1, backoff_factor=0.5),
        anonymizer=None if has_words else masked,
        hide_inputs=is_empty,
        hide_outputs=is_empty,
        omit_traced_runtime_info=True,
    )


@contextlib.contextmanager
def told_of(facts: Mapping[str, str]) -> Iterator[None]:
    """Put these facts on every trace that begins in the block."""
    with tracing_context(metadata={**_facts(), **facts}):
        yield
