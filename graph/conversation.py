"""One conversation: is this a new run, an update of a waiting one, or the answer it waits for?

The only caller of `ainvoke` and `aget_state`. Every call is safe to repeat after a crash: the queue delivers at least
once, the turn id and the message ids make the second time harmless. Callers hold the conversation's lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from graph.assist import Assistant
from graph.context import Context
from graph.observer import Observer
from graph.profile import Profiles
from graph.state import Assistance, CustomerState, InputState, State, Turn, TurnLine
from graph.told import told_in
from tools.messages import HumanReply
from tools.ports import Outbox

logger = logging.getLogger(__name__)

Graph = CompiledStateGraph[State, Context, InputState, State]

HandOver = Literal["failure", "rate_limited"]
"""Why a caller hands a turn over: it could not be run, or the customer writes too much."""

WAITING_NODE = "human_resume"
LAST_NODE = "remember"
"""What a handoff ends with."""

RESUMES_AT_MOST = 4

ASKING = frozenset({"question", "chosen", "none_of_these"})
"""Turns that have questions of their own."""

STRICT_RESUME = "__pregel_strict_resume"
"""LangGraph's switch that refuses to resume an interrupt that is not pending; without it a wrong id is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerLine:
    """One message of a customer."""

    message_id: str
    kind: str
    text: str
    choice: str = ""
    """The id of the menu option that was clicked."""
    words: str = ""
    """What a voice message says, or what a picture shows, when somebody could tell."""

    @property
    def shown(self) -> str:
        """The line as people and models read it in the conversation."""
        return f"{HEARD[self.kind]}{self.words}" if self.words and self.kind in HEARD else self.text


TELLING = frozenset({"text", "voice", "channels_shop_order"})
"""Kinds that tell of the customer: what is forwarded, or seen in a picture, is somebody else's word or nobody's."""

HEARD = {"voice": "[语音转文字] ", "image": "[图片内容] "}
"""What marks words that a model heard or saw."""


