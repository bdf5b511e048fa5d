"""From misses to entries, on a real database with the bundled embedding model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from psycopg.types.json import Jsonb
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from api.audit import Filter, entries
from api.cli import app
from api.database import Pool
from api.knowledge import Knowledge, open_knowledge
from api.learning.answers import Learned, learn
from api.learning.drafts import (
    DraftError,
    Proposal,
    edit_draft,
    get_draft,
    insert_draft,
    list_drafts,
    reject_draft,
)
from api.learning.misses import base_floor, cluster_misses, load_misses, want_entry
from api.learning.replay import misses_of, replay
from api.learning.reviews import approve_draft, merge_draft, review_draft
from api.settings import load_settings
from kb.catalog import list_entries
from kb.chunks import Chunk
from kb.ingest import import_articles
from kb.rows import make_entry_id
from tools.simulators.server import LoopbackServer

ENGRAVING = ("能刻字吗", "可以刻字吗？", "请问你们能不能刻字")
PARKING = "门口能停车吗"
REFUND = ("退款多久到账", "三天内到账。")

DESK = "cli:ops"


@pytest.fixture
async def knowledge(pool: Pool, database_uri: str, clean_environment: Path) -> AsyncIterator[Knowledge]:
    """The search over a base with a few entries."""
    settings = load_settings()
    async with open_knowledge(settings, pool, database_uri) as opened:
        question, answer = REFUND
        chunk = Chunk(
            content=f"{question}\n{answer}",
            question=question,
            answer=answer,
            entry_id=make_entry_id("shop.md", question),
            source="shop.md",
        )
        await import_articles(pool, opened.embedder, [chunk])
        yield opened


@dataclass
class Desk:
    """Tickets as customers and people leave them behind."""

    pool: Pool
    now: datetime = datetime(2026, 3, 2, 9, tzinfo=UTC)
    count: int = field(default=0)

    async def run(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.pool.connection() as conn:
            cursor = await conn.execute(statement.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def ask(self, question: str, *answers: str, reason: str = "low_confidence", **fields: Any) -> int:
        """Let a customer ask and a person answer; return the miss."""
        self.count += 1
        ticket, thread = f"t{self.count}", f"wecom:wk1:wm{self.count}"
        opened = self.now + timedelta(hours=self.count)
        is_closed = fields.get("is_closed", True)
        await self.run(
            "insert into conversations (thread_id, channel, account_id, customer_id, customer_name)"
            " values (%s, 'wecom', 'wk1', %s, %s)",
            thread,
            f"wm{self.count}",
            fields.get("customer", ""),
        )
        await self.run(
            "insert into tickets (ticket_id, thread_id, reason, opened_at, closed_at) values (%s, %s, %s, %s, %s)",
            ticket,
            thread,
            reason,
            opened,
            opened + timedelta(minutes=30) if is_closed else None,
        )
        for number, text in enumerate(answers):
            await self.say(thread, text, at=opened + timedelta(minutes=number + 1), **fields)
        [row] = await self.run(
            "insert into unknown_questions (content, user_id, created_at, ticket_id, thread_id, reason)"
            " values (%s, %s, %s, %s, %s, %s) returning id",
            question,
            f"wm{self.count}",
            opened,
            ticket,
            thread,
            reason,
        )
        return int(row["id"])

    async def say(
        self, thread: str, text: str, *, at: datetime, kind: str = "text", outcome: str = "handled", **_: Any
    ):
        payload = {"text": text, "action": kind, "agent": "小王"}
        await self.run(
            "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, received_at,"
            " handled_at, outcome) values (%s, 'desk', 'desk', %s, %s, %s, %s, %s, now(), %s)",
            thread,
            f"desk-{thread}-{at}",
            kind,
            Jsonb(payload),
            at,
            at,
            outcome,
        )

    async def misses(self, columns: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await self.run(f"select {columns} from unknown_questions order by id")]


@pytest.fixture
def desk(pool: Pool) -> Desk:
    return Desk(pool)


async def learned(knowledge: Knowledge) -> Learned:
    return await learn(knowledge.pool, knowledge.embedder, actor=DESK)


async def drafted(knowledge: Knowledge, **fields: Any) -> int:
    facts: dict[str, Any] = {"question": "能刻字吗", "similar": ("可以刻字吗",), "answer": "可以刻字。"}
    async with knowledge.pool.connection() as conn:
        return await insert_draft(conn, Proposal(**facts | fields))


class TestClusters:
    async def test_paraphrases_are_one_group_and_what_costs_most_customers_is_first(self, knowledge, desk) -> None:
        await desk.ask(PARKING)
        for text in ENGRAVING:
            await desk.ask(text)
        await desk.ask("转人工", reason="asked_for_human")
        floor = await base_floor(knowledge.pool, knowledge.embedder.model_id)
        found = await cluster_misses(await load_misses(knowledge.pool), knowledge.embedder, floor=floor)
        assert [(made.customers, {wording.text for wording in made.wordings}) for made in found] == [
            (3, set(ENGRAVING)),
            (1, {PARKING}),
        ]

    async def test_the_floor_is_the_measured_one(self, knowledge) -> None:
        assert await base_floor(knowledge.pool, knowledge.embedder.model_id) == 0.92
        await knowledge.calibrate()
        assert await base_floor(knowledge.pool, knowledge.embedder.model_id) != 0.92


class TestLearning:
    async def test_an_answered_ticket_becomes_a_draft_without_persons_once(self, knowledge, desk) -> None:
        await desk.ask(ENGRAVING[0])
        await desk.ask(
            "订单号 E20261122001，可以刻字吗？",
            "您好，稍等",
            "小鱼儿，可以刻字，三天出货，找小王 13800138000",
            customer="小鱼儿",
        )
        await desk.ask(ENGRAVING[2])
        done = await learned(knowledge)
        assert (len(done.drafts), done.answered) == (1, 1)
        [draft] = await list_drafts(knowledge.pool)
        assert draft.answer == "〔姓名〕，可以刻字，三天出货，找〔姓名〕 〔电话〕"
        assert set(draft.questions) == set(ENGRAVING)
        assert (draft.state, draft.ticket_id, draft.author) == ("pending", "t2", "小王")
        assert await desk.misses("outcome, draft_id") == [
            ("unanswered", draft.id),
            ("answered", draft.id),
            ("unanswered", draft.id),
        ]
        assert (await learned(knowledge)).drafts == ()
        assert len(await list_drafts(knowledge.pool)) == 1
        [noted] = await entries(knowledge.pool, Filter(action="draft"), limit=9)
        assert (noted["actor"], noted["action"], noted["subject"]) == (DESK, "draft.proposed", str(draft.id))
        assert noted["detail"] == {"misses": 3, "customers": 3}

    @pytest.mark.parametrize(
        "fields",
        [{"is_closed": False}, {"outcome": "stale"}, {"outcome": "held_back"}, {"kind": "note"}],
        ids=["open", "stale", "held back", "note"],
    )
    async def test_what_no_customer_was_told_is_not_learned(self, knowledge, desk, fields) -> None:
        await desk.ask(PARKING, "可以停车", **fields)
        assert (await learned(knowledge)).drafts == ()

    async def test_only_misses_are_learned_unless_somebody_asks_for_an_entry(self, knowledge, desk) -> None:
        await desk.ask("转人工，门口能停车吗", "可以停车", reason="asked_for_human")
        assert (await learned(knowledge)).drafts == ()
        async with knowledge.pool.connection() as conn:
            await want_entry(conn, "t1", "小王")
        assert len((await learned(knowledge)).drafts) == 1

    async def test_courtesies_alone_are_no_answer(self, knowledge, desk) -> None:
        await desk.ask(PARKING, "您好", "稍等")
        done = await learned(knowledge)
        assert (done.drafts, done.answered, done.empty) == ((), 1, 1)

    async def test_a_later_answer_joins_the_draft_that_waits(self, knowledge, desk) -> None:
        await desk.ask(ENGRAVING[0], "可以刻字。")
        [draft_id] = (await learned(knowledge)).drafts
        await desk.ask(ENGRAVING[1], "不可以刻字。")
        done = await learned(knowledge)
        assert (done.drafts, done.joined) == ((), 1)
        draft = await get_draft(knowledge.pool, draft_id)
        assert (draft.answer, draft.other_answers) == ("可以刻字。", ("不可以刻字。",))
        assert await desk.misses("draft_id") == [(draft_id,), (draft_id,)]

    async def test_a_rejected_draft_is_not_made_again(self, knowledge, desk) -> None:
        await desk.ask(PARKING, "可以停车")
        [draft_id] = (await learned(knowledge)).drafts
        await reject_draft(knowledge.pool, draft_id, by="老板", actor=DESK, reason="只此一次")
        assert (await learned(knowledge)).drafts == ()
        await desk.ask("你们门口能停车吗", "能停车")
        [other] = (await learned(knowledge)).drafts
        assert await desk.misses("draft_id") == [(other,), (other,)]
        [noted] = await entries(knowledge.pool, Filter(action="draft.rejected"), limit=9)
        assert noted["detail"] == {"by": "老板", "reason": "只此一次"}

    async def test_a_polisher_words_the_draft(self, knowledge, desk) -> None:
        class Politely:
            async def polish(self, proposal: Proposal) -> Proposal:
                return replace(proposal, answer=f"{proposal.answer}。")

        await desk.ask(PARKING, "可以停车")
        [draft_id] = (await learn(knowledge.pool, knowledge.embedder, polisher=Politely(), actor=DESK)).drafts
        assert (await get_draft(knowledge.pool, draft_id)).answer == "可以停车。"

    async def test_what_a_person_said_at_the_desk_is_learned(self, works, knowledge) -> None:
        await works.customer("能刻字吗?")
        await works.agent("可以的，三天出货")
        await works.agent("", action="done")
        [draft_id] = (await learned(knowledge)).drafts
        draft = await get_draft(knowledge.pool, draft_id)
        assert (draft.question, draft.answer, draft.author) == ("能刻字吗?", "可以的，三天出货", "小王")


class TestReview:
    async def test_an_approved_draft_answers_at_once_and_tells_where_it_came_from(self, knowledge) -> None:
        draft_id = await drafted(knowledge, ticket_id="t7", author="小王")
        before = (await knowledge.lexical.current()).version
        done = await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        hits, _ = await knowledge.try_question("能刻字吗", limit=3)
        assert (hits[0].entry_id, hits[0].answer) == (done.entry_id, "可以刻字。")
        facts = {name: hits[0].metadata.get(name) for name in ("origin", "author", "ticket", "draft", "reviewed_by")}
        assert facts == {
            "origin": "desk",
            "author": "小王",
            "ticket": "t7",
            "draft": str(draft_id),
            "reviewed_by": "老板",
        }
        assert (await knowledge.lexical.current()).version != before
        stored = await get_draft(knowledge.pool, draft_id)
        assert (stored.state, stored.reviewed_by, stored.entry_id) == ("approved", "老板", done.entry_id)
        [noted] = await entries(knowledge.pool, Filter(action="draft.approved"), limit=9)
        assert (noted["ticket_id"], noted["detail"]["entry_id"]) == ("t7", done.entry_id)

    async def test_a_draft_is_decided_once(self, knowledge) -> None:
        draft_id = await drafted(knowledge)
        await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        for act in (
            approve_draft(knowledge, draft_id, by="小李", actor=DESK),
            reject_draft(knowledge.pool, draft_id, by="小李", actor=DESK),
            edit_draft(knowledge.pool, draft_id, actor=DESK, answer="不"),
        ):
            with pytest.raises(DraftError, match="was approved by 老板"):
                await act
        with pytest.raises(DraftError, match="there is no draft 999"):
            await get_draft(knowledge.pool, 999)

    async def test_two_reviewers_at_once_do_not_get_into_each_others_way(self, knowledge) -> None:
        draft_id = await drafted(knowledge)
        outcomes = await asyncio.gather(
            *(approve_draft(knowledge, draft_id, by=name, actor=DESK) for name in ("甲", "乙")), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Draft", "DraftBusyError"]
        assert len(await entries(knowledge.pool, Filter(action="draft.approved"), limit=9)) == 1

    async def test_a_contradiction_is_shown_and_holds_the_approval_back(self, knowledge) -> None:
        draft_id = await drafted(knowledge, question="退款要多久到账", similar=(), answer="15天内到账。")
        draft = await get_draft(knowledge.pool, draft_id)
        review = await review_draft(knowledge, draft)
        old = make_entry_id("shop.md", REFUND[0])
        assert [(conflict.kind, conflict.entry_id) for conflict in review.conflicts] == [("contradiction", old)]
        assert review.conflicts[0].differences == ("15天 ≠ 3天",)
        with pytest.raises(DraftError, match=r"contradicts entry .*15天 ≠ 3天"):
            await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        assert (await get_draft(knowledge.pool, draft_id)).state == "pending"
        done = await approve_draft(knowledge, draft_id, by="老板", actor=DESK, replaced=[old])
        hits, _ = await knowledge.try_question(REFUND[0], limit=5)
        assert [hit.entry_id for hit in hits] == [done.entry_id]

    async def test_anyway_overrules_all_but_gaps(self, knowledge) -> None:
        contradicting = await drafted(knowledge, question="退款要多久到账", similar=(), answer="15天内到账。")
        await approve_draft(knowledge, contradicting, by="老板", actor=DESK, anyway=True)
        personal = await drafted(knowledge, question="门店在哪", similar=(), answer="门店在人民路100号。")
        with pytest.raises(DraftError, match="personal facts: 地址"):
            await approve_draft(knowledge, personal, by="老板", actor=DESK)
        await approve_draft(knowledge, personal, by="老板", actor=DESK, anyway=True)
        gap = await drafted(knowledge, question="门店电话多少", similar=(), answer="请打〔电话〕。")
        with pytest.raises(DraftError, match="something is missing"):
            await approve_draft(knowledge, gap, by="老板", actor=DESK, anyway=True)
        await edit_draft(knowledge.pool, gap, actor=DESK, answer="请打 400-820-8820。")
        await approve_draft(knowledge, gap, by="老板", actor=DESK)

    async def test_a_question_there_is_already_is_refused_until_somebody_chooses(self, knowledge) -> None:
        draft_id = await drafted(knowledge, question="退款多久到账?", similar=("钱几天退给我",), answer=REFUND[1])
        old = make_entry_id("shop.md", REFUND[0])
        for anyway in (False, True):
            with pytest.raises(DraftError, match=rf"asks the same as entry {old} .*--merge {old}.*--replace {old}"):
                await approve_draft(knowledge, draft_id, by="老板", actor=DESK, anyway=anyway)
        with pytest.raises(DraftError, match="there is no entry nothing"):
            await merge_draft(knowledge, draft_id, into="nothing", by="老板", actor=DESK)
        done = await merge_draft(knowledge, draft_id, into=old, by="老板", actor=DESK)
        assert (done.state, done.entry_id) == ("approved", old)
        [entry] = await list_entries(knowledge.pool)
        assert (entry.question, entry.similar, entry.answer) == (REFUND[0], ("钱几天退给我",), REFUND[1])
        hits, _ = await knowledge.try_question("钱几天退给我", limit=1)
        assert (hits[0].entry_id, hits[0].answer) == (old, REFUND[1])

    async def test_wordings_with_gaps_are_not_merged(self, knowledge) -> None:
        draft_id = await drafted(knowledge, question="〔姓名〕说几天退款", similar=())
        with pytest.raises(DraftError, match="wordings hold gaps"):
            await merge_draft(
                knowledge, draft_id, into=make_entry_id("shop.md", REFUND[0]), by="老板", actor=DESK, anyway=True
            )

    async def test_two_who_draft_at_once_draft_an_answer_once(self, knowledge, desk) -> None:
        await desk.ask(PARKING, "可以停车")
        done = await asyncio.gather(learned(knowledge), learned(knowledge))
        assert sorted(len(found.drafts) for found in done) == [0, 1]

    async def test_only_wanted_tickets_are_drafted_when_named(self, knowledge, desk) -> None:
        await desk.ask(PARKING, "可以停车")
        await desk.ask(ENGRAVING[0], "可以刻字")
        done = await learn(knowledge.pool, knowledge.embedder, actor=DESK, tickets={"t1"}, newest=1)
        [draft] = await list_drafts(knowledge.pool)
        assert (done.answered, draft.question) == (2, PARKING)

    async def test_an_edit_changes_what_it_names(self, knowledge) -> None:
        draft_id = await drafted(knowledge)
        draft = await edit_draft(knowledge.pool, draft_id, actor=DESK, question=" 可以刻字么 ", similar=["", "刻字"])
        assert await get_draft(knowledge.pool, draft_id) == draft
        assert (draft.question, draft.similar, draft.answer) == ("可以刻字么", ("刻字",), "可以刻字。")
        with pytest.raises(DraftError, match="needs a question and an answer"):
            await edit_draft(knowledge.pool, draft_id, actor=DESK, answer=" ")
        [noted] = await entries(knowledge.pool, Filter(action="draft.edited"), limit=9)
        assert noted["detail"] == {"fields": ["question", "similar"]}

    async def test_an_approval_that_broke_off_is_mended_by_another(self, knowledge, monkeypatch) -> None:
        draft_id = await drafted(knowledge)

        async def full(*_: object, **__: object) -> None:
            raise OSError("the disk is full")

        monkeypatch.setattr("api.learning.drafts.record", full)
        with pytest.raises(OSError, match="full"):
            await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        monkeypatch.undo()
        assert (await get_draft(knowledge.pool, draft_id)).state == "pending"
        await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        rows = await Desk(knowledge.pool).run(
            "select 1 from knowledge_chunks where metadata ->> 'source' like 'learned/%%'"
        )
        assert len(rows) == 2


class TestReplay:
    async def test_after_the_approval_what_was_missed_is_answered(self, knowledge, desk) -> None:
        for text in ENGRAVING:
            await desk.ask(text, "可以刻字，三天出货。")
        await desk.ask(PARKING)
        [draft_id] = (await learned(knowledge)).drafts
        misses = await misses_of(knowledge.pool, draft_id, await load_misses(knowledge.pool))
        before = await replay(knowledge, misses)
        assert {result.verdict for result in before} <= {"open", "offered"}
        draft = await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        after = await replay(knowledge, misses, draft)
        assert [result.verdict for result in after] == ["closed"] * 3
        assert all(result.unaided in {"closed", "offered", "open"} for result in after)
        assert await desk.misses("verdict") == [("closed",)] * 3 + [(None,)]
        assert [miss.lines for miss in await load_misses(knowledge.pool, everything=False)] == [(PARKING,)]

    async def test_an_answer_from_another_entry_is_told_apart(self, knowledge, desk) -> None:
        await desk.ask(REFUND[0])
        draft_id = await drafted(knowledge)
        draft = await approve_draft(knowledge, draft_id, by="老板", actor=DESK)
        misses = await load_misses(knowledge.pool)
        assert [result.verdict for result in await replay(knowledge, misses, draft)] == ["other"]
        assert [result.verdict for result in await replay(knowledge, misses)] == ["closed"]

    async def test_a_miss_of_two_questions_is_closed_when_both_are(self, knowledge, desk) -> None:
        await desk.ask(f"{REFUND[0]}\n{PARKING}")
        results = await replay(knowledge, await load_misses(knowledge.pool))
        assert [result.verdict for result in results] == ["closed", "open"]
        assert await desk.misses("verdict") == [("open",)]


class TestCommands:
    @pytest.fixture
    def kefu(self, knowledge: Knowledge, database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.setenv("KB_DB_URL", database_uri)

        async def run(*arguments: str, exit_code: int = 0) -> str:
            result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), catch_exceptions=False)
            assert result.exit_code == exit_code, result.output
            return result.stdout

        return run

    async def test_from_the_misses_to_the_proof(self, kefu, desk) -> None:
        await desk.ask(ENGRAVING[0], "您好，可以刻字，三天出货。")
        await desk.ask(ENGRAVING[1])
        await desk.ask(PARKING)
        groups = [json.loads(line) for line in (await kefu("unknown", "cluster", "--json")).splitlines()]
        assert [(group["cluster"], group["customers"], len(group["questions"])) for group in groups] == [
            (1, 2, 2),
            (2, 1, 1),
        ]
        assert "2 customers, 2 times" in await kefu("unknown", "cluster", "--limit", "1")
        assert json.loads(await kefu("unknown", "learn", "--json"))["answered"] == 1
        assert (await kefu("unknown", "learn")).startswith("0 drafts of 0 answered questions")
        [draft] = [json.loads(line) for line in (await kefu("kb", "drafts", "list", "--json")).splitlines()]
        number = str(draft["id"])
        assert "答: 可以刻字，三天出货。" in await kefu("kb", "drafts", "show", number)
        assert json.loads(await kefu("kb", "drafts", "show", number, "--json"))["review"]["marks"] == []
        assert "答: 可以刻字。" in await kefu("kb", "drafts", "edit", number, "--answer", "可以刻字。")
        await kefu("kb", "drafts", "edit", number, exit_code=2)
        approved = await kefu("kb", "drafts", "approve", number, "--by", "老板")
        assert approved.splitlines()[0].startswith(f"draft {number} is live as entry ")
        assert approved.splitlines()[-1] == "closed 2, offered 0, other 0, open 0"
        replayed = [
            json.loads(line) for line in (await kefu("unknown", "replay", "--draft", number, "--json")).splitlines()
        ]
        assert [result["verdict"] for result in replayed] == ["closed", "closed"]
        assert (await kefu("unknown", "replay", "--cluster", "2")).splitlines()[
            -1
        ] == "closed 0, offered 0, other 0, open 1"
        await kefu("unknown", "replay", "--cluster", "9", exit_code=2)
        await kefu("unknown", "replay", "--cluster", "1", "--draft", "1", exit_code=2)
        [week] = [json.loads(line) for line in (await kefu("unknown", "report", "--json")).splitlines()]
        assert week == {"week": "2026-03-02", "misses": 3, "repeats": 1, "rate": 0.3333}
        assert (await kefu("unknown", "report")).splitlines()[1].split() == ["2026-03-02", "3", "1", "33%"]
        actions = [json.loads(line)["action"] for line in (await kefu("audit", "list", "--json")).splitlines()]
        assert actions == ["draft.approved", "draft.edited", "draft.proposed"]
        listed = [json.loads(line) for line in (await kefu("unknown", "list", "--json")).splitlines()]
        assert [row["verdict"] for row in listed] == ["open", "closed", "closed"]

    async def test_what_speaks_against_a_draft_is_shown(self, kefu, knowledge) -> None:
        number = str(
            await drafted(
                knowledge,
                question="退款要多久到账",
                similar=("钱多久退回来",),
                answer="15天内到账。",
                other_answers=("10天。",),
            )
        )
        lines = (await kefu("kb", "drafts", "show", number)).splitlines()
        assert lines[1:5] == ["问: 退款要多久到账", "  | 钱多久退回来", "答: 15天内到账。", "also told: 10天。"]
        assert lines[5].startswith("contradiction ")
        assert lines[5].endswith(REFUND[0])
        assert lines[6:8] == [f"{'':14}{REFUND[1]}", f"{'':14}! 15天 ≠ 3天"]
        assert lines[-1].startswith("! it contradicts entry ")
        assert "退款要多久到账" in await kefu("kb", "drafts", "list")

    async def test_a_draft_is_merged_by_choice(self, kefu, knowledge) -> None:
        number = str(await drafted(knowledge, question=REFUND[0], similar=("钱几天退给我",), answer="三天。"))
        entry = make_entry_id("shop.md", REFUND[0])
        await kefu("kb", "drafts", "approve", number, "--by", "老板", "--merge", entry, "--replace", entry, exit_code=2)
        merged = await kefu("kb", "drafts", "approve", number, "--by", "老板", "--merge", entry)
        assert merged.startswith(f"draft {number} is live as entry {entry}")

    async def test_a_draft_is_rejected_by_somebody(self, kefu, knowledge) -> None:
        number = str(await drafted(knowledge))
        await kefu("kb", "drafts", "reject", number, exit_code=2)
        assert await kefu("kb", "drafts", "reject", number, "--by", "老板") == f"draft {number} was rejected\n"
        assert await kefu("kb", "drafts", "list") == ""
        assert "rejected" in await kefu("kb", "drafts", "list", "--state", "all")

    async def test_what_a_model_polishes_is_traced_without_its_words(
        self, kefu, desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await desk.ask(ENGRAVING[0], "您好，可以刻字，三天出货。")
        seen: list[tuple[str, str]] = []

        async def answer(request: Request) -> Response:
            body = await request.body()
            packed = request.headers.get("content-encoding") == "zstd"
            text = (zstandard.ZstdDecompressor().decompressobj().decompress(body) if packed else body).decode("utf-8")
            # JSON may write Chinese as escapes.
            text = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
            seen.append((request.url.path, text))
            return JSONResponse({"detail": "none of it"}, 200 if request.url.path.startswith("/smith") else 400)

        async with LoopbackServer(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as server:
            for name, value in {
                "LLM_API_BASE": f"{server.url}/model",
                "LLM_MODEL": "some-model",
                "LLM_API_KEY": "sk-0123456789",
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_ENDPOINT": f"{server.url}/smith",
                "LANGSMITH_API_KEY": "lsv2_pt_0123456789",
            }.items():
                monkeypatch.setenv(name, value)
            await kefu("unknown", "learn")
        asked = [text for path, text in seen if path.startswith("/model")]
        traced = [text for path, text in seen if path.startswith("/smith/runs")]
        assert any(ENGRAVING[0] in text for text in asked)
        assert any("characters]" in text for text in traced)
        assert not any(ENGRAVING[0] in text for text in traced)
