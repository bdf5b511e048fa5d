"""Checks of models behind an OpenAI-compatible API, and of the bundled one."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
from langchain_core.exceptions import LangChainException

from api.doctor.checks import Check, OffError, TroubleError
from kb.embeddings import make_embedder
from kb.errors import IndexUnavailableError
from kb.rerank import open_reranker
from kb.settings import KbSettings
from prompts.errors import PromptError
from prompts.rule_book import read_rules
from tools.chat_model import make_chat_model
from tools.circuit_breaker import CircuitBreaker
from tools.errors import ToolError
from tools.settings import ModelSettings

LOADING_SECONDS = 30.0
"""The bundled model is read from disk first."""

_UNKNOWN_MODEL = re.compile(r"(?is)model.*(?:not|unknown|invalid|exist)|(?:unknown|invalid|no such).*model")


def model_checks(model: ModelSettings) -> list[Check]:
    """List the checks of the chat model."""

    async def answers() -> str:
        chat = make_chat_model(model)
        if chat is None:
            raise OffError("no chat model: answers are taken verbatim; set LLM_PROVIDER and LLM_API_KEY to have one")
        name = str(getattr(chat, "model_name", ""))
        host = urlsplit(str(getattr(chat, "openai_api_base", ""))).hostname
        started = time.monotonic()
        try:
            await chat.ainvoke("ping", extra_body={"max_tokens": 1})
        except (openai.OpenAIError, LangChainException, ToolError) as error:
            raise _trouble_of(error, prefix="LLM", model=name) or error from error
        return f"{name} at {host} answered in {time.monotonic() - started:.1f} s"

    hint = "check the network and LLM_API_BASE, take a faster LLM_MODEL, or raise KEFU_LLM_TIMEOUT_SECONDS"
    return [Check(name="chat model", run=answers, hint=hint, seconds=model.llm_timeout_seconds)]


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


def _trouble_of(error: Exception, *, prefix: str, model: str) -> TroubleError | None:
    """Name what is wrong, when the client knows; never repeats the server's words, some of which quote the key."""
    known = error if isinstance(error, openai.OpenAIError) else error.__cause__
    if isinstance(known, openai.APIStatusError):
        return _refusal(known, prefix=prefix, model=model)
    if isinstance(known, openai.APIConnectionError):
        how = "does not answer in time" if isinstance(known, openai.APITimeoutError) else "cannot be reached"
        return TroubleError(f"the server {how}", f"check the network and {prefix}_API_BASE")
    return None


def _refusal(error: openai.APIStatusError, *, prefix: str, model: str) -> TroubleError:
    status = error.status_code
    if status in {401, 403}:
        cause = "the server refuses the key"
        mend = f"copy {prefix}_API_KEY again from the provider's console; {prefix}_API_BASE must be the same provider's"
    elif status in {400, 404} and _UNKNOWN_MODEL.search(_words(error)):
        cause, mend = f"the server does not know the model {model!r}", f"set {prefix}_MODEL to one it has"
    elif status == 404:
        cause, mend = "there is nothing at this path", f"mend {prefix}_API_BASE; it usually ends in /v1"
    elif status in {402, 429}:
        cause, mend = "the balance or the rate limit is used up", "look at both in the provider's console"
    elif status >= 500:
        cause, mend = "the server has trouble of its own", "try again later, or another provider"
    else:
        cause, mend = "the server refuses the request", f"check {prefix}_MODEL and {prefix}_API_BASE"
    return TroubleError(f"{cause} ({status})", mend)


def _words(error: openai.APIStatusError) -> str:
    body = error.body
    return " ".join(str(body.get(name)) for name in ("code", "message")) if isinstance(body, Mapping) else str(body)