class Conversation:
    """Runs turns on checkpointed threads."""

    def __init__(
        self,
        graph: Graph,
        outbox: Outbox,
        context: Context,
        *,
        assistant: Assistant | None = None,
        profiles: Profiles | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._graph = graph
        self._outbox = outbox
        self._context = context
        self._assistant = assistant if context.handoff_mode == "assist" else None
        self._profiles = profiles
        self._observer = observer

    async def customer_turn(
        self,
        thread_id: str,
        turn_id: str,
        lines: Sequence[CustomerLine],
        *,
        hand_over: HandOver | None = None,
        customer: CustomerState | None = None,
    ) -> None:
        """Handle everything a customer wrote since the last turn.

        While a person has the conversation the lines join the history and go to the desk; the wait stays as it is.
        `hand_over` gives the turn to a person unread; `customer` is what rules may look at.
        """
        await self._learn(thread_id, lines)
        messages = _messages(lines)
        snapshot = await self._snapshot(thread_id)
        turn: Turn = {
            "id": turn_id,
            "thread_id": thread_id,
            "speaker": "customer",
            "lines": [_turn_line(line) for line in lines],
        }
        if hand_over is not None:
            turn["intent"] = hand_over
        if customer is not None:
            turn["customer"] = customer
        # Without a desk nobody can end the wait; new input does.
        if _is_waiting(snapshot) and self._context.has_desk:
            if snapshot.values["handoff"]["ticket_id"] != turn_id:
                await self._turn_beside_a_person(turn, messages, snapshot)
            return
        await self._turn(turn, messages, snapshot)

    async def listen(self, thread_id: str, turn_id: str, lines: Sequence[CustomerLine]) -> None:
        """Take down what a customer wrote to somebody else: history only, nothing is answered."""
        await self._learn(thread_id, lines)
        snapshot = await self._snapshot(thread_id)
        messages = _messages(lines)
        if _is_waiting(snapshot):
            await self._run(Command(update={"messages": messages}), thread_id)
            await self._outbox.relay(thread_id, turn_id, "relay", "\n".join(line.shown for line in lines))
            return
        turn: Turn = {"id": turn_id, "thread_id": thread_id, "speaker": "customer", "lines": [], "intent": "listen"}
        await self._turn(turn, messages, snapshot)

    async def person_spoke(
        self, thread_id: str, turn_id: str, text: str, *, speaker: Literal["human", "staff"]
    ) -> None:
        """Take down what a person said that answers no wait: a late desk reply, or staff in the channel's client."""
        snapshot = await self._snapshot(thread_id)
        turn: Turn = {
            "id": turn_id,
            "thread_id": thread_id,
            "speaker": speaker,
            "lines": [TurnLine(kind="text", text=text)],
        }
        if _is_waiting(snapshot):
            if speaker == "human":
                await self._outbox.say(thread_id, turn_id, "human", text)
            note = AIMessage(id=f"{turn_id}:human", name="human", content=text)
            await self._run(Command(update={"messages": [note]}), thread_id)
            return
        await self._turn(turn, [], snapshot)

    async def human_reply(self, thread_id: str, reply: HumanReply, *, ticket_id: str | None = None) -> bool:
        """Resume the wait with a person's reply; False when nothing waits for it.

        `ticket_id` names the ticket the person answered; a wait of another ticket is left alone.
        """
        for _ in range(RESUMES_AT_MOST):
            snapshot = await self._snapshot(thread_id)
            if _is_taken(snapshot, reply):
                if LAST_NODE in snapshot.next:
                    await self._run(None, thread_id)
                return True
            if not _is_waiting(snapshot) or ticket_id not in {None, snapshot.values["handoff"]["ticket_id"]}:
                return False
            if not snapshot.interrupts:
                # A crash between an update and the node's new stop leaves the wait without its interrupt.
                await self._run(None, thread_id)
                continue
            # A node that failed after an earlier reply keeps that reply and takes it again before this one: its
            # words are known by their key and not said twice, and the next stop is this reply's.
            await self._run(Command(resume={snapshot.interrupts[0].id: asdict(reply)}), thread_id)
        return _is_taken(await self._snapshot(thread_id), reply)

    async def _turn_beside_a_person(self, turn: Turn, messages: Sequence[AnyMessage], snapshot: StateSnapshot) -> None:
        """Pass on what a customer wrote to a person, with what the bot is sure of said in between.

        Only updates: the wait and its id stay. What is said is decided once and kept, so that a repetition says,
        remembers and shows the same.
        """
        thread_id, turn_id, said = turn["thread_id"], turn["id"], messages
        assistance = await self._assistance(turn, messages, snapshot)
        if assistance is not None:
            text, sources = assistance["text"], assistance["sources"]
            await self._outbox.say(thread_id, turn_id, "answer", text, sources=sources)
            note = AIMessage(id=f"{turn_id}:answer", content=text, additional_kwargs={"sources": sources})
            messages = [*messages, note]
        await self._run(Command(update={"messages": messages}), thread_id)
        await self._outbox.relay(thread_id, turn_id, "relay", "\n".join(message.text for message in said))
        if assistance is not None and self._assistant is not None:
            await self._outbox.notify_desk(thread_id, turn_id, "assisted", self._assistant.note(assistance))

    async def _assistance(
        self, turn: Turn, messages: Sequence[AnyMessage], snapshot: StateSnapshot
    ) -> Assistance | None:
        """Return what the bot is sure of while a person has the conversation, None when that is nothing."""
        if self._assistant is None or "intent" in turn:
            return None
        decided: Assistance | None = snapshot.values.get("assistance")
        if decided and decided["turn_id"] == turn["id"]:
            return decided
        made = await self._assistant.assist(cast("State", snapshot.values), messages, turn, self._context)
        if made is None:
            return None
        await self._run(Command(update=made), turn["thread_id"])
        return made["assistance"]

    async def _learn(self, thread_id: str, lines: Sequence[CustomerLine]) -> None:
        """Take down what the customer tells about themselves, whoever answers."""
        if self._profiles is None:
            return
        found = [
            (line.message_id, told)
            for line in lines
            if line.kind in TELLING
            for told in told_in(line.words if line.kind == "voice" else line.text)
        ]
        await self._profiles.learn(thread_id, found)

    async def is_waiting(self, thread_id: str) -> bool:
        """Tell whether a person has this conversation."""
        return _is_waiting(await self._snapshot(thread_id))

    async def _snapshot(self, thread_id: str) -> StateSnapshot:
        """Look at a thread; a step that was done and not recorded as done is recorded first.

        A kill between a node's writes and the next checkpoint, or right after the input's, leaves a thread whose
        `next` is empty although it has not come to its end.
        """
        config = self._config(thread_id)
        snapshot = await self._graph.aget_state(config)
        is_input = (snapshot.metadata or {}).get("source") == "input"
        if not snapshot.next and (snapshot.tasks or is_input):
            await self._run(None, thread_id)
            snapshot = await self._graph.aget_state(config)
        return snapshot

    async def _turn(self, turn: Turn, messages: Sequence[AnyMessage], snapshot: StateSnapshot) -> None:
        is_same = snapshot.values.get("turn", {}).get("id") == turn["id"]
        if is_same and not snapshot.next:
            return
        if is_same and turn.get("intent") not in {"failure", "rate_limited"}:
            self._observe(await self._run(None, turn["thread_id"]))
            return
        self._observe(await self._run({"messages": list(messages), "turn": turn}, turn["thread_id"]))

    def _observe(self, values: State) -> None:
        """Tell who looks on; the questions of a turn that asked none are those of an earlier one."""
        turn = values["turn"]
        if self._observer is not None and turn.get("speaker") == "customer":
            questions = values.get("questions") if turn.get("intent") in ASKING else None
            self._observer.decided(turn, questions or [])

    async def _run(self, run_input: InputState | Command[object] | None, thread_id: str) -> State:
        values = await self._graph.ainvoke(
            run_input,
            self._config(thread_id),
            context=self._context,
            durability="sync",
        )
        # Reached at the end or at a wait only: a run that broke off goes on from what it saved.
        await self._forget_steps(thread_id)
        return cast("State", values)

    async def _forget_steps(self, thread_id: str) -> None:
        """Keep only the thread's latest checkpoint, which holds an open wait too."""
        saver = self._graph.checkpointer
        assert isinstance(saver, BaseCheckpointSaver), "a conversation is checkpointed"
        try:
            await saver.aprune([thread_id])
        except NotImplementedError:
            # Savers in memory keep every step; they end with the process.
            return
        except Exception as error:  # noqa: BLE001 -- the turn is done; what is left over goes after the next one
            logger.warning("Checkpoints not pruned", extra={"action": "prune_failed", "error": type(error).__name__})

    def _config(self, thread_id: str) -> RunnableConfig:
        return {"configurable": {"thread_id": thread_id, STRICT_RESUME: True}}


def _messages(lines: Sequence[CustomerLine]) -> list[AnyMessage]:
    return [HumanMessage(id=line.message_id, content=line.shown) for line in lines]


def _turn_line(line: CustomerLine) -> TurnLine:
    read: TurnLine = {"kind": line.kind, "text": line.shown, "message_id": line.message_id}
    if line.words:
        read["words"] = line.words
    if line.choice:
        read["choice"] = line.choice
    return read


def _is_taken(snapshot: StateSnapshot, reply: HumanReply) -> bool:
    if reply.action != "text":
        return bool(snapshot.values.get("handoff", {}).get("closed_by") == reply.reply_id)
    return any(message.id == f"{reply.reply_id}:human" for message in snapshot.values.get("messages", []))


def _is_waiting(snapshot: StateSnapshot) -> bool:
    return WAITING_NODE in snapshot.next
