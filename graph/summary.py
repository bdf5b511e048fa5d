"""What happened while a person had the conversation, in a few words: for the bot, so that it does not ask again."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Protocol

from langchain_core.exceptions import LangChainException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig

from graph.support import Doubt, doubts
from prompts.fence import fence
from prompts.loader import Prompt, load
from tools.errors import ToolError
from tools.model_usage import Meter, Outcome

logger = logging.getLogger(__name__)

MAX_SUMMARY = 400
"""Characters of a summary; twice of what is asked for."""

MAX_LINES = 60
"""The last lines a model is shown."""

_WORDING: frozenset[Doubt] = frozenset({"wording", "language", "denial", "name", "inside", "order"})
"""Doubts that do not count: a summary says it in its own words. A number, a date or a promise nobody gave does."""

_THOUGHT = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)


class Summariser(Protocol):
    """Puts a conversation into a few words."""

    async def summarise(self, lines: Sequence[str], *, seconds: float, prompt: str = "handoff_summary") -> str | None:
        """Summarise within so many seconds; None when that did not work out. Never raises."""
        ...


class ModelSummariser:
    """A chat model that summarises; what says more than the conversation did is not used."""

    def __init__(self, model: BaseChatModel, *, meter: Meter | None = None) -> None:
        self._model = model
        self._meter = meter or Meter()

    async def summarise(self, lines: Sequence[str], *, seconds: float, prompt: str = "handoff_summary") -> str | None:
        """Summarise within so many seconds; None when that did not work out. Never raises."""
        conversation = "\n".join(lines[-MAX_LINES:])
        try:
            async with asyncio.timeout(seconds):
                summary = await self._ask(conversation, load(prompt))
        except (TimeoutError, LangChainException, ToolError) as error:
            extra = {"action": "summary_failed", "error": type(error).__name__}
            logger.warning("No summary of the chat model", extra=extra)
            return None
        if summary and not set(doubts(summary, [conversation])) - _WORDING:
            return summary
        logger.warning("A summary is empty or says more than was said", extra={"action": "summary_unsupported"})
        return None

    async def _ask(self, conversation: str, prompt: Prompt) -> str:
        outcome: Outcome = "failed"
        tokens = None
        traced: RunnableConfig = {
            "run_name": prompt.name,
            "metadata": {"prompt": prompt.name, "prompt_version": prompt.version},
        }
        messages = [SystemMessage(prompt.render()), HumanMessage(fence("conversation", conversation))]
        try:
            message = await self._model.ainvoke(messages, config=traced)
            outcome, tokens = "unusable", message.usage_metadata
            summary = _THOUGHT.sub("", message.text).strip()
            if 0 < len(summary) <= MAX_SUMMARY:
                outcome = "usable"
                return summary
            return ""
        finally:
            # In any case, a call that was cut off included: it is paid for.
            self._meter.record(outcome, tokens)
