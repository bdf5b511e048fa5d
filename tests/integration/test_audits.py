"""Automatic answers that were judged: labels for the next fit, and an alarm when too many are wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from api.audits import NOTHING, WINDOW, Audit, breaks, raised_threshold, recent_answers, record_audit
from api.cli import app
from api.database import Pool
from api.desk.news import NEWS_NAME, NEWS_THREAD, DeskNews
from api.knowledge import Knowledge, open_knowledge
from api.settings import load_settings
from kb.calibrations import chosen_labels
from kb.ingest import import_articles
from kb.measuring import Label
from kb.splitter import split_markdown
from tools.messages import DeskEvent

CHUNKS = split_markdown("### 如何退款?\n\n七天内。\n\n### 运费多少?\n\n包邮。", source="shop.md")


@pytest.fixture
async def knowledge(pool: Pool, database_uri: str, clean_environment: Path) -> AsyncIterator[Knowledge]:
    async with open_knowledge(load_settings(), pool, database_uri) as opened:
        await import_articles(pool, opened.embedder, CHUNKS)
        yield opened


def audit(number: int, *, is_right: bool, confidence: float | None = 0.99, right: str | None = None) -> Audit:
    return Audit(
        turn_id=f"t{number}",
        question=f"问{number}",
        entry_id="e1",
        right_entry_id="e1" if is_right else right,
        confidence=confidence,
        source="desk",
    )


async def judge(pool: Pool, *verdicts: bool, confidence: float = 0.99, start: int = 0) -> None:
    for number, is_right in enumerate(verdicts, start=start):
        await record_audit(pool, audit(number, is_right=is_right, confidence=confidence))


async def alerts() -> float:
    return REGISTRY.get_sample_value("kefu_accuracy_alerts_total") or 0.0


async def settled(knowledge: Knowledge) -> None:
    """Fit once, long ago."""
    async with knowledge.pool.connection() as conn:
        await conn.execute("update knowledge_changes set created_at = now() - interval '1 minute'")
    assert await knowledge.keep_calibrated()
    async with knowledge.pool.connection() as conn:
        await conn.execute("update calibrations set created_at = now() - interval '1 minute'")


async def test_a_judged_answer_is_a_label(pool: Pool) -> None:
    await record_audit(pool, audit(1, is_right=True))
    await record_audit(pool, audit(2, is_right=False))
    await record_audit(pool, audit(3, is_right=False, right="e7"))
    assert await chosen_labels(pool) == [
        Label(question="问3", entry_id="e7"),
        Label(question="问2", entry_id=None),
        Label(question="问1", entry_id="e1"),
    ]


async def test_an_answer_judged_again_counts_once(pool: Pool) -> None:
    await record_audit(pool, audit(1, is_right=True))
    await record_audit(pool, audit(1, is_right=False))
    assert await chosen_labels(pool) == [Label(question="问1", entry_id=None)]


@pytest.mark.parametrize(
    ("wrong", "audited", "is_alarm"),
    # At 2 % at least 3 of 41 have a probability of 0.0486, of 42 of 0.0516; 7 of 200 of 0.109, 8 of 200 of 0.0493.
    [
        (0, 0, False),
        (0, 200, False),
        (2, 2, False),
        (3, 3, True),
        (3, 41, True),
        (3, 42, False),
        (7, 200, False),
        (8, 200, True),
    ],
)
def test_the_alarm_is_the_exact_binomial_test(wrong: int, audited: int, is_alarm: bool) -> None:
    assert breaks(wrong, audited, 0.02) is is_alarm


def test_the_threshold_is_raised_to_the_lowest_that_keeps_the_rate() -> None:
    judged = [(0.95, False), (0.96, True), (0.97, False), *[(0.98, True)] * 5, *[(0.99, True)] * 5]
    assert raised_threshold(judged, 0.02, above=0.9) == 0.98
    assert raised_threshold(judged, 0.1, above=0.9) == 0.96
    assert raised_threshold(judged, 0.1, above=0.96) == 0.97
    assert raised_threshold([(0.99, False)], 0.02, above=0.9) == NOTHING
    assert raised_threshold([], 0.02, above=0.9) == NOTHING


async def test_too_many_wrong_answers_raise_the_threshold_once_and_loudly(
    knowledge: Knowledge, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await settled(knowledge)
    before, counted = knowledge.grader.calibration.threshold, await alerts()
    await judge(pool, *[False] * 5, confidence=0.96)
    await judge(pool, *[True] * 20, confidence=0.99, start=5)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not await knowledge.keep_calibrated()
    [record] = [each for each in caplog.records if vars(each).get("action") == "accuracy_drift"]
    assert (vars(record)["wrong"], vars(record)["audited"]) == (5, 25)
    assert "问" not in record.getMessage()
    assert before < knowledge.grader.calibration.threshold == pytest.approx(0.99)
    assert knowledge.grader.grade("甲", []).threshold == pytest.approx(0.99)
    assert await alerts() == counted + 1


async def test_where_no_confidence_keeps_the_rate_nothing_is_answered(knowledge: Knowledge, pool: Pool) -> None:
    await settled(knowledge)
    await judge(pool, *[False] * 5)
    await knowledge.keep_calibrated()
    assert knowledge.grader.calibration.threshold == NOTHING
    _, grade = await knowledge.try_question("如何退款?", limit=1)
    assert not grade.is_sure


async def test_few_or_right_ones_change_nothing(knowledge: Knowledge, pool: Pool) -> None:
    await settled(knowledge)
    before = knowledge.grader.calibration
    await judge(pool, False, *[True] * 40)
    await knowledge.keep_calibrated()
    assert knowledge.grader.calibration == before


async def test_only_audits_since_the_latest_calibration_count(knowledge: Knowledge, pool: Pool) -> None:
    await judge(pool, *[False] * 5)
    async with pool.connection() as conn:
        await conn.execute("update answer_audits set created_at = now() - interval '1 day'")
    await settled(knowledge)
    before = knowledge.grader.calibration
    await knowledge.keep_calibrated()
    assert knowledge.grader.calibration == before


async def test_only_the_newest_count(knowledge: Knowledge, pool: Pool) -> None:
    await settled(knowledge)
    before = knowledge.grader.calibration
    await judge(pool, *[False] * 20)
    await judge(pool, *[True] * WINDOW, start=20)
    await knowledge.keep_calibrated()
    assert knowledge.grader.calibration == before


class TestSample:
    @pytest.fixture
    async def answered(self, works: Any) -> Any:
        """A shop that answered once, asked back never, and handed over once."""
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        await works.customer("如何退款?")
        await works.customer("能刻字吗?")
        return works

    async def test_only_automatic_answers_are_offered_for_judging(self, answered: Any, pool: Pool) -> None:
        [found] = await recent_answers(pool, 10)
        assert (found.question, found.answer, found.chunk_id) == ("如何退款?", "七天内可退。", "c-如何退款?")
        await record_audit(
            pool,
            Audit(
                turn_id=found.turn_id,
                question=found.question,
                entry_id="e1",
                right_entry_id="e1",
                confidence=0.9,
                source="operator",
            ),
        )
        assert await recent_answers(pool, 10) == []

    async def test_at_most_so_many(self, answered: Any, pool: Pool) -> None:
        assert await recent_answers(pool, 0) == []


def test_what_is_printed_can_be_judged_and_given_back(
    database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    import psycopg

    monkeypatch.setenv("KB_DB_URL", database_uri)
    Path("shop.md").write_text("### 如何退款?\n\n七天内。\n", encoding="utf-8")

    def kefu(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    kefu("kb", "import", "shop.md")
    [entry] = [json.loads(line) for line in kefu("kb", "list", "--json").splitlines()]
    with psycopg.connect(database_uri, autocommit=True) as conn:
        for number in range(2):
            conn.execute(
                "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, turn_id)"
                " values ('w', 'customer', 'a', %s, 'text', '{\"text\": \"怎么退款\"}', now(), %s)",
                (f"m{number}", f"t{number}"),
            )
            conn.execute(
                "insert into outbox (thread_id, destination, message_key, turn_id, part, payload, state)"
                " values ('w', 'customer', %s, %s, 'answer.0', %s, 'sent')",
                (f"k{number}", f"t{number}", json.dumps({"text": "七天内。", "sources": entry["row_ids"]})),
            )
    lines = [json.loads(line) for line in kefu("calibrate", "--sample", "5").splitlines()]
    assert [(line["query"], line["gold_id"], line["entry_id"], line["turn_id"]) for line in lines] == [
        ("怎么退款", "?", entry["entry_id"], "t1"),
        ("怎么退款", "?", entry["entry_id"], "t0"),
    ]
    assert 0 < lines[0]["confidence"] < 1
    judged = [{**lines[0], "gold_id": entry["entry_id"]}, lines[1]]
    Path("judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in judged), encoding="utf-8")
    assert json.loads(kefu("calibrate", "--labels", "judged.jsonl", "--json"))["labels"] == 1
    with psycopg.connect(database_uri) as conn:
        assert conn.execute("select turn_id, is_right, source from answer_audits").fetchall() == [
            ("t1", True, "operator")
        ]
        assert conn.execute("select count(*) from answer_labels").fetchone() == (0,)
    assert [json.loads(line)["turn_id"] for line in kefu("calibrate", "--sample", "5").splitlines()] == ["t0"]


async def test_the_desk_is_told_once_that_too_many_were_wrong(knowledge: Knowledge, works: Any) -> None:
    await settled(knowledge)
    await judge(works.pool, *[False] * 5, confidence=0.96)
    await judge(works.pool, *[True] * 20, confidence=0.99, start=5)
    for _ in range(3):
        await knowledge.keep_calibrated(DeskNews(outbox=works.outbox, texts=works.texts).drift)
    await works.jobs.deliver(NEWS_THREAD, "desk")
    [post] = works.desk.posts
    assert (post.kind, post.customer_name) == ("notice", NEWS_NAME)
    assert "25 条里有 5 条" in post.text
    assert "2.0%" in post.text
    # Nobody is there to be answered.
    [place] = works.desk.shown_in
    event = DeskEvent(update_id=1, place=place, reply_to=None, agent="小王", agent_id="7", action="text", text="收到")
    assert (await works.desk_inbox.store(event)).outcome == "unknown"
