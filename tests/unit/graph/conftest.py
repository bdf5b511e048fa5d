"""A conversation over in-memory ports, with a scripted knowledge base and a scripted model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from graph.assist import Assistant
from graph.builder import build
from graph.context import AlwaysOpen, Context, Hours, Ports, Rules
from graph.conversation import Conversation, CustomerLine
from graph.profile import Profiles
from graph.reader import ModelReader
from graph.summary import ModelSummariser
from graph.texts import PromptTexts
from kb.chunks import Grade, Hit
from kb.errors import IndexUnavailableError
from prompts.rules import Rule, RuleFacts, first_match, parse
from tools.memory import MemoryOutbox
from tools.messages import Handoff, HumanReply, Menu

THRESHOLD = 0.8
SHORTLIST_THRESHOLD = 0.6
SUPPORTED, DENIED = 0.9, 0.1
"""Confidence after reading."""


class ScriptedKnowledge:
    """Answers from a table: query → hits; records what was searched.

    A query that only resembles its hits is likely to mean one of the first three.
    """

    def __init__(self) -> None:
        self.entries: dict[str, list[Hit]] = {}
        self.shortlists: dict[str, float] = {}
        self.searched: list[str] = []
        self.is_down = False

    def knows(self, query: str, answer: str, confidence: float = 0.95) -> None:
        self.entries[query] = [self.hit(query, answer, confidence)]

    def resembles(self, query: str, *hits: Hit, shortlist: float = 0.9) -> None:
        self.entries[query] = list(hits)
        self.shortlists[query] = shortlist

    @staticmethod
    def hit(question: str, answer: str, score: float = 0.4) -> Hit:
        return Hit(
            chunk_id=f"c-{answer}",
            entry_id=f"e-{answer}",
            content=f"{question}\n{answer}",
            question=question,
            answer=answer,
            score=score,
        )

    async def search(self, query: str, *, limit: int) -> list[Hit]:
        self.searched.append(query)
        if self.is_down:
            raise IndexUnavailableError("down")
        return self.entries.get(query, [])[:limit]

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        opinion = {None: hits[0].score if hits else 0.0, True: SUPPORTED, False: DENIED}
        return Grade(
            confidence=opinion[is_supported],
            threshold=THRESHOLD,
            shortlist=self.shortlists.get(query, 0.0),
            shortlist_threshold=SHORTLIST_THRESHOLD,
        )


class ScriptedModel(BaseChatModel):
    """Replies from a queue of texts and errors; records what it was asked."""

    replies: list[Any] = []
    asked: list[list[BaseMessage]] = []

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.asked.append(messages)
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop)


class WrittenRules:
    """Rules as an operator writes them."""

    def __init__(self, raw: str) -> None:
        self.rules, problems = parse(raw)
        assert problems == []

    def match(self, facts: RuleFacts) -> Rule | None:
        return first_match(self.rules, facts)


class Bench:
    """One conversation with everything to look at."""

    thread_id = "wecom:wk1:wm1"

    def __init__(
        self,
        knowledge: ScriptedKnowledge,
        model: ScriptedModel | None,
        context: Context,
        *,
        hours: Hours | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.profiles = Profiles(InMemoryStore(), clock=lambda: 0.0)
        self.outbox = MemoryOutbox()
        self.saver = InMemorySaver()
        reader = ModelReader(model, model_id="scripted") if model else None
        ports = Ports(
            retriever=knowledge,
            grader=knowledge,
            outbox=self.outbox,
            texts=PromptTexts(),
            reader=reader,
            summariser=ModelSummariser(model) if model else None,
            hours=hours or AlwaysOpen(),
            rules=rules,
            profiles=self.profiles,
        )
        self.graph = build(ports).compile(checkpointer=self.saver)
        self.conversation = Conversation(
            self.graph, self.outbox, context, assistant=Assistant(ports), profiles=self.profiles
        )
        self.turns = 0

    async def customer(self, *texts: str, kind: str = "text", turn_id: str | None = None) -> list[str]:
        """Write as the customer in one turn; return what the bot says in reply."""
        return await self.lines(*((text, "") for text in texts), kind=kind, turn_id=turn_id)

    async def sends(self, *lines: tuple[str, str, str], turn_id: str | None = None, **more: Any) -> list[str]:
        """Send messages of any kind in one turn, each with its text and what a model made of it."""
        self.turns += 1
        turn_id = turn_id or f"turn{self.turns}"
        sent = [
            CustomerLine(message_id=f"{turn_id}-m{number}", kind=kind, text=text, words=words)
            for number, (kind, text, words) in enumerate(lines)
        ]
        before = len(self.outbox.said)
        await self.conversation.customer_turn(self.thread_id, turn_id, sent, **more)
        return self.outbox.texts[before:]

    async def human(self, text: str, reply_id: str, action: str = "text") -> bool:
        """Answer the wait as a person."""
        reply = HumanReply(reply_id=reply_id, agent="小王", action=action, text=text)
        return await self.conversation.human_reply(self.thread_id, reply)

    async def clicks(self, label: str, *texts: str, menu: int = -1, turn_id: str | None = None) -> list[str]:
        """Click an option of the latest (or another) menu and perhaps write more in the same turn."""
        options = self.menus[menu].options
        clicked = next(option.option_id for option in options if option.label == label)
        return await self.lines((label, clicked), *((text, "") for text in texts), turn_id=turn_id)

    async def lines(self, *lines: tuple[str, str], kind: str = "text", turn_id: str | None = None) -> list[str]:
        """Send texts, each with the option clicked, in one turn; return what the bot says in reply."""
        self.turns += 1
        turn_id = turn_id or f"turn{self.turns}"
        sent = [
            CustomerLine(message_id=f"{turn_id}-m{number}", kind=kind, text=text, choice=choice)
            for number, (text, choice) in enumerate(lines)
        ]
        before = len(self.outbox.said)
        await self.conversation.customer_turn(self.thread_id, turn_id, sent)
        return self.outbox.texts[before:]

    @property
    def menus(self) -> list[Menu]:
        """The menus offered, oldest first."""
        return [said.menu for said in self.outbox.said.values() if said.menu is not None]

    @property
    def ticket(self) -> Handoff:
        """The only ticket."""
        [ticket] = self.outbox.tickets.values()
        return ticket

    @property
    def config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": self.thread_id}}

    async def state(self) -> Any:
        return (await self.graph.aget_state(self.config)).values

    async def next(self) -> tuple[str, ...]:
        return (await self.graph.aget_state(self.config)).next


@pytest.fixture
def knowledge() -> ScriptedKnowledge:
    return ScriptedKnowledge()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(replies=[], asked=[])


@pytest.fixture
def bench(knowledge: ScriptedKnowledge) -> Bench:
    """A bot without a model."""
    return Bench(knowledge, None, Context())


@pytest.fixture
def make_bench(knowledge: ScriptedKnowledge) -> Callable[..., Bench]:
    """Build a bot with a model or another context."""

    def make(model: ScriptedModel | None = None, hours: Hours | None = None, rules: str = "", **context: Any) -> Bench:
        return Bench(knowledge, model, Context(**context), hours=hours, rules=WrittenRules(rules) if rules else None)

    return make


class KilledError(BaseException):
    """Nothing catches this, as nothing catches kill -9."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """Kill a run once it has saved so many checkpoints; what nodes wrote before the next one is saved.

    An update of a waiting thread saves none, only what it writes: `aput_writes`.
    """

    @contextlib.contextmanager
    def kill(bench: Bench, checkpoints: int, method: str = "aput") -> Iterator[None]:
        put, puts = getattr(type(bench.saver), method), []

        async def put_some(*args: Any, **kwargs: Any) -> Any:
            if len(puts) == checkpoints:
                raise KilledError
            puts.append(None)
            return await put(*args, **kwargs)

        with monkeypatch.context() as patch, pytest.raises(KilledError):  # noqa: PT012 -- the caller's block
            patch.setattr(type(bench.saver), method, put_some)
            yield

    return kill
