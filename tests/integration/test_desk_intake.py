"""Telegram updates into the inbox, over a simulated Telegram."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from api.desk.intake import ATTEMPTS, TOO_LATE_SECONDS, DeskIntake
from tools.messages import DeskPlace
from tools.simulators.telegram import TelegramSimulator
from tools.telegram import TelegramDesk

TOPIC = 7


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as running:
        yield running


@pytest.fixture
async def make_intake(works: Any, telegram: TelegramSimulator) -> AsyncIterator[Callable[..., DeskIntake]]:
    """Build the intake of one more process."""
    async with contextlib.AsyncExitStack() as stack:

        def make(**options: Any) -> DeskIntake:
            desk = TelegramDesk(token=SecretStr(telegram.token), chat_id=telegram.chat_id, api_base=telegram.api_base)
            stack.push_async_callback(desk.close)
            return DeskIntake(works.desk_inbox, desk, works.texts, chat_id=telegram.chat_id, **options)

        yield make


@pytest.fixture
async def intake(works: Any, telegram: TelegramSimulator, make_intake: Callable[..., DeskIntake]) -> DeskIntake:
    """An intake that knows one customer's topic and ticket."""
    await works.store(works.message())
    await works.outbox.hand_over(works.handoff())
    await works.deliveries.record_place(works.thread(), DeskPlace(chat_id=telegram.chat_id, topic_id=TOPIC))
    await works.run("update outbox set state = 'sent'")
    return make_intake()


@pytest.fixture
def said(telegram: TelegramSimulator) -> Callable[..., dict[str, Any]]:
    """Make the update of a person who writes in a topic."""

    def make(text: str, *, update_id: int = 1, topic: int | None = TOPIC, chat: int = 0, **message: Any) -> Any:
        place = {"is_topic_message": True, "message_thread_id": topic} if topic else {}
        body = {
            "message_id": 1000 + update_id,
            "date": 1,
            "chat": {"id": chat or telegram.chat_id, "type": "supergroup", "is_forum": True},
            "from": {"id": 5, "is_bot": False, "first_name": "小王"},
            "text": text,
        }
        return {"update_id": update_id, "message": {**body, **place, **message}}

    return make


@pytest.fixture
def pressed(telegram: TelegramSimulator) -> Callable[..., dict[str, Any]]:
    """Make the update of a person who presses a button."""

    def make(data: str, *, update_id: int = 1) -> Any:
        message = {
            "message_id": 9,
            "chat": {"id": telegram.chat_id, "type": "supergroup"},
            "is_topic_message": True,
            "message_thread_id": 99,
        }
        sender = {"id": 5, "is_bot": False, "first_name": "小王"}
        query = {"id": f"q{update_id}", "data": data, "from": sender, "message": message}
        return {"update_id": update_id, "callback_query": query}

    return make


async def stored(works: Any) -> list[str]:
    rows = await works.rows("select payload from inbox where origin = 'desk' order by id")
    return [row["payload"]["text"] for row in rows]


async def test_text_in_a_topic_is_stored_and_needs_no_word(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("可以刻字"))
    assert await intake.take(said("可以刻字"))
    assert await stored(works) == ["可以刻字"]
    assert telegram.calls == []


@pytest.mark.parametrize(
    "update", [{}, {"update_id": 1}, {"update_id": 1, "poll": {}}, {"update_id": 1, "message": {"text": "x"}}]
)
async def test_what_is_no_act_of_a_person_is_taken_and_dropped(
    works: Any, intake: DeskIntake, telegram: TelegramSimulator, update: dict[str, Any]
) -> None:
    assert await intake.take(update)
    assert await stored(works) == []
    assert telegram.calls == []


async def test_a_stranger_s_chat_is_not_heard(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("给客户的话", chat=-42))
    assert await intake.take(said("/help", chat=-42))
    assert await stored(works) == []
    assert telegram.calls == []


async def test_help_is_answered_in_place(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("/help", topic=None))
    assert [message.text for message in telegram.messages] == [works.texts.render("desk_help")]
    assert await stored(works) == []


async def test_what_cannot_be_passed_on_is_said_so(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("", topic=None, photo=[{}], reply_to_message={"message_id": 3}))
    assert [message.text for message in telegram.messages] == [works.texts.render("desk_unsupported")]


async def test_chatter_that_belongs_to_no_conversation_is_left_alone(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("大家中午吃什么", topic=88))
    assert await stored(works) == []
    assert telegram.calls == []


