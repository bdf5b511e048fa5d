"""The fitted confidence in the database: kept, followed by every process, fitted anew when the base changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api import knowledge as module
from api.database import Pool
from api.knowledge import Knowledge, open_knowledge
from api.settings import load_settings
from kb.calibrations import MOST_LABELS, BaseGrader, chosen_labels, save_calibration, save_labels
from kb.confidence import CalibratedGrader, SimilarityGrader, Weights, default_calibration, default_threshold
from kb.errors import IndexUnavailableError
from kb.ingest import import_articles
from kb.measuring import Label
from kb.settings import KbSettings
from kb.splitter import split_markdown

CHUNKS = split_markdown(
    "### 如何退款?\n相似问法: 怎么申请退款；怎么退钱\n\n七天内。\n\n### 运费多少?\n\n包邮。", source="shop.md"
)
MODEL = "m@example.com"

Wait = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def settings(clean_environment: Path) -> KbSettings:
    return load_settings().kb


@pytest.fixture
async def knowledge(pool: Pool, database_uri: str, clean_environment: Path) -> AsyncIterator[Knowledge]:
    async with open_knowledge(load_settings(), pool, database_uri) as opened:
        await import_articles(pool, opened.embedder, CHUNKS)
        yield opened


async def run(pool: Pool, statement: str) -> None:
    async with pool.connection() as conn:
        await conn.execute(statement.encode())


async def settle(pool: Pool) -> None:
    """Let the last change of the base be a while ago."""
    await run(pool, "update knowledge_changes set created_at = now() - interval '1 minute'")


class TestGrader:
    async def test_before_the_first_calibration_the_default_holds(self, pool: Pool, settings: KbSettings) -> None:
        grader = BaseGrader(pool, settings, MODEL)
        await grader.refresh()
        assert grader.version == ""
        assert grader.grade("甲", []).threshold == default_threshold(settings.max_wrong_answer_rate)

    async def test_what_one_process_stores_another_follows(self, pool: Pool, settings: KbSettings) -> None:
        first, second = BaseGrader(pool, settings, MODEL), BaseGrader(pool, settings, MODEL)
        calibration = replace(
            default_calibration(0.02, floor=0.5, is_titled_passages=True),
            basis="labels",
            question=Weights(bias=1, nearness=2, lead=3, wording=4),
            threshold=0.123,
        )
        await save_calibration(pool, calibration, model_id=MODEL, version="7.7")
        for grader in (first, second):
            await grader.refresh()
            assert isinstance(grader._inner, CalibratedGrader)
            assert grader._inner.calibration == calibration
            assert (grader.version, grader.grade("甲", []).threshold) == ("7.7", 0.123)

    async def test_the_latest_counts_and_only_that_of_its_model(self, pool: Pool, settings: KbSettings) -> None:
        grader = BaseGrader(pool, settings, MODEL)
        for threshold, model_id in ((0.1, MODEL), (0.2, MODEL), (0.3, "other")):
            calibration = replace(default_calibration(0.02), threshold=threshold)
            await save_calibration(pool, calibration, model_id=model_id, version="1")
        await grader.refresh()
        assert grader.grade("甲", []).threshold == 0.2

    async def test_an_operators_fixed_cut_off_stays(self, pool: Pool, clean_environment: Path) -> None:
        grader = BaseGrader(pool, KbSettings(kb_similarity_threshold=0.7), MODEL)
        await save_calibration(pool, default_calibration(0.02, floor=0.4), model_id=MODEL, version="1")
        await grader.refresh()
        assert isinstance(grader._inner, SimilarityGrader)
        assert grader.grade("甲", []).threshold == 0.7

    async def test_a_lost_database_leaves_what_was_fitted_last(self, pool: Pool, settings: KbSettings) -> None:
        grader = BaseGrader(pool, settings, MODEL)
        await save_calibration(pool, replace(default_calibration(0.02), threshold=0.2), model_id=MODEL, version="1")
        await grader.refresh()
        await run(pool, "alter table calibrations rename to gone")
        with pytest.raises(IndexUnavailableError):
            await grader.refresh()
        assert grader.grade("甲", []).threshold == 0.2


class TestLabels:
    async def test_what_customers_chose_and_persons_judged_count_alike_newest_first(self, pool: Pool) -> None:
        await run(
            pool,
            "insert into answer_labels (turn_id, question, shown, entry_id, source) values"
            " ('t1', '退钱', '[\"e1\", \"e2\"]', 'e1', 'click'), ('t2', '刻字', '[\"e1\"]', null, 'typed')",
        )
        await save_labels(pool, [Label(question="运费呢", entry_id="e3")])
        assert await chosen_labels(pool) == [
            Label(question="运费呢", entry_id="e3"),
            Label(question="刻字", entry_id=None),
            Label(question="退钱", entry_id="e1"),
        ]

    async def test_a_message_judged_again_has_the_newer_label(self, pool: Pool) -> None:
        for entry_id in ("e1", None):
            await save_labels(pool, [Label(question="运费呢", entry_id=entry_id)])
        assert await chosen_labels(pool) == [Label(question="运费呢", entry_id=None)]

    async def test_what_cannot_be_stored_is_cleaned_or_left_out(self, pool: Pool) -> None:
        await save_labels(pool, [Label(question=text, entry_id=None) for text in ("\0运\ud800费", "", " ", "\ud800")])
        assert [label.question for label in await chosen_labels(pool)] == ["运费"]

    async def test_only_the_newest_are_looked_at(self, pool: Pool) -> None:
        await run(
            pool,
            "insert into answer_labels (turn_id, question, shown, source)"
            f" select n, n, '[]', 'click' from generate_series(1, {MOST_LABELS + 5}) n",
        )
        labels = await chosen_labels(pool)
        assert (len(labels), labels[0].question) == (MOST_LABELS, str(MOST_LABELS + 5))


class TestKeepCalibrated:
    async def test_a_changed_base_is_fitted_to_once_it_is_left_alone(self, knowledge: Knowledge, pool: Pool) -> None:
        assert not await knowledge.keep_calibrated()
        await settle(pool)
        assert await knowledge.keep_calibrated()
        assert not await knowledge.keep_calibrated()
        await run(pool, "delete from knowledge_chunks where content like '运费%'")
        assert not await knowledge.keep_calibrated()
        await settle(pool)
        assert await knowledge.keep_calibrated()

    async def test_the_floor_is_that_of_this_base(self, knowledge: Knowledge, pool: Pool) -> None:
        await settle(pool)
        await knowledge.keep_calibrated()
        assert isinstance(knowledge.grader._inner, CalibratedGrader)
        fitted = knowledge.grader._inner.calibration
        assert fitted.basis == "default"
        assert 0.7 < fitted.floor < 0.99
        scores = [
            (await knowledge.retriever.search(text, limit=1))[0].score for text in ("今天天气怎么样", "高数作业求解")
        ]
        assert min(scores) < fitted.floor

    async def test_another_process_takes_it_over_by_itself(
        self, knowledge: Knowledge, pool: Pool, database_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import asyncio

        monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.01)
        refreshed = asyncio.Event()
        refresh = BaseGrader.refresh

        async def telling(grader: BaseGrader) -> None:
            await refresh(grader)
            if grader.version and grader is not knowledge.grader:
                refreshed.set()

        monkeypatch.setattr(BaseGrader, "refresh", telling)
        async with open_knowledge(load_settings(), pool, database_uri) as other:
            assert other.grader.version == ""
            await settle(pool)
            assert await knowledge.keep_calibrated()
            refreshed.clear()
            async with asyncio.timeout(10):
                await refreshed.wait()
            assert other.grader.version == knowledge.grader.version != ""

    async def test_labels_are_weighed_and_change_nothing_while_they_certify_nothing(
        self, knowledge: Knowledge, pool: Pool
    ) -> None:
        refund = (await knowledge.retriever.search("如何退款", limit=1))[0].entry_id
        await save_labels(pool, [Label(question=f"如何退款{'?' * n}", entry_id=refund) for n in range(10)])
        report = await knowledge.calibrate()
        assert (report.calibration.basis, report.answered, report.wrong) == ("default", 10, 0)
        given = await knowledge.calibrate([Label(question="怎么加盟", entry_id=None)])
        assert given.labels == 11

    async def test_a_fit_tells_what_it_cost(self, knowledge: Knowledge) -> None:
        seen: list[tuple[int, int]] = []
        report = await knowledge.calibrate(progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (report.searches, report.searches)
        assert 0 < report.texts <= report.searches
