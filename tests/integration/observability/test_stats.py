"""`kefu stats`: what the rows say, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from api.cli import app
from api.observability.figures import begin_of, figures_since

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_days_begin_at_midnight_in_the_shop_s_time_zone() -> None:
    late = datetime(2026, 3, 4, 16, 30, tzinfo=UTC)
    assert begin_of(1, now=late, zone=SHANGHAI) == datetime(2026, 3, 5, tzinfo=SHANGHAI)
    assert begin_of(3, now=late, zone=SHANGHAI) == datetime(2026, 3, 3, tzinfo=SHANGHAI)
    assert begin_of(1, now=late, zone=ZoneInfo("UTC")) == datetime(2026, 3, 4, tzinfo=UTC)


async def test_a_conversation_in_figures(talked) -> None:
    await talked.run("update tickets set opened_at = opened_at - interval '90 seconds'")
    figures = await figures_since(talked.pool, begin_of(1, now=datetime.now(UTC), zone=ZoneInfo("UTC")))
    assert figures.messages["total"] == 2
    assert (figures.messages["answered"], figures.messages["escalated"]) == (1, 1)
    assert figures.resolved_share == 0.5
    assert figures.escalations == {"low_confidence": 1}
    assert figures.handoff_wait_seconds.p50 == pytest.approx(90, abs=10)
    assert figures.handoff_resolve_seconds.p95 == pytest.approx(90, abs=10)
    assert figures.answer_seconds.p50 is not None
    assert figures.tickets == {"open": 0, "unanswered": 0}
    assert figures.outbox == {"waiting": 0, "late": 0, "failed": 0}


async def test_what_was_before_does_not_count(talked) -> None:
    now = datetime.now(UTC)
    await talked.run("update inbox set handled_at = now() - interval '3 days'")
    await talked.run("update tickets set opened_at = now() - interval '3 days', closed_at = now() - interval '3 days'")
    recent = await figures_since(talked.pool, begin_of(1, now=now, zone=SHANGHAI))
    assert recent.messages["total"] == 0
    assert recent.resolved_share is None
    assert recent.escalations == {}
    longer = await figures_since(talked.pool, begin_of(7, now=now, zone=SHANGHAI))
    assert longer.messages["total"] == 2
    assert longer.escalations == {"low_confidence": 1}


async def test_spend_is_that_of_the_days(works) -> None:
    counted = [
        ("kefu_model_cost_total", {}, date(2026, 3, 4), 0.5),
        ("kefu_model_cost_total", {}, date(2026, 3, 5), 0.25),
        ("kefu_model_tokens_total", {"kind": "input"}, date(2026, 3, 5), 900),
        ("kefu_model_calls_total", {"outcome": "usable"}, date(2026, 3, 5), 4),
        ("kefu_model_calls_total", {"outcome": "failed"}, date(2026, 3, 5), 1),
        ("kefu_answer_cache_total", {"outcome": "hit"}, date(2026, 3, 5), 2),
    ]
    for name, labels, day, value in counted:
        await works.run("insert into metric_totals values (%s, %s, %s, %s)", name, Jsonb(labels), day, value)
    today = await figures_since(works.pool, datetime(2026, 3, 5, tzinfo=SHANGHAI))
    assert (today.model["cost"], today.model["input_tokens"], today.model["cache_hits"]) == (0.25, 900, 2)
    assert (today.model["calls"], today.model["failed_calls"]) == (5, 1)
    both = await figures_since(works.pool, datetime(2026, 3, 4, tzinfo=SHANGHAI))
    assert both.model["cost"] == 0.75


async def test_trouble_in_the_outbox_is_told(works) -> None:
    for number, state in enumerate(("pending", "sending", "failed", "unknown", "sent")):
        await works.outbox.notify_desk(works.thread(), f"t{number}", "note", "看一下")
        await works.run("update outbox set state = %s where turn_id = %s", state, f"t{number}")
    await works.run("update outbox set created_at = now() - interval '1 hour' where state = 'pending'")
    figures = await figures_since(works.pool, datetime.now(UTC))
    assert figures.outbox == {"waiting": 2, "late": 1, "failed": 2}


class TestCommand:
    @pytest.fixture
    def kefu(
        self, database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
    ) -> Callable[..., Result]:
        monkeypatch.setenv("KB_DB_URL", database_uri)
        return lambda *arguments: CliRunner().invoke(app, ["stats", *arguments], catch_exceptions=False)

    def test_it_prints_a_line_for_each_number(self, kefu: Callable[..., Result]) -> None:
        result = kefu()
        assert result.exit_code == 0
        assert "resolved by the bot    no questions yet" in result.stdout
        assert "0 total, 0 answered, 0 clarified, 0 escalated" in result.stdout
        assert "outbox now             0 waiting, 0 late, 0 failed" in result.stdout

    def test_as_json_it_is_one_object(self, kefu: Callable[..., Result]) -> None:
        figures = json.loads(kefu("--json", "--days", "7").stdout)
        assert figures["messages"]["total"] == 0
        assert figures["resolved_share"] is None
        assert figures["answer_seconds"] == {"p50": None, "p95": None}
        assert datetime.fromisoformat(figures["until"]) > datetime.fromisoformat(figures["since"])

    def test_no_days_are_bad_usage(self, kefu: Callable[..., Result]) -> None:
        assert kefu("--days", "0").exit_code == 2
