"""Traces reach whoever collects them, without customers' words, and nobody waits for one who is not there."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import zstandard
from langsmith import configure
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import SecretStr, ValidationError

from api.observability import langsmith_traces, spans
from api.observability.graph_spans import GraphSpans
from api.observability.langsmith_traces import masked, open_langsmith
from api.observability.spans import open_spans, place_of
from api.observability.turns import TurnObserver, prompts_version
from api.settings import TraceSettings
from graph.context import Context
from graph.conversation import Conversation

ASKED = "我的订单 A-7781 如何退款?"
ANSWER = "七天内可退,请联系客服小满。"


INGEST = {
    "use_multipart_endpoint": True,
    "scale_up_qsize_trigger": 1000,
    "scale_up_nthreads_limit": 4,
    "scale_down_nempty_trigger": 4,
    "size_limit": 100,
    "size_limit_bytes": 20_000_000,
}
"""How LangSmith wants to be written to."""


class Collector:
    """Takes whatever is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        taken = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                taken.append((self.path, {k.lower(): v for k, v in self.headers.items()}, self._body()))
                self._answer(b"{}", 202)

            def do_GET(self) -> None:
                self._answer(json.dumps({"version": "1", "batch_ingest_config": INGEST}).encode(), 200)

            def _body(self) -> bytes:
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    pieces = []
                    while size := int(self.rfile.readline(), 16):
                        pieces.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    body = b"".join(pieces)
                else:
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                packed = self.headers.get("content-encoding") == "zstd"
                return zstandard.ZstdDecompressor().decompressobj().decompress(body) if packed else body

            def _answer(self, body: bytes, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Span]:
        """What came by OTLP."""
        found = []
        for path, _, body in self.posts:
            assert path == "/v1/traces"
            request = ExportTraceServiceRequest.FromString(body)
            found += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        return found

    @property
    def text(self) -> str:
        """All that came, as text."""
        text = b"".join(body for _, _, body in self.posts).decode("utf-8", "replace")
        # JSON may write Chinese as escapes.
        return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(params=["refuses", "hangs"])
