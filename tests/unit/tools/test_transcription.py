"""Voice to text and pictures to words, against a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools.errors import BadRequestError, ConfigurationError, ModelUnavailableError
from tools.messages import File
from tools.settings import ModelSettings
from tools.transcription import Transcribers, make_transcribers

VOICE = File(kind="voice", name="v.amr", content=b"#!AMR\n123")
PNG = b"\x89PNG\r\n\x1a\n123"
PICTURE = File(kind="image", name="p.png", content=PNG)


class Server(ThreadingHTTPServer):
    """Answers every request with the next of `answers` (status, body); records what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.asked.append((self.path, dict(self.headers), body))
        server.gate.wait(5)
        status, answer = server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.gate.set()
        made.shutdown()
        thread.join()


def settings(server: Server, **more: Any) -> ModelSettings:
    values = {
        "speech_api_base": server.base,
        "speech_api_key": "sk-speech",
        "llm_provider": "own",
        "llm_api_base": server.base,
        "llm_model": "chat",
        "llm_vision_model": "eyes",
        "KEFU_LLM_FAILURES": 2,
        "KEFU_LLM_TIMEOUT_SECONDS": 2,
        **more,
    }
    return ModelSettings(_env_file=None, **values)


@pytest.fixture
async def transcribers(server: Server) -> AsyncIterator[Transcribers]:
    made = make_transcribers(settings(server), picture_prompt="看图")
    assert made is not None
    yield made
    await made.aclose()


def chat(text: str) -> tuple[int, bytes]:
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "eyes", "choices": [
        {"index": 0, "finish_reason": "stop", "message": message}
    ]}  # fmt: skip
    return 200, json.dumps(body).encode()


async def test_a_recording_is_sent_as_it_is_with_its_name(server: Server, transcribers: Transcribers) -> None:
    server.answers.append((200, json.dumps({"text": " 如何退款? "}).encode()))
    assert await transcribers.transcribe(VOICE) == "如何退款?"
    [(path, headers, body)] = server.asked
    assert path == "/v1/audio/transcriptions"
    assert headers["Authorization"] == "Bearer sk-speech"
    assert b'filename="v.amr"' in body
    assert b"whisper-1" in body
    assert VOICE.content in body


async def test_a_picture_is_sent_to_the_model_that_sees(server: Server, transcribers: Transcribers) -> None:
    server.answers.append(chat("一张\n咖啡机的照片"))
    assert await transcribers.transcribe(PICTURE) == "一张 咖啡机的照片"
    [(path, _, body)] = server.asked
    asked = json.loads(body)
    assert (path, asked["model"], asked["messages"][0]["content"]) == ("/v1/chat/completions", "eyes", "看图")
    assert asked["messages"][1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_a_recording_the_server_refuses_is_not_asked_for_again(
    server: Server, transcribers: Transcribers, status: int
) -> None:
    server.answers += [(status, b"{}")] * 3
    for _ in range(3):
        with pytest.raises(BadRequestError):
            await transcribers.transcribe(VOICE)


@pytest.mark.parametrize("answer", [(500, b"{}"), (401, b"{}"), (404, b""), (429, b"{}")])
async def test_a_server_that_keeps_failing_is_left_alone(
    server: Server, transcribers: Transcribers, answer: tuple[int, bytes]
) -> None:
    server.answers += [answer] * 3
    for _ in range(3):
        with pytest.raises(ModelUnavailableError):
            await transcribers.transcribe(VOICE)
    assert len(server.asked) == 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"text": 3}', b"\xff"])
async def test_nonsense_is_no_transcript(server: Server, transcribers: Transcribers, body: bytes) -> None:
    server.answers.append((200, body))
    with pytest.raises(ModelUnavailableError, match="cannot be read"):
        await transcribers.transcribe(VOICE)


async def test_a_server_that_hangs_is_not_waited_for(server: Server) -> None:
    quick = make_transcribers(settings(server, KEFU_LLM_TIMEOUT_SECONDS=0.2), picture_prompt="看图")
    assert quick is not None
    server.gate.clear()
    server.answers += [(200, b'{"text": "late"}'), chat("late"), chat("late"), chat("late")]
    try:
        with pytest.raises(ModelUnavailableError, match="no answer"):
            await quick.transcribe(VOICE)
        with pytest.raises(ModelUnavailableError, match="no description"):
            await quick.transcribe(PICTURE)
    finally:
        server.gate.set()
        await quick.aclose()


async def test_what_is_too_large_or_no_picture_is_not_sent(server: Server, transcribers: Transcribers) -> None:
    for file in (
        File(kind="voice", name="", content=b"x" * (3 << 20)),
        File(kind="image", name="", content=b"<svg/>"),
        File(kind="video", name="", content=b"x"),
    ):
        with pytest.raises(BadRequestError):
            await transcribers.transcribe(file)
    assert server.asked == []
    assert [kind for kind in ("voice", "image", "video", "text") if transcribers.can_read(kind)] == ["voice", "image"]


async def test_only_what_is_configured_is_read(server: Server) -> None:
    assert make_transcribers(ModelSettings(_env_file=None), picture_prompt="") is None
    deaf = make_transcribers(settings(server, speech_api_base=""), picture_prompt="")
    blind = make_transcribers(settings(server, llm_vision_model="", speech_api_key=None), picture_prompt="")
    assert deaf is not None
    assert blind is not None
    assert (deaf.can_read("voice"), deaf.can_read("image")) == (False, True)
    server.answers.append((200, b'{"text": "x"}'))
    assert await blind.transcribe(VOICE) == "x"
    assert "Authorization" not in server.asked[0][1]
    await deaf.aclose()
    await blind.aclose()


def test_a_vision_model_without_a_server_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match="LLM_VISION_MODEL: needs a chat model's server"):
        make_transcribers(ModelSettings(_env_file=None, llm_vision_model="eyes"), picture_prompt="")


def test_a_speech_server_is_an_address() -> None:
    with pytest.raises(ValueError, match="is not a URL; example"):
        ModelSettings(_env_file=None, speech_api_base="nowhere")
