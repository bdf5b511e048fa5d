"""The commands that work on the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import openpyxl
import psycopg
import pytest
from click.testing import Result
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from typer.testing import CliRunner

from api.cli import app

ARTICLES = "### 如何退款?\n\n七天内可退。\n相似问法：怎么退钱；可以退货吗\n\n### 运费多少?\n\n满 59 元包邮。\n"

Kefu = Callable[..., Result]

READY = {
    "worker": "No desk is configured: open questions are only recorded",
    "serve": "Application startup complete.",
}
"""The line each command logs when it runs."""


@pytest.fixture
def kefu(database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> Kefu:
    """Run a command on the test's database, in a folder with articles; errors are the test's."""
    monkeypatch.setenv("KB_DB_URL", database_uri)
    (clean_environment / "shop.md").write_text(ARTICLES, encoding="utf-8")

    def run(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def counts(output: str) -> dict[str, int]:
    pairs = (part.rsplit(" ", 1) for part in output.strip().split(": ")[-1].split(", "))
    return {name: int(count) for name, count in pairs}


class TestKb:
    def test_a_second_import_embeds_nothing(self, kefu: Kefu) -> None:
        first = counts(kefu("kb", "import", "shop.md").stdout)
        assert first["embedded"] > 0
        second = counts(kefu("kb", "import", "shop.md").stdout)
        assert second["embedded"] == 0
        third = counts(kefu("kb", "import", "shop.md", "--rebuild").stdout)
        assert third["embedded"] == first["embedded"]

    def test_a_dry_run_changes_nothing(self, kefu: Kefu) -> None:
        result = kefu("kb", "import", "shop.md", "--dry-run")
        assert result.stdout.startswith("would change: ")
        assert kefu("kb", "list").stdout == ""

    def test_a_refresh_removes_what_vanished(self, kefu: Kefu, clean_environment: Path) -> None:
        kefu("kb", "import", "shop.md")
        (clean_environment / "shop.md").write_text(ARTICLES.partition("### 运费")[0], encoding="utf-8")
        kefu("kb", "import", "shop.md")
        assert "运费多少" in kefu("kb", "list").stdout
        kefu("kb", "import", "shop.md", "--refresh")
        assert "运费多少" not in kefu("kb", "list").stdout

    def test_warnings_go_to_standard_error(self, kefu: Kefu, clean_environment: Path) -> None:
        folder = clean_environment / "articles"
        folder.mkdir()
        (folder / "shop.md").write_text(ARTICLES, encoding="utf-8")
        (folder / "empty.md").write_text("", encoding="utf-8")
        result = kefu("kb", "import", "articles")
        assert "warning" in result.stderr
        assert "warning" not in result.stdout

    def test_every_format_is_imported(self, kefu: Kefu, clean_environment: Path) -> None:
        folder = clean_environment / "formats"
        folder.mkdir()
        (folder / "a.md").write_text("### 甲怎么卖?\n\n按斤卖。", encoding="utf-8")
        (folder / "b.csv").write_text("问题,答案\n乙怎么卖?,按箱卖。\n", encoding="gb18030")
        (folder / "c.html").write_text("<h2>丙怎么卖?</h2><p>按袋卖。</p>", encoding="utf-8")
        book = openpyxl.Workbook()
        for row in (["问题", "答案"], ["丁怎么卖?", "按桶卖。"]):
            book.worksheets[0].append(row)
        book.save(folder / "d.xlsx")
        document = docx.Document()
        document.add_heading("戊怎么卖?", 2)
        document.add_paragraph("按盒卖。")
        document.save(str(folder / "e.docx"))
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
        canvas = Canvas(str(folder / "f.pdf"))
        for size, top, text in ((18, 800, "己怎么卖？"), (12, 770, "按车卖，一车起送。")):
            canvas.setFont("STSong-Light", size)
            canvas.drawString(60, top, text)
        canvas.save()
        assert counts(kefu("kb", "import", "formats").stdout)["added"] == 6
        assert counts(kefu("kb", "import", "formats").stdout)["unchanged"] == 6
        entries = [json.loads(line) for line in kefu("kb", "list", "--json").stdout.splitlines()]
        assert {entry["source"]: entry["question"] for entry in entries} == {
            "a.md": "甲怎么卖?",
            "b.csv": "乙怎么卖?",
            "c.html": "丙怎么卖?",
            "d.xlsx": "丁怎么卖?",
            "e.docx": "戊怎么卖?",
            "f.pdf": "己怎么卖？",
        }

    def test_a_search_as_json_has_the_shape_of_the_api(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md", "--category", "售后")
        body = json.loads(kefu("kb", "search", "怎么退钱", "--top-k", "2", "--json").stdout)
        assert set(body) == {"query", "results", "confidence", "decision", "threshold"}
        assert body["query"] == "怎么退钱"
        assert 1 <= len(body["results"]) <= 2
        hit = body["results"][0]
        assert set(hit) == {"id", "content", "score", "metadata"}
        assert "七天内可退。" in hit["content"]
        assert hit["metadata"]["category"] == "售后"
        assert 0 <= body["confidence"] <= 1
        assert body["decision"] in {"answer", "clarify", "escalate"}

    def test_a_search_for_people_shows_hits_and_decision(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md")
        output = kefu("kb", "search", "怎么退钱").stdout
        assert "七天内可退。" in output
        assert output.splitlines()[-1].startswith("confidence ")
        assert "→" in output.splitlines()[-1]

    def test_entries_are_listed_exported_and_deleted(self, kefu: Kefu, clean_environment: Path) -> None:
        kefu("kb", "import", "shop.md")
        entries = [json.loads(line) for line in kefu("kb", "list", "--json").stdout.splitlines()]
        assert [entry["question"] for entry in entries] == ["如何退款?", "运费多少?"]
        assert kefu("kb", "list", "--source", "other.md").stdout == ""
        exported = kefu("kb", "export").stdout
        (clean_environment / "again.md").write_text(exported, encoding="utf-8")
        removed = kefu("kb", "delete", entries[0]["entry_id"]).stdout
        assert removed.startswith("deleted ")
        assert "如何退款" not in kefu("kb", "list").stdout
        kefu("kb", "delete", entries[0]["entry_id"], exit_code=1)
        kefu("kb", "delete", "--source", entries[1]["source"])
        assert kefu("kb", "list").stdout == ""
        kefu("kb", "import", "again.md")
        assert "如何退款?" in kefu("kb", "list").stdout

    def test_entries_are_exported_as_json_lines(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md")
        lines = [json.loads(line) for line in kefu("kb", "export", "--format", "jsonl").stdout.splitlines()]
        assert len(lines) == 2


class TestUnknown:
    @pytest.fixture(autouse=True)
    def _questions(self, database_uri: str) -> None:
        with psycopg.connect(database_uri) as conn:
            for number in range(3):
                conn.execute(
                    "insert into unknown_questions (content, user_id, reason) values (%s, 'wm1', 'low_confidence')",
                    (f"问题{number}",),
                )
            conn.execute("insert into unknown_questions (content, user_id) values ('手工记录', '')")

    def test_they_are_listed_newest_first(self, kefu: Kefu) -> None:
        lines = kefu("unknown", "list", "--limit", "2").stdout.splitlines()
        assert len(lines) == 2
        assert lines[0].endswith("手工记录")
        assert lines[1].endswith("问题2")
        assert "low_confidence" in lines[1]

    def test_as_json_each_is_an_object_a_line(self, kefu: Kefu) -> None:
        rows = [json.loads(line) for line in kefu("unknown", "list", "--json").stdout.splitlines()]
        assert len(rows) == 4
        assert {"id", "content", "user_id", "created_at"} <= set(rows[0])
        assert rows == [json.loads(line) for line in kefu("unknown", "export").stdout.splitlines()]


class TestDb:
    def test_status_lists_what_init_then_applies_once(
        self, kefu: Kefu, empty_database_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KB_DB_URL", empty_database_uri)
        waiting = kefu("db", "status", exit_code=1).stdout.splitlines()
        assert "pending 0001_init" in waiting
        applied = kefu("db", "init").stdout.splitlines()
        assert applied[:-1] == [line.replace("pending", "applied") for line in waiting]
        assert kefu("db", "init").stdout == "the database is up to date\n"
        assert kefu("db", "status").stdout == "the database is up to date\n"


@pytest.mark.parametrize("command", [["worker"], ["serve", "--port", "0"]], ids=" ".join)
async def test_a_running_process_ends_cleanly_when_asked_and_takes_the_embedded_server_along(
    command: list[str], clean_environment: Path
) -> None:
    data_dir = clean_environment / "data"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api.cli",
        *command,
        env={**os.environ, "KEFU_DATA_DIR": str(data_dir), "KEFU_LOG_FORMAT": "json"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while line.get("event") != READY[command[0]]:
                line = json.loads(await process.stderr.readline())
            process.send_signal(signal.SIGTERM)
            rest = await process.stderr.read()
            await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert b"Traceback" not in rest
    assert process.returncode == 0
    assert (data_dir / "postgres" / "PG_VERSION").exists()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_a_port_in_use_fails_in_words(database_uri: str, clean_environment: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "serve", "--port", port],
            env={**os.environ, "KB_DB_URL": database_uri},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
