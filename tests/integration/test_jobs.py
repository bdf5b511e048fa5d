"""The jobs over the real queue, database and graph: nothing is lost, nothing is doubled, nothing stops for ever."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from procrastinate import JobContext
from procrastinate.jobs import Job

from api.backoff import Backoff
from api.database import Pool, thread_lock
from api.errors import BusyError
from api.housekeeping import STALLED_AFTER
from api.inbox import MAX_ATTEMPTS
from api.lifespan import Services
from api.observability.exposition import Exposition
from api.observability.totals import OwnCounters
from api.settings import Settings
from api.worker import _keep, worker_beside
from tools.errors import (
    BadRequestError,
    ChannelUnavailableError,
    DeskError,
    DeskUnavailableError,
    DuplicateMessageError,
    RateLimitedError,
    ReplyWindowClosedError,
    TopicGoneError,
)
from tools.messages import DeskPlace, Page


async def states(works: Any, destination: str) -> list[str]:
    rows = await works.rows("select state from outbox where destination = %s order by id", destination)
    return [row["state"] for row in rows]


async def outcomes(works: Any) -> list[str | None]:
    return [row["outcome"] for row in await works.rows("select outcome from inbox order by id")]


async def wait_for_person(works: Any) -> None:
    await works.customer("能刻字吗?")
    assert await works.conversation.is_waiting(works.thread())


class TestDeliver:
    @pytest.fixture(autouse=True)
    async def _conversation(self, works: Any) -> None:
        await works.store(works.message())
        await works.run("update inbox set handled_at = now()")

    async def test_parts_arrive_in_order(self, works: Any) -> None:
        await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
        await works.outbox.say(works.thread(), "turn2", "answer", "三")
        await works.jobs.deliver(works.thread(), "customer")
        assert works.channel.texts == ["一", "二", "三"]
        assert await states(works, "customer") == ["sent"] * 3

    @pytest.mark.parametrize("error", [ChannelUnavailableError("no answer"), RateLimitedError("45009", code=45009)])
    async def test_what_may_succeed_later_holds_the_line_under_the_same_key(self, works: Any, error: Exception) -> None:
        await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
        works.channel.send_errors.append(error)
        with pytest.raises(type(error)):
            await works.jobs.deliver(works.thread(), "customer")
        assert await states(works, "customer") == ["pending", "pending"]
        assert works.channel.texts == []
        await works.jobs.deliver(works.thread(), "customer")
        assert works.channel.texts == ["一", "二"]
        assert works.channel.attempted_keys[0] == works.channel.attempted_keys[1]

    async def test_what_never_succeeds_is_marked_told_to_the_desk_and_passed_by(self, works: Any) -> None:
        await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
        works.channel.send_errors.append(ReplyWindowClosedError("over 48 hours", code=95002))
        await works.jobs.deliver(works.thread(), "customer")
        assert await states(works, "customer") == ["failed", "sent"]
        assert works.channel.texts == ["二"]
        await works.jobs.deliver(works.thread(), "desk")
        assert works.desk.lines == [
            ("notice", works.texts.render("desk_undelivered", error="over 48 hours", text="一"))
        ]

    async def test_a_duplicate_is_sent(self, works: Any) -> None:
        await works.outbox.say(works.thread(), "turn1", "answer", "一")
        works.channel.send_errors.append(DuplicateMessageError("duplicate msgid"))
        await works.jobs.deliver(works.thread(), "customer")
        assert await states(works, "customer") == ["sent"]

    async def test_a_desk_that_refuses_for_good_is_not_told_so_by_itself(self, works: Any) -> None:
        await works.outbox.notify_desk(works.thread(), "turn1", "a", "一")
        await works.outbox.notify_desk(works.thread(), "turn1", "b", "二")
        works.desk.errors.append(DeskError("the bot was thrown out"))
        await works.jobs.deliver(works.thread(), "desk")
        assert await states(works, "desk") == ["failed", "sent"]
        assert works.desk.lines == [("notice", "二")]

    async def test_a_desk_that_is_away_holds_the_line(self, works: Any) -> None:
        await works.outbox.notify_desk(works.thread(), "turn1", "a", "一")
        works.desk.errors.append(DeskUnavailableError("slow down", retry_after=7))
        with pytest.raises(DeskUnavailableError):
            await works.jobs.deliver(works.thread(), "desk")
        assert await states(works, "desk") == ["pending"]
        await works.jobs.deliver(works.thread(), "desk")
        assert works.desk.lines == [("notice", "一")]

    async def test_the_place_is_known_before_anything_is_shown_there(self, works: Any) -> None:
        await works.outbox.notify_desk(works.thread(), "turn1", "a", "一")
        works.desk.errors.append(DeskUnavailableError("no answer"))
        with pytest.raises(DeskUnavailableError):
            await works.jobs.deliver(works.thread(), "desk")
        outcome = await works.act(await works.event("收到"))
        assert outcome == "stored"

    async def test_a_topic_deleted_at_the_desk_is_replaced(self, works: Any) -> None:
        await works.deliveries.record_place(works.thread(), DeskPlace(chat_id=works.chat_id, topic_id=7))
        await works.outbox.notify_desk(works.thread(), "turn1", "a", "一")
        works.desk.errors.append(TopicGoneError("gone"))
        await works.jobs.deliver(works.thread(), "desk")
        assert [place.topic_id for place in works.desk.shown_in] == [41]
        places = await works.rows("select topic_id from desk_places")
        assert places == [{"topic_id": 41}]

    async def test_the_customer_s_name_is_asked_once_and_shown(self, works: Any) -> None:
        works.channel.names["wm1"] = "小满"
        for part in "ab":
            await works.outbox.notify_desk(works.thread(), "turn1", part, part)
        await works.outbox.notify_desk("wecom:wk1:stranger", "turn2", "a", "谁")
        await works.jobs.deliver(works.thread(), "desk")
        await works.jobs.deliver("wecom:wk1:stranger", "desk")
        assert [post.customer_name for post in works.desk.posts] == ["小满", "小满", ""]
        assert works.channel.asked_names == ["wm1"]

    async def test_an_unknown_name_is_asked_for_again(self, works: Any) -> None:
        for part in "ab":
            await works.outbox.notify_desk(works.thread(), "turn1", part, part)
        await works.jobs.deliver(works.thread(), "desk")
        assert works.channel.asked_names == ["wm1", "wm1"]


class TestTurn:
    async def test_a_known_question_is_answered_with_its_source(self, works: Any) -> None:
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        await works.customer("如何退款?")
        assert works.channel.texts == ["七天内可退。"]
        assert await outcomes(works) == ["handled"]
        assert (await works.rows("select payload from outbox"))[0]["payload"]["sources"] == ["c-如何退款?"]

    async def test_an_unknown_question_goes_to_a_person_and_back(self, works: Any) -> None:
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        works.channel.names["wm1"] = "小满"
        await works.customer("能刻字吗?")
        assert works.channel.texts == [works.texts.render("hold")]
        card = works.desk.posts[0]
        assert (card.kind, card.handoff.question, card.handoff.customer_name) == ("card", "能刻字吗?", "小满")
        await works.customer("急!")
        assert works.desk.lines[1] == ("customer", "急!")
        assert await works.agent("可以刻字。") == "stored"
        assert works.channel.texts[1:] == ["可以刻字。"]
        await works.agent("", action="done")
        assert works.channel.texts[2:] == [works.texts.render("handed_back")]
        assert works.desk.lines[2] == ("notice", works.texts.render("desk_closed"))
        await works.customer("如何退款?")
        assert works.channel.texts[3:] == ["七天内可退。"]
        assert len(await works.rows("select * from tickets where closed_at is not null")) == 1
        assert len(works.desk.posts) == 3

    async def test_close_hands_back_without_a_word_to_the_customer(self, works: Any) -> None:
        await wait_for_person(works)
        await works.agent("", action="close")
        assert works.channel.texts == [works.texts.render("hold")]
        assert works.desk.lines[-1] == ("notice", works.texts.render("desk_closed"))
        assert not await works.conversation.is_waiting(works.thread())

    async def test_done_without_a_ticket_is_refused_with_a_word(self, works: Any) -> None:
        await wait_for_person(works)
        await works.agent("", action="done")
        sent = len(works.channel.texts)
        await works.agent("", action="done")
        assert works.desk.lines[-1] == ("notice", works.texts.render("desk_not_open"))
        assert len(works.channel.texts) == sent

    async def test_text_after_the_close_goes_out_as_a_fresh_message_with_a_word_to_the_agent(self, works: Any) -> None:
        await wait_for_person(works)
        await works.agent("第一句")
        await works.agent("", action="close")
        await works.agent("还有一句")
        assert works.channel.texts[1:] == ["第一句", "还有一句"]
        assert works.desk.lines[-1] == ("notice", works.texts.render("desk_not_waiting"))

    async def test_the_draft_is_sent_once_however_often_it_is_pressed(self, works: Any) -> None:
        await wait_for_person(works)
        ticket_id = works.desk.posts[0].handoff.ticket_id
        await works.run("update tickets set draft = '可以刻字。'")
        pressed = {"action": "draft", "ticket_id": ticket_id}
        assert [await works.agent("", **pressed) for _ in range(3)] == ["stored", "stale", "stale"]
        assert works.channel.texts[1:] == ["可以刻字。"]

    async def test_staff_in_the_vendor_s_client_are_heard_and_not_answered(self, works: Any) -> None:
        await works.store(works.message("我来处理", sender="staff"))
        await works.work()
        assert works.channel.texts == []
        assert await outcomes(works) == ["handled"]
        snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
        assert [message.content for message in snapshot.values["messages"]] == ["我来处理"]

    async def test_a_crash_after_the_graph_doubles_nothing(self, works: Any) -> None:
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        await works.store(works.message("如何退款?"))
        mark_handled = works.jobs.inbox.mark_handled

        async def crash(*_: Any) -> None:
            raise ConnectionError("killed here")

        works.jobs.inbox.mark_handled = crash
        with pytest.raises(ConnectionError):
            await works.jobs.turn(works.thread())
        works.jobs.inbox.mark_handled = mark_handled
        await works.store(works.message("谢谢"))
        await works.work()
        texts = [row["payload"]["text"] for row in await works.rows("select payload from outbox order by id")]
        assert texts.count("七天内可退。") == 1
        assert await outcomes(works) == ["handled", "handled"]
        snapshot = await works.graph.aget_state({"configurable": {"thread_id": works.thread()}})
        said = [message.content for message in snapshot.values["messages"] if isinstance(message, HumanMessage)]
        assert said == ["如何退款?", "谢谢"]

    async def test_a_crash_after_a_person_s_reply_doubles_nothing(self, works: Any) -> None:
        await wait_for_person(works)
        await works.act(await works.event("可以刻字。"))
        mark_handled = works.jobs.inbox.mark_handled

        async def crash(*_: Any) -> None:
            raise ConnectionError("killed here")

        works.jobs.inbox.mark_handled = crash
        with pytest.raises(ConnectionError):
            await works.jobs.turn(works.thread())
        works.jobs.inbox.mark_handled = mark_handled
        await works.work()
        assert works.channel.texts[1:] == ["可以刻字。"]
        assert await works.conversation.is_waiting(works.thread())
        assert all(text != works.texts.render("desk_not_waiting") for _, text in works.desk.lines)

    async def test_a_poison_turn_goes_to_a_person_and_the_conversation_goes_on(self, works: Any) -> None:
        works.knowledge.poison.add("毒")
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        await works.store(works.message("毒"))
        for _ in range(MAX_ATTEMPTS):
            with pytest.raises(RuntimeError, match="foresaw"):
                await works.jobs.turn(works.thread())
        await works.work()
        assert await outcomes(works) == ["failed"]
        tickets = await works.rows("select reason from tickets")
        assert tickets == [{"reason": "failure"}]
        assert [kind for kind, _ in works.desk.lines] == ["card", "notice"]
        assert "毒" in works.desk.lines[1][1]
        assert works.channel.texts == [works.texts.render("hold")]
        await works.agent("", action="close")
        await works.customer("如何退款?")
        assert works.channel.texts[1:] == ["七天内可退。"]

    async def test_a_turn_whose_hand_over_fails_too_is_left_with_a_notice(self, works: Any) -> None:
        await works.store(works.message("毒"))
        await works.run("update inbox set attempts = %s", MAX_ATTEMPTS + 1)
        await works.work()
        assert await outcomes(works) == ["failed"]
        assert await works.rows("select * from tickets") == []
        assert [kind for kind, _ in works.desk.lines] == ["notice"]

    async def test_a_desk_turn_that_keeps_failing_is_told_to_the_desk(self, works: Any) -> None:
        await wait_for_person(works)
        await works.act(await works.event("可以刻字。"))
        await works.run("update inbox set attempts = %s where origin = 'desk'", MAX_ATTEMPTS)
        await works.work()
        assert await outcomes(works) == ["handled", "failed"]
        assert works.channel.texts == [works.texts.render("hold")]
        assert "可以刻字。" in works.desk.lines[-1][1]

    async def test_a_conversation_held_by_another_worker_is_left_alone(self, works: Any, pool: Pool) -> None:
        await works.store(works.message())
        async with thread_lock(pool, works.thread()):
            with pytest.raises(BusyError, match=works.thread()):
                await works.jobs.turn(works.thread())
            async with thread_lock(pool, works.thread("wm2")):
                pass
        assert await outcomes(works) == [None]
        await works.jobs.turn(works.thread())
        assert await outcomes(works) == ["handled"]

    async def test_the_lock_is_free_again_after_a_failed_turn(self, works: Any, pool: Pool) -> None:
        works.knowledge.poison.add("毒")
        await works.store(works.message("毒"))
        with pytest.raises(RuntimeError):
            await works.jobs.turn(works.thread())
        async with thread_lock(pool, works.thread()):
            pass


class TestPull:
    async def test_every_page_is_pulled_until_the_vendor_says_there_is_no_more(self, works: Any) -> None:
        works.channel.pages = [
            Page(messages=(works.message("一"),), next_cursor="c1", has_more=True),
            Page(messages=(), next_cursor="c2", has_more=True),
            Page(messages=(works.message("二"),), next_cursor="c3", has_more=False),
        ]
        await works.jobs.pull("wk1", "token")
        assert works.channel.pulled == [("wk1", "", "token"), ("wk1", "c1", "token"), ("wk1", "c2", "token")]
        assert await works.inbox.cursor("wk1") == "c3"
        assert len(await works.rows("select id from inbox")) == 2
        await works.jobs.pull("wk1", "")
        assert works.channel.pulled[-1] == ("wk1", "c3", "")

    async def test_a_cursor_that_does_not_move_ends_the_pull(self, works: Any) -> None:
        stuck = Page(messages=(works.message(),), next_cursor="c1", has_more=True)
        works.channel.pages = [stuck, stuck, stuck, stuck]
        await works.jobs.pull("wk1", "")
        assert len(works.channel.pulled) == 2
        assert len(await works.rows("select id from inbox")) == 1

    async def test_known_and_listed_accounts_are_reconciled_once_each(self, works: Any) -> None:
        await works.inbox.cursor("wk1")
        await works.inbox.cursor("wk2")
        works.channel.accounts = ["wk2", "wk3"]
        await works.jobs.housekeeping.reconcile()
        assert sorted(await works.waiting_jobs()) == [("pull", f"pull:wk{n}") for n in (1, 2, 3)]

    async def test_known_accounts_are_reconciled_although_the_list_fails(self, works: Any) -> None:
        await works.inbox.cursor("wk1")
        works.channel.other_errors.append(BadRequestError("no permission", code=48002))
        await works.jobs.housekeeping.reconcile(1)
        assert await works.waiting_jobs() == [("pull", "pull:wk1")]


class TestWelcome:
    @pytest.fixture
    async def inbox_id(self, works: Any) -> int:
        event = works.message("", sender="system", kind="enter_session", extra={"welcome_code": "W1"})
        await works.store(event)
        return int((await works.rows("select id from inbox"))[0]["id"])

    async def test_a_customer_who_enters_is_greeted(self, works: Any, inbox_id: int) -> None:
        await works.jobs.welcome(inbox_id)
        assert works.channel.welcomed == [("W1", works.texts.render("greeting", customer_name=""))]

    async def test_a_refused_welcome_is_not_tried_again(self, works: Any, inbox_id: int) -> None:
        works.channel.other_errors.append(BadRequestError("late", code=95007))
        await works.jobs.welcome(inbox_id)
        assert works.channel.welcomed == []


@pytest.mark.parametrize(
    ("attempts", "exception", "seconds"),
    [
        (0, RuntimeError(), 1),
        (1, RuntimeError(), 2),
        (3, RuntimeError(), 8),
        (6, RuntimeError(), 60),
        (500, RuntimeError(), 60),
        (3, DeskUnavailableError("slow down", retry_after=33), 33),
        (3, DeskUnavailableError("slow down", retry_after=0), 1),
        (3, DeskUnavailableError("gone"), 8),
        (0, DeskUnavailableError("slow down", retry_after=600), 600),
    ],
)
def test_waits_grow_to_a_limit_and_obey_the_vendor(attempts: int, exception: Exception, seconds: int) -> None:
    job = Job(id=1, queue="fast", lock=None, queueing_lock=None, task_name="deliver", attempts=attempts)
    now = datetime.now(UTC)
    for chance, share in ((0.0, 1.0), (1.0, 1.25)):
        decision = Backoff(chance=lambda drawn=chance: drawn).get_retry_decision(exception=exception, job=job)
        assert decision.retry_at is not None
        assert (decision.retry_at - now).total_seconds() == pytest.approx(seconds * share, abs=0.5)


async def test_rows_written_by_hand_are_embedded(works: Any) -> None:
    await works.jobs.housekeeping.embed(1)
    assert works.embedded == 1


async def test_the_sweep_finds_lost_work(works: Any) -> None:
    await works.store(works.message())
    await works.run("update inbox set received_at = now() - interval '1 minute'")
    await works.forget_jobs()
    await works.jobs.housekeeping.sweep(1)
    assert await works.waiting_jobs() == [("turn", f"turn:{works.thread()}")]


async def test_jobs_of_dead_workers_are_taken_over_and_only_those(works: Any) -> None:
    for customer in ("dead", "alive"):
        await works.store(works.message(customer_id=customer))
    await works.run(
        "insert into procrastinate_workers (last_heartbeat) values (now() - make_interval(secs => %s)), (now())",
        STALLED_AFTER + 5,
    )
    await works.run(
        "update procrastinate_jobs set status = 'doing', worker_id = (select id from procrastinate_workers"
        " order by last_heartbeat desc offset (case when lock like '%%dead' then 1 else 0 end) limit 1)"
    )
    for status in ("doing", "todo"):
        await works.run(
            "insert into procrastinate_jobs (task_name, queue_name, lock, queueing_lock, status, worker_id)"
            " select 'sweep', 'fast', 'sweep', 'sweep', %s::procrastinate_job_status, min(id)"
            " from procrastinate_workers where %s::text = 'doing'",
            status,
            status,
        )
    job = Job(id=1, queue="fast", lock=None, queueing_lock=None, task_name="reap")
    context = JobContext(app=works.queue.app, job=job, start_timestamp=0, abort_reason=lambda: None)
    await works.jobs.housekeeping.reap(context, 1)
    rows = await works.rows("select lock, status::text as status from procrastinate_jobs order by id")
    assert [(row["lock"].rpartition(":")[2], row["status"]) for row in rows] == [
        ("dead", "todo"),
        ("alive", "doing"),
        # A periodic job is not repeated: its next one waits already.
        ("sweep", "todo"),
    ]


@pytest.fixture
def services(works: Any, clean_environment: Any) -> Services:
    knowledge: Any = None
    return Services(
        settings=Settings(),
        pool=works.pool,
        redis=None,
        crypto=None,
        inbox=works.inbox,
        knowledge=knowledge,
        jobs=works.jobs,
        desk=None,
        desk_intake=None,
        exposition=Exposition(works.pool, OwnCounters(works.pool), units=5),
    )


async def test_a_running_worker_answers_what_arrives(works: Any, services: Services) -> None:
    works.knowledge.entries["如何退款?"] = "七天内可退。"
    question = works.message("如何退款?", sent_at=time.time())
    works.channel.pages = [Page(messages=(question,), next_cursor="c1", has_more=False)]
    async with asyncio.timeout(20), worker_beside(services, concurrency=2):
        await works.inbox.store_callback(signature="s", payload={}, account_id="wk1", token="t")
        await works.channel.arrived.wait()
    assert works.channel.texts == ["七天内可退。"]
    assert await outcomes(works) == ["handled"]
    assert await states(works, "customer") == ["sent"]


async def test_a_starting_worker_pulls_every_known_account(works: Any, services: Services) -> None:
    works.knowledge.entries["如何退款?"] = "七天内可退。"
    await works.inbox.cursor("wk1")
    question = works.message("如何退款?", sent_at=time.time())
    works.channel.pages = [Page(messages=(question,), next_cursor="c1", has_more=False)]
    async with asyncio.timeout(20), worker_beside(services, concurrency=2):
        await works.channel.arrived.wait()
    assert works.channel.texts == ["七天内可退。"]


async def test_without_concurrency_nothing_works_beside(works: Any, services: Services) -> None:
    before = len(asyncio.all_tasks())
    async with worker_beside(services, concurrency=0):
        assert len(asyncio.all_tasks()) == before


async def test_a_part_of_the_worker_that_fails_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.worker.RESTART_SECONDS", 0)
    runs, is_back = [0], asyncio.Event()

    async def part() -> None:
        runs[0] += 1
        if runs[0] == 1:
            raise ConnectionError("the database restarts")
        is_back.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(_keep(part))
    async with asyncio.timeout(5):
        await is_back.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == [2]