async def test_a_command_that_belongs_to_no_conversation_gets_a_word(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    assert await intake.take(said("/done", topic=None))
    assert [message.text for message in telegram.messages] == [works.texts.render("desk_unknown")]


async def test_an_answer_to_what_the_bot_never_recorded_is_not_swallowed(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    bot = {"message_id": 77, "from": {"id": intake._desk.bot_id, "is_bot": True, "first_name": "bot"}}
    assert await intake.take(said("可以刻字", topic=None, reply_to_message=bot))
    assert [message.text for message in telegram.messages] == [works.texts.render("desk_unknown")]
    assert await stored(works) == []


async def test_what_colleagues_say_to_each_other_is_left_alone(
    works: Any, intake: DeskIntake, said: Any, telegram: TelegramSimulator
) -> None:
    colleague = {"message_id": 77, "from": {"id": 6, "is_bot": False, "first_name": "小李"}}
    assert await intake.take(said("好的", topic=None, reply_to_message=colleague))
    assert telegram.calls == []


async def test_what_fits_nothing_for_long_holds_nobody_up_although_something_is_always_on_its_way(
    works: Any, make_intake: Any, intake: DeskIntake, said: Any
) -> None:
    await works.outbox.notify_desk(works.thread("wm2"), "t", "note", "看一下")
    await works.deliveries.next(works.thread("wm2"), "desk")
    now = [1000.0]
    patient = make_intake(clock=lambda: now[0])
    assert not await patient.take(said("中午吃什么", topic=88))
    now[0] += TOO_LATE_SECONDS - 0.1
    assert not await patient.take(said("中午吃什么", topic=88))
    now[0] += 0.1
    assert await patient.take(said("中午吃什么", topic=88))
    assert await stored(works) == []


async def test_a_draft_is_acknowledged_and_a_second_press_is_told_it_is_stale(
    works: Any, intake: DeskIntake, pressed: Any, telegram: TelegramSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []

    async def acknowledge(event: Any, text: str) -> None:
        words.append(text)

    monkeypatch.setattr(intake._desk, "acknowledge", acknowledge)
    assert await intake.take(pressed("draft:ticket1", update_id=1))
    assert await intake.take(pressed("draft:ticket1", update_id=2))
    assert await intake.take(pressed("draft:nobody-s", update_id=3))
    assert words == ["✓", works.texts.render("desk_stale"), works.texts.render("desk_unknown")]
    assert await stored(works) == ["可以。", ""]


async def test_an_acknowledgement_that_fails_costs_nothing(
    works: Any, intake: DeskIntake, pressed: Any, telegram: TelegramSimulator
) -> None:
    telegram.fail_next("answerCallbackQuery", 500)
    assert await intake.take(pressed("draft:ticket1"))
    assert await stored(works) == ["可以。"]


async def test_an_answer_to_a_post_still_in_flight_is_to_be_brought_again(
    works: Any, intake: DeskIntake, said: Any
) -> None:
    await works.outbox.notify_desk(works.thread("wm2"), "t", "note", "看一下")
    await works.deliveries.next(works.thread("wm2"), "desk")
    assert not await intake.take(said("好", topic=8))
    await works.deliveries.record_place(works.thread("wm2"), DeskPlace(chat_id=intake._chat_id, topic_id=8))
    assert await intake.take(said("好", topic=8))
    assert await stored(works) == ["好"]


class TestPoll:
    @pytest.fixture(autouse=True)
    def _no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.desk.intake.RETRY_SECONDS", 0.01)
        monkeypatch.setattr("api.desk.intake.TOO_EARLY_SECONDS", 0.01)

    @pytest.fixture
    async def run(self, works: Any) -> AsyncIterator[Callable[[DeskIntake], None]]:
        """Poll beside the test."""
        tasks: list[asyncio.Task[None]] = []

        def start(intake: DeskIntake) -> None:
            tasks.append(asyncio.create_task(intake.poll(works.pool)))

        yield start
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)

    async def test_updates_are_stored_before_telegram_forgets_them(
        self, works: Any, intake: DeskIntake, telegram: TelegramSimulator, run: Any
    ) -> None:
        await telegram.agent_writes("第一句", reply_to=None)
        await telegram.agent_writes("/help")
        run(intake)
        await telegram.wait_until(lambda: telegram.pending_updates == 0)
        assert [message.text for message in telegram.messages] == [works.texts.render("desk_help")]
        assert telegram.calls[0].lower() == "deletewebhook"

    async def test_one_process_at_a_time_polls(
        self, intake: DeskIntake, make_intake: Any, telegram: TelegramSimulator, run: Any, works: Any
    ) -> None:
        run(intake)
        await telegram.wait_until(lambda: "getupdates" in [call.lower() for call in telegram.calls])
        run(make_intake())
        for _ in range(3):
            # Each round makes sure that the second one had its chance to ask.
            await works.rows("select 1")
            await telegram.agent_writes("/help")
        await telegram.wait_until(lambda: telegram.pending_updates == 0)
        assert [call.lower() for call in telegram.calls].count("deletewebhook") == 1
        assert len(telegram.messages) == 3

    async def test_polling_goes_on_after_telegram_was_away(
        self, intake: DeskIntake, telegram: TelegramSimulator, run: Any
    ) -> None:
        telegram.fail_next("getUpdates", 502, times=2)
        await telegram.agent_writes("/help")
        run(intake)
        await telegram.wait_until(lambda: telegram.pending_updates == 0)
        assert len(telegram.messages) == 1

    async def test_an_update_that_nobody_can_store_does_not_hold_the_desk_for_ever(
        self, works: Any, intake: DeskIntake, telegram: TelegramSimulator, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def breaks(event: Any) -> None:
            raise ValueError(event.action)

        monkeypatch.setattr(works.desk_inbox, "store", breaks)
        await telegram.agent_writes("/take")
        await telegram.agent_writes("/help")
        for _ in range(ATTEMPTS - 1):
            with pytest.raises(ValueError, match="take"):
                await intake.poll(works.pool)
        assert telegram.messages == ()
        run(intake)
        await telegram.wait_until(lambda: telegram.pending_updates == 0)
        assert [message.text for message in telegram.messages] == [works.texts.render("desk_help")]

    async def test_what_comes_too_early_is_taken_again_until_it_fits(
        self, works: Any, intake: DeskIntake, telegram: TelegramSimulator, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await works.outbox.notify_desk(works.thread("wm2"), "t", "note", "看一下")
        await works.deliveries.next(works.thread("wm2"), "desk")
        answers: list[bool] = []
        take, is_refused = intake.take, asyncio.Event()

        async def watched(update: Any) -> bool:
            answers.append(await take(update))
            is_refused.set()
            return answers[-1]

        monkeypatch.setattr(intake, "take", watched)
        await telegram.agent_writes("/done")
        run(intake)
        async with asyncio.timeout(5):
            await is_refused.wait()
        await works.run("update outbox set state = 'sent'")
        await telegram.wait_until(lambda: telegram.pending_updates == 0)
        assert answers[0] is False
        assert answers[-1] is True
