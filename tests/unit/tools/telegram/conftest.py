"""A desk on a simulated Telegram, and the things posted to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from tools.messages import Candidate, DeskAction, DeskButton, DeskPlace, DeskPost, Handoff, Line
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What was posted, and where."""

    place: DeskPlace
    message_id: int


@pytest.fixture
def show() -> Callable[..., Awaitable[Shown]]:
    """Find a place for something and show it there."""

    async def run(desk: TelegramDesk, post: DeskPost, known: DeskPlace | None = None) -> Shown:
        place = await desk.place(post, known)
        return Shown(place=place, message_id=await desk.post(post, place))

    return run


@pytest.fixture
async def forum() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as simulator:
        yield simulator


@pytest.fixture
async def plain_chat() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator(forum=False) as simulator:
        yield simulator


@pytest.fixture
async def open_desk() -> AsyncIterator[Callable[..., TelegramDesk]]:
    """Make desks that are closed when the test ends."""
    desks: list[TelegramDesk] = []

    def make(simulator: TelegramSimulator, *, token: str | None = None, timeout: float = 5) -> TelegramDesk:
        secret = SecretStr(token or simulator.token)
        desk = TelegramDesk(token=secret, chat_id=simulator.chat_id, api_base=simulator.api_base, timeout=timeout)
        desks.append(desk)
        return desk

    yield make
    for desk in desks:
        await desk.close()


@pytest.fixture
def desk(forum: TelegramSimulator, open_desk: Callable[..., TelegramDesk]) -> TelegramDesk:
    """The desk in a forum."""
    return open_desk(forum)


@pytest.fixture
def plain_desk(plain_chat: TelegramSimulator, open_desk: Callable[..., TelegramDesk]) -> TelegramDesk:
    """The desk in a chat without topics."""
    return open_desk(plain_chat)


@pytest.fixture
def handoff() -> Handoff:
    return Handoff(
        ticket_id="t-1",
        thread_id="kf:wk1:wmABCDEF123456",
        customer_name="张三",
        question="可以开专票吗?",
        reason="low_confidence",
        confidence=0.37,
        history=(Line(speaker="customer", text="你好"), Line(speaker="bot", text="您好,请问有什么可以帮您?")),
        draft="可以的,请提供税号。",
        hits=tuple(
            Candidate(entry_id=f"e{number}", question=question, score=score)
            for number, (question, score) in enumerate([("怎么开发票?", 0.82), ("可以开普票吗?", 0.61)])
        ),
    )


@pytest.fixture
def card(handoff: Handoff) -> Callable[..., DeskPost]:
    """Make a card; keyword arguments change its ticket."""

    def make(**changes: object) -> DeskPost:
        ticket = replace(handoff, **changes)  # type: ignore[arg-type]
        offered: dict[DeskAction, str] = {"entry": "加入知识库", "done": "交还", "snooze": "稍后", "transfer": "转给我"}
        offered |= {"assign": "转给…", "take": "接手"}
        if ticket.draft:
            offered["draft"] = "发送草稿"
        return DeskPost(
            kind="card",
            thread_id=ticket.thread_id,
            customer_name=ticket.customer_name,
            text="",
            handoff=ticket,
            buttons=tuple(DeskButton(action=a, label=label, subject=ticket.ticket_id) for a, label in offered.items()),
        )

    return make


@pytest.fixture
def customer_line() -> DeskPost:
    return DeskPost(kind="customer", thread_id="kf:wk1:wmABCDEF123456", customer_name="张三", text="还在吗 <b>&")


@pytest.fixture
def notice() -> DeskPost:
    return DeskPost(kind="notice", thread_id="kf:wk1:wmABCDEF123456", customer_name="张三", text="客户已离开")


@pytest.fixture
def posts(card: Callable[..., DeskPost], customer_line: DeskPost, notice: DeskPost) -> dict[str, DeskPost]:
    """One post of each kind, about the same conversation."""
    return {"card": card(), "customer": customer_line, "notice": notice}
