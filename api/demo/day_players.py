"""The people of the demonstration's day: customers on WeChat, agents at the desk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from api.demo.day_ledger import Ledger, Story
from api.demo.day_script import Part
from api.demo.stage import REPLY_SECONDS, Stage
from prompts.loader import load
from tools.simulators.telegram_state import BotMessage
from tools.simulators.wecom_state import Sent

THINKING = (0.2, 0.8)
"""Seconds a person at the desk takes for each step."""

HOLDS = ("hold", "hold_rule")
"""The texts that say that a person comes."""

STYLES = ("take", "write", "snooze", "assign", "draft")
"""How tickets are handled, in turn; where a style does not fit, the agent writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A customer who waits for a person."""

    number: int
    story: Story
    since: float


@dataclass(slots=True, kw_only=True)
class Customers:
    """Everybody on WeChat."""

    stage: Stage
    ledger: Ledger
    calls: asyncio.Queue[Call]
    done: Callable[[], object]
    """Told when a customer has nothing more to ask."""
    _tickets: int = 0

    async def play(self, part: Part) -> None:
        """Come in, ask, choose when asked back, and leave with an answer or with a person to come."""
        story = Story(part=part)
        self.ledger.stories.append(story)
        self.stage.wecom.add_customer(part.customer, nickname=part.name)
        try:
            await self.stage.wecom.enter_session(part.customer)
            await self._next(story)
            await self.stage.wecom.customer_says(part.customer, part.question)
            reply = await self._next(story)
            if reply.msgtype == "msgmenu":
                story.was_asked_back = True
                await self._choose(reply, part)
                reply = await self._next(story)
        except TimeoutError:
            story.missing.append(f"a reply to {part.question!r}")
        else:
            await self._note(story, reply)
        self.done()

    async def _choose(self, menu: Sent, part: Part) -> None:
        if part.then:
            await self.stage.wecom.customer_says(part.customer, part.then)
        else:
            await self.stage.wecom.customer_clicks(part.customer, _choice(menu, part))

    async def _note(self, story: Story, reply: Sent) -> None:
        if reply.text not in {load(name).render() for name in HOLDS}:
            story.answer = reply.text
            return
        story.is_ticket = True
        self._tickets += 1
        await self.calls.put(Call(number=self._tickets, story=story, since=reply.at))

    async def _next(self, story: Story) -> Sent:
        """Wait for the next message that was not waited for yet."""
        seen = story.expected.total()

        def mine() -> list[Sent]:
            return [sent for sent in self.stage.wecom.sent if sent.customer == story.part.customer]

        await self.stage.wecom.wait_until(lambda: len(mine()) > seen, timeout=REPLY_SECONDS)
        sent = mine()[seen]
        story.expected[sent.text] += 1
        return sent


@dataclass(slots=True, kw_only=True)
class Agent:
    """Somebody at the desk, who handles one ticket after the other."""

    name: str
    colleague: str
    stage: Stage
    ledger: Ledger
    random: Random
    answered: Counter[int] = field(default_factory=Counter)
    """Tickets answered on each topic, by all agents: whoever answers the second one asks for an entry."""

    async def work(self, calls: asyncio.Queue[Call]) -> None:
        """Handle tickets until cancelled."""
        while True:
            call = await calls.get()
            try:
                await self._handle(call)
            except (TimeoutError, ValueError) as error:
                call.story.missing.append(f"at the desk: {str(error)[:200]}")
            finally:
                calls.task_done()

    async def _handle(self, call: Call) -> None:
        part = call.story.part
        card = await self.stage.telegram.wait_for_message(lambda message: _is_card(message, part), REPLY_SECONDS)
        self.ledger.cards += 1
        await self._think()
        speaker, text = await self._prepare(call, card)
        if text is None:
            text = part.reply or "好的，我马上帮您处理。"
            await self._think()
            await self.stage.telegram.agent_writes(text, topic_id=card.topic_id, agent=speaker)
        sent = await self._arrives(call.story, text)
        call.story.waited = sent.at - call.since
        if part.topic is not None:
            self.answered[part.topic] += 1
            if self.answered[part.topic] == 2:
                await self._press(card, "entry", speaker)
        await self._think()
        await self.stage.telegram.agent_writes("/done", topic_id=card.topic_id, agent=speaker)
        await self._arrives(call.story, load("handed_back").render())

    async def _prepare(self, call: Call, card: BotMessage) -> tuple[str, str | None]:
        """Do what comes before the answer; return who answers, and the answer if it went out with that."""
        style = STYLES[(call.number - 1) % len(STYLES)]
        draft = _button(card, "draft")
        if call.story.part.has_fitting_draft and draft is not None:
            # The card holds the whole draft when it is short.
            before = self._received(call.story)
            await self.stage.telegram.agent_presses(card.message_id, draft, agent=self.name)
            await self.stage.wecom.wait_until(
                lambda: len(self._received(call.story)) > len(before), timeout=REPLY_SECONDS
            )
            text = self._received(call.story)[len(before)].text
            return self.name, text if text in card.text else None
        if style in {"take", "snooze"}:
            await self._press(card, style, self.name)
        if style == "assign" and await self._assign(card):
            return self.colleague, None
        return self.name, None

    async def _assign(self, card: BotMessage) -> bool:
        """Give the ticket to the colleague; False when the desk does not know them yet."""
        seen = len(self.stage.telegram.messages)
        await self._press(card, "assign", self.name)

        def offered() -> BotMessage | None:
            messages = self.stage.telegram.messages[seen:]
            return next((each for each in messages if each.topic_id == card.topic_id and _button(each, "to")), None)

        await self.stage.telegram.wait_until(lambda: offered() is not None, REPLY_SECONDS, what="colleagues to choose")
        offer = offered()
        assert offer is not None, "waited for"
        data = next((button.data for button in offer.buttons if button.text == self.colleague), None)
        if data is None:
            return False
        await self.stage.telegram.agent_presses(offer.message_id, data, agent=self.name)
        await self.stage.telegram.wait_for_message(
            lambda message: message.topic_id == card.topic_id and message.message_id > offer.message_id,
            REPLY_SECONDS,
        )
        return True

    async def _press(self, card: BotMessage, action: str, who: str) -> None:
        """Press a button of a card and wait until the bot took notice."""
        data = _button(card, action)
        assert data is not None, "on every card"
        callback_id = await self.stage.telegram.agent_presses(card.message_id, data, agent=who)
        await self.stage.telegram.wait_until(
            lambda: any(answer.callback_id == callback_id for answer in self.stage.telegram.callback_answers),
            REPLY_SECONDS,
            what=f"an answer to {action}",
        )

    async def _arrives(self, story: Story, text: str) -> Sent:
        """Wait until the customer has a text once more than before."""
        story.expected[text] += 1
        count = story.expected[text]

        def found() -> list[Sent]:
            return [sent for sent in self._received(story) if sent.text == text]

        await self.stage.wecom.wait_until(lambda: len(found()) >= count, timeout=REPLY_SECONDS)
        return found()[count - 1]

    def _received(self, story: Story) -> list[Sent]:
        return [sent for sent in self.stage.wecom.sent if sent.customer == story.part.customer]

    async def _think(self) -> None:
        await asyncio.sleep(self.random.uniform(*THINKING))


async def review(stage: Stage, ledger: Ledger, *, question: Callable[[str], bool], agent: str) -> None:
    """Have somebody approve the draft with such a text, and wait for the proof."""
    telegram = stage.telegram
    draft = await telegram.wait_for_message(
        lambda message: _button(message, "approve") is not None and question(message.text), REPLY_SECONDS
    )
    data = _button(draft, "approve")
    assert data is not None, "looked for"
    await telegram.agent_presses(draft.message_id, data, agent=agent)
    head = load("desk_draft_live").render(number=data.split(":")[1], agent=agent)
    told = await telegram.wait_for_message(lambda message: head in message.text, REPLY_SECONDS)
    ledger.proofs.append(told.text)


def _choice(menu: Sent, part: Part) -> str:
    """Choose as the customer would: what was meant, and otherwise the last item, a person."""
    items: Sequence[dict[str, Any]] = [item["click"] for item in menu.payload["list"] if item["type"] == "click"]
    names = part.entry.names if part.entry else frozenset()
    return str(next((item["id"] for item in items if item["content"] in names), items[-1]["id"]))


def _is_card(message: BotMessage, part: Part) -> bool:
    return _button(message, "take") is not None and part.name in message.text and part.question in message.text


def _button(message: BotMessage, code: str) -> str | None:
    return next((button.data for button in message.buttons if button.data.startswith(f"{code}:")), None)
