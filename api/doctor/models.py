"""Checks of models behind an OpenAI-compatible API, and of the bundled one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
from langchain_core.exceptions import LangChainException
from langchain_core.messages import HumanMessage

from api.doctor.checks import Check, OffError, TroubleError
from kb.embeddings import make_embedder
from kb.errors import IndexUnavailableError
from kb.rerank import open_reranker
from kb.settings import KbSettings
from prompts.errors import PromptError
from prompts.rule_book import read_rules
from tools.chat_model import GuardedChatModel, make_chat_model
from tools.circuit_breaker import CircuitBreaker
from tools.errors import BadRequestError, ToolError
from tools.messages import File
from tools.settings import ModelSettings
from tools.transcription import SpeechTranscriber

LOADING_SECONDS = 30.0
"""The bundled model is read from disk first."""

SILENCE = b"#!AMR\n" + (b"\x04" + bytes(12)) * 25
"""Half a second in which nobody speaks, in the format customers' recordings have."""
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAAD0lEQVR42mP4DwQMg5cAANrpf4Em8vpjAAAAAElF"
    "TkSuQmCC"
)
"""A white square; some servers refuse what is smaller than ten pixels."""

_UNKNOWN_MODEL = re.compile(r"(?is)model.*(?:not|unknown|invalid|exist)|(?:unknown|invalid|no such).*model")


def model_checks(model: ModelSettings) -> list[Check]:
    """List the checks of the chat model, of the one that sees, and of the server that hears."""

    async def answers() -> str:
        chat = make_chat_model(model)
        if chat is None:
            raise OffError("no chat model: answers are taken verbatim; set LLM_PROVIDER and LLM_API_KEY to have one")
        return await _answered(chat, HumanMessage("ping"), variable="LLM_MODEL")

    async def sees() -> str:
        if not model.llm_vision_model:
            raise OffError("no vision model: pictures are not looked at; set LLM_VISION_MODEL to have one")
        chat = make_chat_model(model.model_copy(update={"llm_model": model.llm_vision_model}))
        if chat is None:
            mend = "set LLM_PROVIDER and LLM_API_KEY, or LLM_API_BASE"
            raise TroubleError("LLM_VISION_MODEL needs a chat model's server", mend)
        picture = HumanMessage(content=[{"type": "image_url", "image_url": {"url": PICTURE}}])
        return await _answered(chat, picture, variable="LLM_VISION_MODEL")

    seconds = model.llm_timeout_seconds
    hint = "check the network and LLM_API_BASE, take a faster {}, or raise KEFU_LLM_TIMEOUT_SECONDS"
    return [
        Check(name="chat model", run=answers, hint=hint.format("LLM_MODEL"), seconds=seconds),
        Check(name="vision model", run=sees, hint=hint.format("LLM_VISION_MODEL"), seconds=seconds),
        _speech_check(model),
    ]


def _speech_check(model: ModelSettings) -> Check:
    async def hears() -> str:
        if not model.speech_api_base:
            raise OffError("no speech server: voice messages are not listened to; set SPEECH_API_BASE to have one")
        started = time.monotonic()
        async with contextlib.aclosing(SpeechTranscriber(model)) as transcriber:
            try:
                await transcriber.transcribe(File(kind="voice", name="voice.amr", content=SILENCE))
            except BadRequestError as error:
                mend = "it must read AMR, in which customers' recordings come; check SPEECH_MODEL"
                raise TroubleError(str(error), mend) from error
        host = urlsplit(model.speech_api_base).hostname
        return f"{model.speech_model} at {host} answered in {time.monotonic() - started:.1f} s"

    hint = "check the network and SPEECH_API_BASE; it usually ends in /v1"
    return Check(name="speech server", run=hears, hint=hint, seconds=model.llm_timeout_seconds)


async def _answered(chat: GuardedChatModel, message: HumanMessage, *, variable: str) -> str:
    """Ask for one token; `variable` is where the model's name stands."""
    host = urlsplit(chat.openai_api_base or "").hostname
    started = time.monotonic()
    async with contextlib.aclosing(chat):
        try:
            await chat.ainvoke([message], extra_body={"max_tokens": 1})
        except (openai.OpenAIError, LangChainException, ToolError) as error:
            raise _trouble_of(error, prefix="LLM", model=chat.model_name, variable=variable) or error from error
    return f"{chat.model_name} at {host} answered in {time.monotonic() - started:.1f} s"


