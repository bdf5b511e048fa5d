"""A model that reads the hits: do they answer this very question, and if so, how does one say it?

One call does both, because a model that must judge first writes less of its own. What it says is only an opinion: the
answer is compared with the entries it cites (`graph.support`), and the opinion is one feature of the confidence.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from langchain_core.exceptions import LangChainException, ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig

from graph.told import Told, is_told, told_of
from graph.verdict import UnusableVerdictError, Verdict, verdict_of
from kb.chunks import Hit
from prompts.fence import fence
from prompts.loader import load
from tools.errors import ToolError
from tools.messages import Mood
from tools.model_usage import Meter, Outcome, Usage

logger = logging.getLogger(__name__)

_ECHO = 2000
"""Characters of an unusable reply that are shown back for its repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader made of the hits."""

    is_supported: bool | None
    """Whether the hits answer the question; None without a usable verdict."""
    answer: str = ""
    cited: tuple[str, ...] = ()
    """Ids of the chunks the answer rests on, the most important first."""
    usage: Usage = field(default_factory=Usage)
    mood: Mood | None = None
    """How the customer sounds; None when the reader does not say."""
    told: tuple[Told, ...] = ()
    """What the customer tells about themselves."""


class Reader(Protocol):
    """Reads hits for a question."""

    async def read(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        history: Sequence[str] = (),
        beside: Mapping[str, str] | None = None,
        seconds: float,
    ) -> Reading:
        """Judge the hits and write an answer from them within so many seconds; never raises.

        `history` is what was said before, for a question that cannot be understood without it; `beside` is more data
        that helps to understand it, by its label.
        """
        ...


class Cache(Protocol):
    """Remembers texts; never raises."""

    async def get(self, key: str) -> str | None:
        """Return what is remembered."""
        ...

    async def put(self, key: str, text: str) -> None:
        """Remember a text."""
        ...


class ModelReader:
    """A chat model as the reader: one call, and a second one only to repair what could not be understood.

    Verdicts are remembered for questions without history: the key is everything the model saw, so nothing of one
    customer's conversation can reach another, and a changed entry, prompt or model is a new question. What customers
    tell about themselves is not remembered with them.
    """

    def __init__(
        self, model: BaseChatModel, *, model_id: str, cache: Cache | None = None, meter: Meter | None = None
    ) -> None:
        self._model = model
        self._model_id = model_id
        self._cache = cache
        self._meter = meter or Meter()
        self._has_json_mode = True

    async def read(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        history: Sequence[str] = (),
        beside: Mapping[str, str] | None = None,
        seconds: float,
    ) -> Reading:
        """Judge the hits and write an answer from them within so many seconds; never raises."""
        if not hits:
            return Reading(is_supported=False)
        key = self._key(question, hits)
        cache = None if history or beside else self._cache
        if cache and (remembered := await cache.get(key)):
            try:
                return _reading(verdict_of(remembered, len(hits)), question, hits, Usage())
            except UnusableVerdictError:
                logger.warning("A remembered verdict is unreadable", extra={"action": "answer_cache_unreadable"})
        spent: list[Usage] = []
        try:
            async with asyncio.timeout(seconds):
                verdict = await self._ask(_messages(question, hits, history, beside or {}), len(hits), spent)
        except (TimeoutError, LangChainException, ToolError, UnusableVerdictError) as error:
            logger.warning(
                "No usable verdict of the chat model", extra={"action": "reader_failed", "error": type(error).__name__}
            )
            return Reading(is_supported=None, usage=sum(spent, Usage()))
        if cache:
            await cache.put(key, verdict.model_dump_json(exclude={"told"}))
        return _reading(verdict, question, hits, sum(spent, Usage()))

    async def _ask(self, messages: list[BaseMessage], count: int, spent: list[Usage]) -> Verdict:
        """Ask once, and once more at most."""
        try:
            return await self._call(messages, count, spent, has_json_mode=self._has_json_mode)
        except UnusableVerdictError as error:
            why = load("read_repair").render(error=fence("error", str(error)))
            # Some servers refuse an empty message.
            repair = [*messages, AIMessage(error.reply[:_ECHO].strip() or "{}"), HumanMessage(why)]
            return await self._call(repair, count, spent, has_json_mode=self._has_json_mode)
        except ModelInvalidRequestError:
            if not self._has_json_mode:
                raise
            # The server may not know JSON mode; a model that follows the prompt does without.
            verdict = await self._call(messages, count, spent, has_json_mode=False)
            self._has_json_mode = False
            return verdict

    async def _call(
        self, messages: list[BaseMessage], count: int, spent: list[Usage], *, has_json_mode: bool
    ) -> Verdict:
        outcome: Outcome = "failed"
        tokens = None
        model = self._model.bind(response_format={"type": "json_object"}) if has_json_mode else self._model
        try:
            message = await model.ainvoke(messages, config=_traced())
            outcome, tokens = "unusable", message.usage_metadata
            verdict = verdict_of(message.text, count)
            outcome = "usable"
        finally:
            # In any case, a call that was cut off included: it is paid for.
            spent.append(self._meter.record(outcome, tokens))
        return verdict

    def _key(self, question: str, hits: Sequence[Hit]) -> str:
        facts = [
            load("read").version,
            load("read_repair").version,
            self._model_id,
            _normalised(question),
            [[hit.chunk_id, hit.content, hit.answer] for hit in hits],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _messages(
    question: str, hits: Sequence[Hit], history: Sequence[str], beside: Mapping[str, str]
) -> list[BaseMessage]:
    """Put the rules first and the same for everybody, so that a server may cache them, and all data behind."""
    parts = [fence(f"entry_{number}", hit.content) for number, hit in enumerate(hits, start=1)]
    if history:
        parts.append(fence("history", "\n".join(history)))
    parts += [fence(label, text) for label, text in beside.items()]
    parts.append(fence("question", question))
    return [SystemMessage(load("read").render()), HumanMessage("\n\n".join(parts))]


def _traced() -> RunnableConfig:
    return {"run_name": "read", "metadata": {"prompt": "read", "prompt_version": load("read").version}}


def _reading(verdict: Verdict, question: str, hits: Sequence[Hit], usage: Usage) -> Reading:
    read = [told_of(fact.kind, fact.value) for fact in verdict.told]
    told = tuple(fact for fact in read if fact is not None and is_told(fact, question))
    if not verdict.is_answered:
        return Reading(is_supported=False, usage=usage, mood=verdict.mood, told=told)
    cited = tuple(dict.fromkeys(hits[number - 1].chunk_id for number in verdict.cited))
    answer = verdict.answer.strip()
    return Reading(is_supported=True, answer=answer, cited=cited, usage=usage, mood=verdict.mood, told=told)


def _normalised(question: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", question).casefold().split())
    return folded.rstrip(" .。!?~")