def nobody(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address where nobody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _untraced() -> Iterator[None]:
    yield
    configure(client=None, enabled=None, project_name=None)


def otlp(url: str, **more: Any) -> TraceSettings:
    return TraceSettings(_env_file=None, otel_exporter_otlp_endpoint=url, **more)


def smith(url: str, **more: Any) -> TraceSettings:
    return TraceSettings(
        _env_file=None,
        langsmith_tracing=True,
        langsmith_api_key=SecretStr("lsv2_pt_0123456789"),
        langsmith_endpoint=url,
        **more,
    )


@pytest.fixture
async def traced(works) -> Any:
    """A shop whose graph tells its nodes."""
    works.knowledge.entries = {ASKED: ANSWER}
    works.graph = works.graph.with_config(callbacks=[GraphSpans()])
    observer = TurnObserver(knowledge_version=lambda: "kb-7")
    works._renew(conversation=Conversation(works.graph, works.outbox, Context(), observer=observer))
    return works


def by_name(found: list[Span]) -> dict[str, Span]:
    return {span.name: span for span in found}


def facts_of(span: Span) -> dict[str, Any]:
    values = {fact.key: fact.value for fact in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


class TestSpans:
    async def test_a_turn_is_one_trace_from_its_message_to_its_send(self, traced, collector: Collector) -> None:
        async with open_spans(otlp(collector.url)):
            await traced.customer(ASKED)
        [row] = await traced.rows("select turn_id from inbox")
        found = [span for span in collector.spans if span.trace_id == place_of(row["turn_id"]).trace_id.to_bytes(16)]
        named = by_name(found)
        assert {"pull", "wait", "turn", "node retrieve", "node grade_confidence", "node answer", "send"} <= set(named)
        turn = named["turn"]
        assert turn.span_id == place_of(row["turn_id"]).span_id.to_bytes(8)
        assert turn.parent_span_id == b""
        assert {named[name].parent_span_id for name in ("pull", "wait", "node answer", "send")} == {turn.span_id}
        assert len({span.span_id for span in found}) == len(found)
        assert named["pull"].end_time_unix_nano == named["wait"].start_time_unix_nano
        assert named["send"].start_time_unix_nano >= turn.start_time_unix_nano

    async def test_a_turn_tells_versions_and_confidence(self, traced, collector: Collector) -> None:
        async with open_spans(otlp(collector.url)):
            await traced.customer(ASKED)
        facts = facts_of(by_name(collector.spans)["turn"])
        assert facts["kefu.confidence"] == pytest.approx(0.95)
        assert facts["kefu.decision"] == "answer"
        assert facts["kefu.intent"] == "question"
        assert facts["kefu.prompts_version"] == prompts_version()
        assert facts["kefu.knowledge_version"] == "kb-7"
        assert facts["kefu.turn_id"]
        assert "kefu.question" not in facts

    async def test_no_word_is_in_a_span(self, traced, collector: Collector) -> None:
        async with open_spans(otlp(collector.url)):
            await traced.customer(ASKED)
            await traced.customer("能刻字吗?")
            await traced.agent("可以,找小王。")
        assert len(collector.spans) > 15
        for words in (ASKED, "A-7781", ANSWER, "刻字", "小王"):
            assert words not in collector.text

    async def test_words_are_told_where_they_are_asked_for(self, traced, collector: Collector) -> None:
        observer = TurnObserver(has_words=True)
        traced._renew(conversation=Conversation(traced.graph, traced.outbox, Context(), observer=observer))
        async with open_spans(otlp(collector.url)):
            await traced.customer(ASKED)
        assert facts_of(by_name(collector.spans)["turn"])["kefu.question"] == ASKED

    async def test_an_error_is_told_by_its_kind(self, traced, collector: Collector) -> None:
        traced.knowledge.poison = {ASKED}
        async with open_spans(otlp(collector.url)):
            await traced.store(traced.message(ASKED))
            with pytest.raises(RuntimeError):
                await traced.jobs.turn(traced.thread())
        named = by_name(collector.spans)
        for name in ("turn", "node retrieve"):
            assert (named[name].status.code, named[name].status.message) == (2, "RuntimeError")
        assert "nobody foresaw this" not in collector.text

    async def test_a_wait_for_a_person_is_no_error(self, traced, collector: Collector) -> None:
        async with open_spans(otlp(collector.url)):
            await traced.customer("能刻字吗?")
        assert by_name(collector.spans)["node human_resume"].status.code == 0

    async def test_headers_open_the_collector(self, traced, collector: Collector) -> None:
        settings = otlp(collector.url, otel_exporter_otlp_headers=SecretStr("x-one=1, x-two=a=b"))
        async with open_spans(settings):
            await traced.customer(ASKED)
        _, headers, _ = collector.posts[0]
        assert (headers["x-one"], headers["x-two"]) == ("1", "a=b")

    async def test_nobody_waits_for_a_collector_that_does_not_answer(
        self, traced, nobody: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "opentelemetry")
        async with open_spans(otlp(nobody)):
            begun = time.perf_counter()
            await traced.customer(ASKED)
            taken = time.perf_counter() - begun
            begun = time.perf_counter()
        assert traced.channel.texts == [ANSWER]
        assert taken < 4
        assert time.perf_counter() - begun < spans.END_SECONDS + 4

    async def test_without_a_collector_there_are_no_spans(self, traced) -> None:
        async with open_spans(TraceSettings(_env_file=None)):
            assert spans.begin("x", None, {}) is None
            await traced.customer(ASKED)
        spans.end(None)
        assert traced.channel.texts == [ANSWER]


class TestLangsmith:
    async def test_the_graph_s_steps_are_told_without_words(self, traced, collector: Collector) -> None:
        async with open_langsmith(smith(collector.url), lambda: {"knowledge_version": "kb-7"}):
            await traced.customer(ASKED)
        # The shop's entries are called by their question.
        text = collector.text.replace(f"c-{ASKED}", "c-1").replace(f"e-{ASKED}", "e-1")
        for told in ("grade_confidence", "knowledge_version", "kb-7", '"confidence":0.95', '"decision":"answer"'):
            assert told in text
        [row] = await traced.rows("select turn_id from inbox")
        assert row["turn_id"] in text
        for words in (ASKED, "A-7781", ANSWER):
            assert words not in text
        assert f"[{len(ANSWER)} characters]" in text

    async def test_a_failed_step_tells_the_kind_of_error_alone(self, traced, collector: Collector) -> None:
        traced.knowledge.poison = {ASKED}
        async with open_langsmith(smith(collector.url)):
            await traced.store(traced.message(ASKED))
            with pytest.raises(RuntimeError):
                await traced.jobs.turn(traced.thread())
        assert "RuntimeError" in collector.text
        assert "nobody foresaw this" not in collector.text

    async def test_with_off_nothing_that_went_in_or_came_out_is_told(self, traced, collector: Collector) -> None:
        async with open_langsmith(smith(collector.url, kefu_trace_text="off")):
            await traced.customer(ASKED)
        assert "grade_confidence" in collector.text
        assert "characters]" not in collector.text
        assert ASKED not in collector.text

    async def test_words_are_told_where_they_are_asked_for(self, traced, collector: Collector) -> None:
        async with open_langsmith(smith(collector.url, kefu_trace_text="full")):
            await traced.customer(ASKED)
        assert ASKED in collector.text
        assert ANSWER in collector.text

    async def test_nobody_waits_for_one_who_does_not_answer(
        self, traced, nobody: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "langsmith")
        async with open_langsmith(smith(nobody)):
            begun = time.perf_counter()
            await traced.customer(ASKED)
            taken = time.perf_counter() - begun
            begun = time.perf_counter()
        assert traced.channel.texts == [ANSWER]
        assert taken < 4
        assert time.perf_counter() - begun < langsmith_traces.END_SECONDS + 4

    async def test_older_names_of_the_setting_send_nothing_past_the_mask(
        self, traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
        monkeypatch.setenv("LANGCHAIN_ENDPOINT", collector.url)
        monkeypatch.setenv("LANGCHAIN_API_KEY", "lsv2_pt_0123456789")
        async with open_langsmith(TraceSettings(_env_file=None)):
            await traced.customer(ASKED)
        assert collector.posts == []


def test_a_value_is_masked_by_the_name_it_has() -> None:
    value = {
        "turn": {"id": "t1", "intent": "question", "lines": [{"kind": "text", "text": "你好"}]},
        "questions": [{"text": "如何退款?", "confidence": 0.5, "hits": [{"entry_id": "e1", "answer": "可退"}]}],
        "error": "ValueError('如何退款?')\n\nTraceback",
        "sources": ["c1"],
        "none": None,
    }
    assert masked(value) == {
        "turn": {"id": "t1", "intent": "question", "lines": [{"kind": "text", "text": "[2 characters]"}]},
        "questions": [
            {"text": "[5 characters]", "confidence": 0.5, "hits": [{"entry_id": "e1", "answer": "[2 characters]"}]}
        ],
        "error": "ValueError",
        "sources": ["c1"],
        "none": None,
    }
    assert masked({"error": "如何退款"}) == {"error": "error"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"langsmith_tracing": True}, "LANGSMITH_API_KEY: missing"),
        ({"otel_exporter_otlp_endpoint": "collector:4318"}, "http://127.0.0.1:4318"),
        ({"otel_exporter_otlp_headers": SecretStr("abc")}, "authorization=Bearer"),
        ({"kefu_trace_text": "some"}, "'masked', 'full' or 'off'"),
    ],
)
def test_a_wrong_setting_is_told(variables: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TraceSettings(_env_file=None, **variables)
