"""A chat model words a draft better, when there is one; rules check what it wrote, and drop it when in doubt."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Protocol

from langchain_core.exceptions import LangChainException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from api.learning.drafts import Proposal
from graph.support import doubts
from kb.lexical import clean
from kb.redaction import is_marked, redact
from prompts.fence import fence
from prompts.loader import load
from tools.errors import ToolError

logger = logging.getLogger(__name__)

LONGEST = 600
"""Characters of an answer."""


class Polisher(Protocol):
    """Words a draft better."""

    async def polish(self, proposal: Proposal) -> Proposal:
        """Return the proposal, reworded or as it was; never raises."""
        ...


class ModelPolisher:
    """A chat model as the polisher: one call a draft. It sees redacted texts only."""

    def __init__(self, model: BaseChatModel, *, seconds: float) -> None:
        self._model = model
        self._seconds = seconds

    async def polish(self, proposal: Proposal) -> Proposal:
        """Return the proposal, reworded or as it was; never raises."""
        questions = fence("questions", "\n".join([proposal.question, *proposal.similar]))
        said = HumanMessage(f"{questions}\n\n{fence('answer', proposal.answer)}")
        try:
            async with asyncio.timeout(self._seconds):
                reply = await self._model.ainvoke([SystemMessage(load("draft_entry").render()), said])
        except (TimeoutError, LangChainException, ToolError) as error:
            logger.warning("Draft not polished", extra={"action": "polish_failed", "error": type(error).__name__})
            return proposal
        polished = checked(proposal, reply.text)
        if polished is None:
            logger.warning("Draft not polished", extra={"action": "polish_refused"})
        return polished or proposal


def checked(proposal: Proposal, reply: str) -> Proposal | None:
    """Take over what a model wrote if it says nothing new and names nobody; None when it does."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        written = json.loads(reply[start : end + 1], strict=False)
        question, answer = str(written["question"]).strip(), str(written["answer"]).strip()
    except (ValueError, KeyError, TypeError):
        return None
    if not clean(question) or is_marked(question) or not 0 < len(answer) <= LONGEST:
        return None
    if redact(question).kinds or redact(answer).kinds or doubts(answer, [proposal.answer]):
        return None
    others = (text for text in (proposal.question, *proposal.similar) if clean(text) != clean(question))
    return replace(proposal, question=question, similar=tuple(dict.fromkeys(others)), answer=answer)
