"""Drafts at the desk: shown where they were asked for, decided by a press, live at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.audit import Filter, entries
from api.database import Pool
from api.desk.reviews import DeskReviews
from api.knowledge import Knowledge, open_knowledge
from api.learning.drafts import edit_draft, get_draft, list_drafts
from api.learning.misses import want_entry
from api.learning.reviews import approve_draft
from api.settings import load_settings
from kb.catalog import delete_entries, list_entries
from kb.chunks import Chunk
from kb.errors import IndexUnavailableError
from kb.ingest import import_articles
from kb.rows import make_entry_id
from tools.messages import DeskButton

WANG = {"agent": "小王", "agent_id": "9001"}
LI = {"agent": "小李", "agent_id": "9002"}
QUESTION, ANSWER = "能刻字吗?", "可以刻字，一个加10元。"


@pytest.fixture
async def knowledge(pool: Pool, database_uri: str, clean_environment: Path) -> AsyncIterator[Knowledge]:
    """The search over an empty base."""
    async with open_knowledge(load_settings(), pool, database_uri) as opened:
        yield opened


@pytest.fixture
def reviews(works: Any, knowledge: Knowledge) -> DeskReviews:
    """The reviews, with the desk sending its actions to them."""
    made = DeskReviews(works.pool, works.queue, works.outbox, works.texts, knowledge)
    made.register(works.queue.app)
    works.desk_inbox = works.make_desk_inbox(request_entry=want_entry, take_review=made.take)
    return made


async def stored(knowledge: Knowledge, question: str, answer: str) -> str:
    entry_id = make_entry_id("shop.md", question)
    chunk = Chunk(
        content=f"{question}\n{answer}", question=question, answer=answer, entry_id=entry_id, source="shop.md"
    )
    await import_articles(knowledge.pool, knowledge.embedder, [chunk])
    return entry_id


async def run_jobs(works: Any, reviews: DeskReviews) -> None:
    """Do what the queue holds about drafts, and show what came of it."""
    tasks = {"show_draft": reviews.show, "decide_draft": reviews.decide}
    for row in await works.rows("select id, task_name, args from procrastinate_jobs where status = 'todo' order by id"):
        if row["task_name"] in tasks:
            await works.run("update procrastinate_jobs set status = 'cancelled' where id = %s", row["id"])
            await tasks[row["task_name"]](**row["args"])
    await works.work()


async def answered(works: Any, answer: str = ANSWER, question: str = QUESTION) -> None:
    """Let a customer ask and 小王 answer."""
    await works.customer(question)
    await works.agent(answer, **WANG)


async def press_entry(works: Any) -> None:
    ticket = next(post.handoff.ticket_id for post in reversed(works.desk.posts) if post.handoff)
    assert await works.agent("", action="entry", ticket_id=ticket, callback_id="c", message_id=1, **WANG) == "answered"


async def shown(works: Any, reviews: DeskReviews) -> Any:
    """Let the desk be shown what there is to decide; return the last post."""
    await reviews.propose()
    await run_jobs(works, reviews)
    return works.desk.posts[-1]


@pytest.fixture
async def draft(works: Any, reviews: DeskReviews) -> Any:
    """The post of a draft somebody wanted."""
    await answered(works)
    await press_entry(works)
    await works.agent("", action="done", **WANG)
    return await shown(works, reviews)


def press(button: DeskButton, **who: Any) -> dict[str, Any]:
    return {
        "action": button.action,
        "subject": button.subject,
        "target": button.target,
        "callback_id": "c",
        "message_id": 1,
        **who,
    }


def labels(post: Any) -> list[str]:
    return [button.label for button in post.buttons]


async def test_a_draft_is_shown_once_the_ticket_is_closed(works: Any, reviews: DeskReviews) -> None:
    await answered(works)
    await press_entry(works)
    before = len(works.desk.posts)
    await shown(works, reviews)
    assert len(works.desk.posts) == before
    await works.agent("", action="done", **WANG)
    post = await shown(works, reviews)
    assert f"问：{QUESTION}\n答：{ANSWER}" in post.text
    assert labels(post) == ["批准上线", "不采用"]
    await shown(works, reviews)
    assert works.desk.posts[-1] is post


async def test_a_press_after_the_end_shows_the_draft(works: Any, reviews: DeskReviews) -> None:
    await answered(works)
    await works.agent("", action="done", **WANG)
    await press_entry(works)
    assert "答：可以刻字" in (await shown(works, reviews)).text


@pytest.mark.parametrize(
    ("answers", "name"),
    [((), "desk_draft_unanswered"), (("您好，稍等",), "desk_draft_empty")],
    ids=["none", "courtesy"],
)
async def test_why_there_is_no_draft_is_said_once(
    works: Any, reviews: DeskReviews, answers: tuple[str, ...], name: str
) -> None:
    await works.customer(QUESTION)
    for text in answers:
        await works.agent(text, **WANG)
    await press_entry(works)
    await works.agent("", action="done", **WANG)
    assert (await shown(works, reviews)).text == works.texts.render(name)
    count = len(works.desk.posts)
    await shown(works, reviews)
    assert len(works.desk.posts) == count


async def test_an_approved_draft_is_live_and_the_desk_sees_the_proof(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    assert await works.agent("", **press(draft.buttons[0], **LI)) == "answered"
    await run_jobs(works, reviews)
    hits, _ = await knowledge.try_question(QUESTION, limit=1)
    assert hits[0].answer == ANSWER
    assert (hits[0].metadata["origin"], hits[0].metadata["author"]) == ("desk", "小王")
    assert hits[0].metadata["reviewed_by"] == "小李"
    said = works.desk.posts[-1].text
    assert "已上线，小李 批准" in said
    assert "原来的 1 个问题里：1 个现在会自动回答" in said
    [noted] = await entries(knowledge.pool, Filter(action="draft.approved"), limit=9)
    assert noted["actor"] == "desk:小李"
    assert works.channel.texts[-1] != ANSWER or works.channel.texts.count(ANSWER) == 1


async def test_of_two_who_press_at_once_one_decides(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    approve, reject = draft.buttons
    events = [await works.event("", **press(approve, **WANG)), await works.event("", **press(reject, **LI))]
    outcomes = await asyncio.gather(*map(works.act, events))
    assert sorted(outcomes) == ["answered", "stale"]
    await run_jobs(works, reviews)
    [only] = await list_drafts(knowledge.pool, state="all")
    assert only.state in {"approved", "rejected"}
    again = await works.desk_inbox.store(await works.event("", **press(approve, **LI)))
    assert again.outcome == "stale"
    assert str(only.reviewed_by) in again.word


async def test_a_rejected_draft_becomes_no_entry(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    assert await works.agent("", **press(draft.buttons[1], **LI)) == "answered"
    assert "不采用，小李 决定" in works.desk.posts[-1].text
    assert await list_entries(knowledge.pool) == []
    [noted] = await entries(knowledge.pool, Filter(action="draft.rejected"), limit=9)
    assert noted["actor"] == "desk:小李"


async def test_a_reply_to_the_draft_changes_its_answer_and_reaches_no_customer(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    said = list(works.channel.texts)
    [row] = await works.rows("select max(message_id) as id from desk_messages")
    assert await works.agent("可以刻字，加 15 元。", reply_to=row["id"], message_id=88, **LI) == "answered"
    await run_jobs(works, reviews)
    assert works.channel.texts == said
    post = works.desk.posts[-1]
    assert "答：可以刻字，加 15 元。" in post.text
    stale = await works.desk_inbox.store(await works.event("", **press(draft.buttons[0], **LI)))
    assert (stale.outcome, stale.word) == ("stale", works.texts.render("desk_draft_changed"))
    await works.agent("", **press(post.buttons[0], **LI))
    await run_jobs(works, reviews)
    hits, _ = await knowledge.try_question(QUESTION, limit=1)
    assert hits[0].answer == "可以刻字，加 15 元。"
    assert await works.agent("再改", reply_to=row["id"], message_id=89, **LI) == "refused"
    assert works.channel.texts == said


async def test_gaps_must_be_filled_before_anything_else(works: Any, reviews: DeskReviews) -> None:
    await answered(works, "可以刻字，找13800138000。")
    await press_entry(works)
    await works.agent("", action="done", **WANG)
    post = await shown(works, reviews)
    assert "〔电话〕" in post.text
    assert labels(post) == ["不采用"]
    [row] = await works.rows("select max(message_id) as id from desk_messages")
    await works.agent("可以刻字，找小红 13800138000。", reply_to=row["id"], message_id=88, **LI)
    await run_jobs(works, reviews)
    assert "可能含有个人信息" in works.desk.posts[-1].text
    assert labels(works.desk.posts[-1]) == ["确认无误，上线", "不采用"]


async def test_a_question_there_is_already_is_merged_not_doubled(
    works: Any, reviews: DeskReviews, knowledge: Knowledge
) -> None:
    entry_id = await stored(knowledge, "能刻字吗", "可以刻字，一个加10元。")
    await answered(works, question="能刻字吗？？")
    await press_entry(works)
    await works.agent("", action="done", **WANG)
    post = await shown(works, reviews)
    assert "知识库里已有同样的问题「能刻字吗」" in post.text
    assert labels(post) == ["合并为相似问法", "不采用"]
    await works.agent("", **press(post.buttons[0], **LI))
    await run_jobs(works, reviews)
    assert [entry.entry_id for entry in await list_entries(knowledge.pool)] == [entry_id]
    assert "已合并到原有条目" in works.desk.posts[-1].text


async def test_a_contradiction_is_replaced_by_an_explicit_choice(
    works: Any, reviews: DeskReviews, knowledge: Knowledge
) -> None:
    await stored(knowledge, "刻字加多少钱", "加20元。")
    await answered(works, "加10元。", question="刻字加多少钱?")
    await press_entry(works)
    await works.agent("", action="done", **WANG)
    post = await shown(works, reviews)
    assert "说法不同（10元 ≠ 20元）：加20元。" in post.text
    assert labels(post) == ["合并为相似问法", "替换原条目", "不采用"]
    await works.agent("", **press(post.buttons[1], **LI))
    await run_jobs(works, reviews)
    assert [entry.answer for entry in await list_entries(knowledge.pool)] == ["加10元。"]


async def test_a_base_that_changed_meanwhile_is_decided_on_anew(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    await stored(knowledge, "能刻字吗", "不能刻字。")
    await works.agent("", **press(draft.buttons[0], **LI))
    await run_jobs(works, reviews)
    post = works.desk.posts[-1]
    assert "没有上线：知识库刚有变动" in post.text
    assert labels(post) == ["合并为相似问法", "替换原条目", "不采用"]
    await works.agent("", **press(post.buttons[0], **WANG))
    await run_jobs(works, reviews)
    assert [entry.answer for entry in await list_entries(knowledge.pool)] == ["不能刻字。"]


async def test_a_job_that_runs_twice_tells_once(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    await works.agent("", **press(draft.buttons[0], **LI))
    [row] = await works.rows("select args from procrastinate_jobs where task_name = 'decide_draft'")
    for _ in range(2):
        await reviews.decide(**row["args"])
    await works.work()
    assert sum("已上线" in post.text for post in works.desk.posts) == 1
    assert len(await entries(knowledge.pool, Filter(action="draft.approved"), limit=9)) == 1


async def test_a_draft_decided_elsewhere_is_named(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    number = int(draft.buttons[0].subject)
    await approve_draft(knowledge, number, by="老板", actor="cli:ops")
    pressed = await works.desk_inbox.store(await works.event("", **press(draft.buttons[0], **LI)))
    assert (pressed.outcome, pressed.word) == ("stale", works.texts.render("desk_draft_decided", agent="老板"))
    await works.run("update unknown_questions set draft_shown_at = null")
    post = await shown(works, reviews)
    assert post.text == works.texts.render("desk_draft_known", number=str(number), agent="老板")


async def test_an_edit_at_the_command_line_makes_buttons_stale(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    await edit_draft(knowledge.pool, int(draft.buttons[0].subject), actor="cli:ops", answer="不能刻字。")
    assert await works.agent("", **press(draft.buttons[1], **LI)) == "stale"
    assert (await get_draft(knowledge.pool, int(draft.buttons[0].subject))).state == "pending"


@pytest.mark.parametrize("fields", [{"subject": "999"}, {"subject": "x"}, {"target": "q"}, {"target": "n"}])
async def test_a_button_nobody_made_does_nothing(works: Any, draft: Any, fields: dict[str, str]) -> None:
    assert await works.agent("", **press(draft.buttons[0], **LI) | fields) == "stale"


async def test_without_the_embedding_service_the_desk_waits(
    works: Any, reviews: DeskReviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answered(works)
    await press_entry(works)
    await works.agent("", action="done", **WANG)

    async def away(*_: object, **__: object) -> None:
        raise IndexUnavailableError("away")

    monkeypatch.setattr("api.desk.reviews.learn", away)
    count = len(works.desk.posts)
    await shown(works, reviews)
    assert len(works.desk.posts) == count
    monkeypatch.undo()
    assert labels(await shown(works, reviews)) == ["批准上线", "不采用"]


async def test_without_reviews_a_press_is_stale(works: Any) -> None:
    await works.customer(QUESTION)
    button = DeskButton(action="approve", label="", subject="1", target="n0")
    assert await works.agent("", **press(button, **LI)) == "stale"


async def test_a_reply_to_a_draft_whose_post_is_not_recorded_yet_reaches_no_customer(works: Any, draft: Any) -> None:
    sent = list(works.channel.texts)
    number = draft.buttons[0].subject
    assert await works.agent("可以刻字，免费。", reply_to=987_654, subject=number, **LI) == "answered"
    assert works.channel.texts == sent
    assert (await get_draft(works.pool, int(number))).answer == "可以刻字，免费。"


async def test_a_button_acts_on_the_entry_that_was_named_above_it(
    works: Any, reviews: DeskReviews, knowledge: Knowledge, draft: Any
) -> None:
    number = int(draft.buttons[0].subject)
    first = await stored(knowledge, QUESTION, ANSWER)
    await reviews.show(number, works.thread(), "second")
    await works.work()
    merge = works.desk.posts[-1].buttons[0]
    await delete_entries(knowledge.pool, entry_ids=[first])
    await stored(knowledge, "能不能刻字?", ANSWER)
    await reviews.show(number, works.thread(), "third")
    await works.work()
    assert works.desk.posts[-1].buttons[0].target != merge.target
    assert await works.agent("", **press(merge, **LI)) == "stale"
    assert await works.agent("", **press(works.desk.posts[-1].buttons[0], **LI)) == "answered"


async def test_a_draft_shown_again_as_it_was_keeps_its_buttons(works: Any, reviews: DeskReviews, draft: Any) -> None:
    await reviews.show(int(draft.buttons[0].subject), works.thread(), "again")
    await works.work()
    assert works.desk.posts[-1].buttons == draft.buttons
