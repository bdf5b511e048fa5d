"""Asking back, over the real inbox, outbox and checkpoints: a menu goes out, a click comes in."""

from __future__ import annotations

from typing import Any

import pytest

from tools.errors import OvertakenError
from tools.messages import Menu

ASKED = "刷杯子用什么"
GLAZE, WASH = "釉面会掉吗?", "杯子怎么清洗?"
NONE = "都不是,找人工"


@pytest.fixture
async def menu(works: Any) -> Menu:
    """The menu a customer got for an unclear question."""
    works.knowledge.near[ASKED] = {GLAZE: "不会掉。", WASH: "用软布。"}
    await works.customer(ASKED)
    return works.channel.sent[-1].menu


async def click(works: Any, menu: Menu, label: str, *texts: str) -> None:
    """Click an option, perhaps write more, let the bot work, deliver everything."""
    option_id = next(option.option_id for option in menu.options if option.label == label)
    clicked = works.message(label, extra={"menu_id": option_id})
    await works.store(clicked, *(works.message(text) for text in texts))
    await works.work()


async def labels(works: Any) -> list[dict[str, Any]]:
    columns = "thread_id, question, shown, entry_id, source, confidence"
    return await works.rows(f"select {columns} from answer_labels order by id")


async def test_an_unclear_question_a_menu_a_click_the_entry_s_own_words(works: Any, menu: Menu) -> None:
    assert [option.label for option in menu.options] == [GLAZE, WASH, NONE]
    assert works.desk.posts == []
    await click(works, menu, WASH)
    assert works.channel.texts == [menu.text, "用软布。"]
    rows = await works.rows("select payload from outbox where destination = 'customer' order by id")
    assert rows[-1]["payload"]["sources"] == [f"c-{WASH}"]
    assert await labels(works) == [
        {
            "thread_id": works.thread(),
            "question": ASKED,
            "shown": [f"e-{GLAZE}", f"e-{WASH}"],
            "entry_id": f"e-{WASH}",
            "source": "click",
            "confidence": 0.5,
        }
    ]


async def test_none_of_these_is_a_ticket_of_its_own_reason_and_a_label_without_entry(works: Any, menu: Menu) -> None:
    await click(works, menu, NONE)
    assert works.desk.posts[-1].handoff.reason == "none_of_these"
    questions = await works.rows("select content, reason from unknown_questions")
    assert questions == [{"content": ASKED, "reason": "none_of_these"}]
    [label] = await labels(works)
    assert (label["entry_id"], label["question"]) == (None, ASKED)


async def test_a_second_miss_is_one_ticket_with_both_questions(works: Any, menu: Menu) -> None:
    works.knowledge.near["锅呢怎么刷"] = {WASH: "用软布。"}
    await works.customer("锅呢怎么刷")
    assert works.desk.posts[-1].handoff.question == f"{ASKED}\n锅呢怎么刷"
    assert [sent.menu for sent in works.channel.sent] == [menu, None]
    assert await labels(works) == []


async def test_a_number_typed_in_a_channel_without_menus_is_the_same_choice(works: Any, menu: Menu) -> None:
    await works.customer("２")
    assert works.channel.texts[-1] == "用软布。"
    [label] = await labels(works)
    assert label["source"] == "typed"


async def test_while_a_person_has_the_conversation_a_click_is_relayed(works: Any, menu: Menu) -> None:
    await click(works, menu, NONE)
    await click(works, menu, WASH)
    assert works.desk.lines[-1] == ("customer", WASH)
    assert len(await labels(works)) == 1


async def test_a_choice_that_was_overtaken_is_taken_with_what_came_after_it(
    works: Any, menu: Menu, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.knowledge.entries["运费多少?"] = "包邮。"
    say = type(works.outbox).say
    overtakes = [works.message("运费多少?")]

    async def say_late(outbox: Any, *args: Any, **kwargs: Any) -> None:
        if overtakes:
            await works.store(overtakes.pop())
        await say(outbox, *args, **kwargs)

    monkeypatch.setattr(type(works.outbox), "say", say_late)
    await works.store(works.message("2"))
    await works.work()
    assert works.channel.texts[-1] == "用软布。\n\n包邮。"
    assert len(await labels(works)) == 1


async def test_a_menu_is_withheld_when_the_customer_writes_on(works: Any, menu: Menu) -> None:
    await works.store(works.message("第一句", "late1"))
    batch = await works.inbox.next_batch(works.thread())
    await works.store(works.message("第二句", "late2"))
    with pytest.raises(OvertakenError):
        await works.outbox.offer(works.thread(), batch.turn_id, "clarify", menu)


async def test_a_crash_between_the_answer_and_its_label_loses_neither(
    works: Any, menu: Menu, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> None:
        raise RuntimeError("killed")

    await works.store(works.message("2"))
    with monkeypatch.context() as patch:
        patch.setattr(type(works.outbox), "record_choice", die)
        with pytest.raises(RuntimeError, match="killed"):
            await works.work()
    await works.work()
    assert works.channel.texts == [menu.text, "用软布。"]
    assert [label["entry_id"] for label in await labels(works)] == [f"e-{WASH}"]