def rules_check(path: Path | None) -> Check:
    """Check the rules that call a person; a broken edit leaves a running service with those before it."""

    async def are_fine() -> str:
        try:
            rules = await asyncio.to_thread(read_rules, path)
        except PromptError as error:
            raise TroubleError(str(error), "mend the file; until then the rules before the edit count") from error
        return f"{len(rules)} rules"

    return Check(name="rules", run=are_fine, hint="run `kefu rules check`")


def embedding_check(kb: KbSettings) -> Check:
    """Check that a text can be embedded."""

    async def embeds() -> str:
        embedder = make_embedder(kb)
        try:
            (vector,) = await embedder.embed_questions(["如何退款?"])
        except IndexUnavailableError as error:
            raise _trouble_of(error, prefix="EMBEDDING", model=kb.embedding_model) or error from error
        return f"{embedder.model_id}, {vector.size} dimensions"

    hint = "check the network and EMBEDDING_API_BASE; without it the bundled model is used"
    return Check(name="embedding model", run=embeds, hint=hint, seconds=LOADING_SECONDS)


def rerank_check(kb: KbSettings) -> Check:
    """Check that hits can be reranked."""

    async def reranks() -> str:
        breaker = CircuitBreaker("reranking service", failures=1, pause_seconds=0)
        async with open_reranker(kb, breaker) as reranker:
            if reranker is None:
                raise OffError("no reranking service: hits stay in the order of the search")
            try:
                await reranker.scores("如何退款?", ["七天内可以退款。", "满 99 元包邮。"])
            except httpx.HTTPStatusError as error:
                trouble = f"the server refuses the request ({error.response.status_code})"
                raise TroubleError(trouble, "check RERANK_API_BASE, RERANK_API_KEY and RERANK_MODEL") from error
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                trouble = f"the server gives no usable answer ({type(error).__name__})"
                raise TroubleError(trouble, "check the network and RERANK_API_BASE; it usually ends in /v1") from error
        return f"{kb.rerank_model} at {urlsplit(kb.rerank_api_base).hostname}"

    return Check(name="reranking model", run=reranks, hint="check the network and RERANK_API_BASE")


def _trouble_of(error: Exception, *, prefix: str, model: str, variable: str = "") -> TroubleError | None:
    """Name what is wrong, when the client knows; never repeats the server's words, some of which quote the key."""
    known = error if isinstance(error, openai.OpenAIError) else error.__cause__
    if isinstance(known, openai.APIStatusError):
        return _refusal(known, prefix=prefix, model=model, variable=variable or f"{prefix}_MODEL")
    if isinstance(known, openai.APIConnectionError):
        how = "does not answer in time" if isinstance(known, openai.APITimeoutError) else "cannot be reached"
        return TroubleError(f"the server {how}", f"check the network and {prefix}_API_BASE")
    return None


def _refusal(error: openai.APIStatusError, *, prefix: str, model: str, variable: str) -> TroubleError:
    status = error.status_code
    if status in {401, 403}:
        cause = "the server refuses the key"
        mend = f"copy {prefix}_API_KEY again from the provider's console; {prefix}_API_BASE must be the same provider's"
    elif status in {400, 404} and _UNKNOWN_MODEL.search(_words(error)):
        cause, mend = f"the server does not know the model {model!r}", f"set {variable} to one it has"
    elif status == 404:
        cause, mend = "there is nothing at this path", f"mend {prefix}_API_BASE; it usually ends in /v1"
    elif status in {402, 429}:
        cause, mend = "the balance or the rate limit is used up", "look at both in the provider's console"
    elif status >= 500:
        cause, mend = "the server has trouble of its own", "try again later, or another provider"
    else:
        cause, mend = "the server refuses the request", f"check {variable} and {prefix}_API_BASE"
    return TroubleError(f"{cause} ({status})", mend)


def _words(error: openai.APIStatusError) -> str:
    body = error.body
    return " ".join(str(body.get(name)) for name in ("code", "message")) if isinstance(body, Mapping) else str(body)
