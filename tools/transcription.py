"""Voice to text and pictures to words, by servers that speak the OpenAI protocol; both optional."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping

import httpx
from langchain_core.exceptions import LangChainException
from langchain_core.messages import HumanMessage, SystemMessage

from tools.chat_model import GuardedChatModel, make_chat_model
from tools.circuit_breaker import CircuitBreaker
from tools.errors import BadRequestError, ConfigurationError, ModelUnavailableError
from tools.messages import File, MediaKind
from tools.settings import ModelSettings

logger = logging.getLogger(__name__)

MAX_BYTES: Mapping[MediaKind, int] = {"voice": 2 << 20, "image": 4 << 20}
"""The largest file that is sent to a server; the customers' channel lets none of more than 2 MB in."""

MAX_WORDS = 2000
"""Characters that are kept of what was heard."""
MAX_DESCRIPTION = 400

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


class SpeechTranscriber:
    """Asks a server for what a recording says; AMR goes as it is, under its file name."""

    kind: MediaKind = "voice"

    def __init__(self, settings: ModelSettings) -> None:
        key = settings.speech_api_key
        self._model = settings.speech_model
        self._seconds = settings.llm_timeout_seconds
        self._breaker = _breaker("speech recognition", settings)
        self._http = httpx.AsyncClient(
            base_url=settings.speech_api_base,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=settings.llm_timeout_seconds,
        )

    async def transcribe(self, file: File) -> str:
        """Return what is said; empty when nothing is.

        Raises:
            BadRequestError: the server will not read this file.
            ModelUnavailableError: the server does not answer.
        """
        if not self._breaker.allow():
            raise ModelUnavailableError("speech recognition did not answer several times and is not asked for a while")
        has_answered = False
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._http.post(
                    "audio/transcriptions",
                    data={"model": self._model, "response_format": "json"},
                    files={"file": (file.name or "voice.amr", file.content, "audio/amr")},
                )
            has_answered = response.status_code < 500 and response.status_code not in {401, 403, 404, 429}
            text = _heard(response)
        except (httpx.HTTPError, TimeoutError) as error:
            # `from None`: the address of the request is nobody's business.
            raise ModelUnavailableError(f"speech recognition: no answer ({type(error).__name__})") from None
        finally:
            (self._breaker.succeeded if has_answered else self._breaker.failed)()
        return text[:MAX_WORDS].strip()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class PictureDescriber:
    """Asks a chat model that sees for what is in a picture."""

    kind: MediaKind = "image"

    def __init__(self, model: GuardedChatModel, *, prompt: str, seconds: float) -> None:
        self._model = model
        self._prompt = prompt
        self._seconds = seconds

    async def transcribe(self, file: File) -> str:
        """Return what the picture shows.

        Raises:
            BadRequestError: it is no picture.
            ModelUnavailableError: the model does not answer.
        """
        media_type = next((name for start, name in _SIGNATURES if file.content.startswith(start)), None)
        if media_type is None:
            raise BadRequestError("the picture is in a format nobody knows")
        picture = f"data:{media_type};base64,{base64.b64encode(file.content).decode()}"
        messages = [
            SystemMessage(self._prompt),
            HumanMessage(content=[{"type": "image_url", "image_url": {"url": picture}}]),
        ]
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._model.ainvoke(messages, config={"run_name": "describe_picture"})
        except (LangChainException, TimeoutError) as error:
            raise ModelUnavailableError(f"no description of a picture ({type(error).__name__})") from error
        return " ".join(message.text.split())[:MAX_DESCRIPTION]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._model.aclose()


class Transcribers:
    """One transcriber for each kind of file that can be read."""

    def __init__(self, *readers: SpeechTranscriber | PictureDescriber) -> None:
        self._readers = {reader.kind: reader for reader in readers}

    def can_read(self, kind: str) -> bool:
        """Tell whether files of this kind can be read."""
        return any(kind == known for known in self._readers)

    async def transcribe(self, file: File) -> str:
        """Put a file into words.

        Raises:
            BadRequestError: it cannot be read: too large, or nothing of its kind.
            ModelUnavailableError: nobody answers.
        """
        reader = self._readers.get(file.kind)
        if reader is None or len(file.content) > MAX_BYTES[file.kind]:
            raise BadRequestError(f"the {file.kind} is not read: its kind or its {len(file.content)} bytes")
        text = await reader.transcribe(file)
        extra = {"action": "transcribed", "kind": file.kind, "bytes": len(file.content), "characters": len(text)}
        logger.info("A file was put into words", extra=extra)
        return text

    async def aclose(self) -> None:
        """Close all connections."""
        for reader in self._readers.values():
            await reader.aclose()


def make_transcribers(settings: ModelSettings, *, picture_prompt: str) -> Transcribers | None:
    """Build what is configured, to be closed at the end; None when nothing is.

    Raises:
        ConfigurationError: a vision model is named, but no chat model's server.
    """
    readers: list[SpeechTranscriber | PictureDescriber] = []
    if settings.llm_vision_model:
        model = make_chat_model(settings.model_copy(update={"llm_model": settings.llm_vision_model}))
        if model is None:
            raise ConfigurationError(
                "LLM_VISION_MODEL: needs a chat model's server; set LLM_PROVIDER and LLM_API_KEY, or LLM_API_BASE"
            )
        readers.append(PictureDescriber(model, prompt=picture_prompt, seconds=settings.llm_timeout_seconds))
    if settings.speech_api_base:
        readers.append(SpeechTranscriber(settings))
    return Transcribers(*readers) if readers else None


def _heard(response: httpx.Response) -> str:
    status = response.status_code
    if status in {400, 413, 415, 422}:
        raise BadRequestError(f"speech recognition refuses the recording (HTTP {status})")
    if status != httpx.codes.OK:
        raise ModelUnavailableError(
            f"speech recognition: HTTP {status}; check SPEECH_API_BASE, SPEECH_API_KEY and SPEECH_MODEL"
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    text = answer.get("text") if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise ModelUnavailableError("speech recognition: the answer cannot be read; check SPEECH_API_BASE")
    return text


def _breaker(name: str, settings: ModelSettings) -> CircuitBreaker:
    return CircuitBreaker(name, failures=settings.llm_failures, pause_seconds=settings.llm_pause_seconds)
