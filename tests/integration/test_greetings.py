"""The greeting of who opens the chat: which text, which questions, and what its click leads to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from api.greetings import KEPT, Greetings
from graph.choices import greeting_option_id
from kb.rows import make_entry_id
from tools.errors import BadRequestError, ChannelUnavailableError, DuplicateMessageError
from tools.messages import Menu


@pytest.fixture
def greetings(works: Any) -> Greetings:
    return works.jobs.greetings


async def add_entry(works: Any, question: str, *, source: str = "a.md", wordings: tuple[str, ...] = ()) -> str:
    """Put an entry into the base as an import does; return the id of its main chunk."""
    entry_id = make_entry_id(source, question)
    ids = []
    for wording in (question, *wordings):
        facts = {"entry_id": entry_id, "source": source, "question": wording}
        rows = await works.rows(
            "insert into knowledge_chunks (content, metadata) values (%s, %s) returning id",
            f"{wording}\n答",
            Jsonb(facts),
        )
        ids.append(str(rows[0]["id"]))
    return ids[0] if not wordings else ids[-1]


async def answered(works: Any, chunk_id: str, customer: str, *, days_ago: int = 0, menu_id: str = "") -> None:
    """Let the bot have answered a customer from a chunk."""
    turn = f"t-{customer}-{chunk_id}"
    await works.run(
        "insert into outbox (thread_id, destination, message_key, turn_id, part, payload, state, created_at)"
        " values (%s, 'customer', %s, %s, 'answer.0', %s, 'sent', now() - make_interval(days => %s))",
        works.thread(customer),
        turn,
        turn,
        Jsonb({"text": "答", "sources": [chunk_id]}),
        days_ago,
    )
    await works.run(
        "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, handled_at, turn_id)"
        " values (%s, 'customer', 'wk1', %s, 'text', %s, now(), now(), %s)",
        works.thread(customer),
        turn,
        Jsonb({"text": "问", "menu_id": menu_id}),
        turn,
    )


async def enter(works: Any, **extra: Any) -> int:
    event = works.message("", sender="system", kind="enter_session", extra={"welcome_code": "W1", **extra})
    await works.store(event)
    return int((await works.rows("select max(id) as id from inbox"))[0]["id"])


async def greeted(works: Any, **extra: Any) -> Any:
    """Enter and return the greeting."""
    await works.jobs.welcome(await enter(works, **extra))
    return works.channel.welcomed[-1][1]


def labels(greeting: Any) -> list[str]:
    assert isinstance(greeting, Menu)
    return [option.label for option in greeting.options]


async def test_without_entries_the_greeting_is_the_text(works: Any) -> None:
    assert await greeted(works) == works.texts.render("greeting")


async def test_the_questions_asked_most_come_first(works: Any, greetings: Greetings) -> None:
    ids = {name: await add_entry(works, name) for name in ("甲能刻字吗?", "乙多重?", "丙多少钱?", "丁有货吗?")}
    for number in range(3):
        await answered(works, ids["丁有货吗?"], f"wm{number}")
    for number in range(2):
        await answered(works, ids["丙多少钱?"], f"wm{number}")
        await answered(works, ids["乙多重?"], f"wm{number}", days_ago=31)
    # Who only clicked what was offered does not count.
    for number in range(5):
        await answered(works, ids["甲能刻字吗?"], f"clicks{number}", menu_id=greeting_option_id("x") or "")
    await greetings.refresh()
    greeting = await greeted(works)
    assert labels(greeting) == ["丁有货吗?", "丙多少钱?", "甲能刻字吗?"]
    assert greeting.head.startswith("您好！欢迎光临，我是智能客服")
    assert "·" not in greeting.text
    assert greeting.tail == "需要人工客服时，回复「转人工」即可。"


async def test_an_answer_by_another_wording_counts_for_its_entry(works: Any, greetings: Greetings) -> None:
    await add_entry(works, "甲能刻字吗?")
    other = await add_entry(works, "丙多少钱?", wordings=("丙什么价?",))
    await answered(works, other, "wm1")
    await greetings.refresh()
    assert labels(await greeted(works))[0] == "丙多少钱?"


async def test_the_greeting_s_own_examples_come_before_the_first_entries(works: Any) -> None:
    for name in ("甲能刻字吗?", "发票怎么开?", "如何退款?"):
        await add_entry(works, name)
    assert set(labels(await greeted(works))[:2]) == {"如何退款?", "发票怎么开?"}


async def test_what_a_click_would_not_answer_is_not_offered(works: Any, greetings: Greetings) -> None:
    for name in ("怎么转人工?", "很长的问题" * 12 + "?", "能刻字吗?"):
        await add_entry(works, name)
    await works.run("insert into knowledge_chunks (content) values ('一段没有问题的说明文字。')")
    await greetings.refresh()
    assert labels(await greeted(works)) == ["能刻字吗?"]


@pytest.mark.parametrize(("wanted", "shown"), [(0, 0), (1, 1), (9, KEPT)])
async def test_the_operator_says_how_many(works: Any, greetings: Greetings, wanted: int, shown: int) -> None:
    for number in range(12):
        await add_entry(works, f"第{number}样东西多少钱?")
    works.jobs = replace(works.jobs, greetings=replace(greetings, questions=wanted))
    greeting = await greeted(works)
    assert (len(labels(greeting)) if shown else greeting) == (shown or works.texts.render("greeting"))


async def test_an_entry_that_is_gone_is_not_offered_and_the_next_one_takes_its_place(
    works: Any, greetings: Greetings
) -> None:
    first = await add_entry(works, "甲能刻字吗?")
    await add_entry(works, "乙多重?")
    await answered(works, first, "wm1")
    await greetings.refresh()
    await works.run("delete from knowledge_chunks where id = %s", first)
    assert labels(await greeted(works)) == ["乙多重?"]


async def test_the_questions_are_made_anew_when_the_base_changed_or_they_are_old(
    works: Any, greetings: Greetings
) -> None:
    await add_entry(works, "甲能刻字吗?")
    assert await greetings.refresh()
    assert not await greetings.refresh()
    await add_entry(works, "乙多重?")
    assert await greetings.refresh()
    await works.run("update greeting_questions set made_at = now() - interval '11 minutes'")
    await works.run("update knowledge_changes set created_at = now() - interval '12 minutes'")
    assert await greetings.refresh()


async def test_a_click_is_answered_from_its_entry_as_a_turn_of_its_own(works: Any) -> None:
    works.knowledge.entries["能刻字吗?"] = "可以刻字。"
    await add_entry(works, "能刻字吗?")
    await works.run("update knowledge_chunks set metadata = metadata || %s", Jsonb({"entry_id": "e-能刻字吗?"}))
    greeting = await greeted(works)
    (option,) = greeting.options
    await works.store(works.message(option.label, extra={"menu_id": option.option_id}))
    await works.work()
    assert works.channel.texts == ["可以刻字。"]


@pytest.mark.parametrize(
    ("extra", "scene", "source"),
    [
        ({"scene": "site", "scene_param": "首页"}, "site", "首页"),
        ({"scene": "site", "scene_param": ""}, "site", "site"),
        ({"scene": "site"}, "site", "site"),
        ({}, "", ""),
    ],
)
@pytest.mark.parametrize("code", ["W1", ""])
async def test_where_a_customer_came_from_is_kept_and_without_a_code_nothing_is_sent(
    works: Any, extra: dict[str, str], scene: str, source: str, code: str
) -> None:
    event = works.message("", sender="system", kind="enter_session", extra={**extra, "welcome_code": code})
    await works.store(event)
    assert await works.rows("select scene, source from conversations") == [{"scene": scene, "source": source}]
    assert [name for name, _ in await works.waiting_jobs()] == (["welcome"] if code else [])
    await works.store(works.message("你好"), cursor="c2")
    assert await works.rows("select scene, source from conversations") == [{"scene": scene, "source": source}]


async def test_the_latest_link_counts(works: Any) -> None:
    await enter(works, scene="site", scene_param="首页")
    await enter(works, scene="shop")
    await enter(works)
    assert await works.rows("select scene, source from conversations") == [{"scene": "shop", "source": "shop"}]


async def test_the_customer_is_called_by_name_and_the_shop_by_its(works: Any, greetings: Greetings) -> None:
    works.channel.names["wm1"] = "小禾"
    works.jobs = replace(works.jobs, greetings=replace(greetings, company="小店"))
    assert (await greeted(works)).startswith("小禾您好！欢迎光临小店，我是")


class TestFailures:
    async def test_what_may_pass_is_tried_again_under_the_same_key(self, works: Any, unhurried: Any) -> None:
        works.channel.other_errors += [ChannelUnavailableError("late"), ChannelUnavailableError("late")]
        await greeted(works)
        assert len(works.channel.welcomed) == 1

    @pytest.mark.parametrize("error", [BadRequestError("no", code=95007), DuplicateMessageError("had it")])
    async def test_a_refusal_and_a_repetition_end_it(self, works: Any, error: Exception) -> None:
        works.channel.other_errors.append(error)
        await works.jobs.welcome(await enter(works))
        assert works.channel.welcomed == []
        assert works.channel.other_errors == []

    async def test_a_dead_code_is_not_tried_again(self, works: Any, greetings: Greetings) -> None:
        works.jobs = replace(
            works.jobs, greetings=replace(greetings, now=lambda: datetime.now(UTC) + timedelta(seconds=20))
        )
        works.channel.other_errors += [ChannelUnavailableError("late"), ChannelUnavailableError("late")]
        await works.jobs.welcome(await enter(works))
        assert len(works.channel.other_errors) == 1

    @pytest.fixture
    def unhurried(self, works: Any, greetings: Greetings) -> None:
        works.jobs = replace(works.jobs, greetings=replace(greetings, pause_seconds=0))


async def test_an_account_with_categories_is_offered_its_own_questions(works: Any) -> None:
    await add_entry(works, "如何退款?")
    await add_entry(works, "年假怎么休?")
    await works.run(
        "update knowledge_chunks set metadata = metadata || %s where content like '年假%%'", Jsonb({"category": "人事"})
    )
    only: dict[str, frozenset[str]] = {works.thread(): frozenset({"人事"})}
    works.jobs = replace(works.jobs, greetings=replace(works.jobs.greetings, categories=only.get))
    assert labels(await greeted(works)) == ["年假怎么休?"]
    only.clear()
    assert labels(await greeted(works)) == ["如何退款?", "年假怎么休?"]
