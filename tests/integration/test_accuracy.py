"""`kefu eval` and `kefu calibrate`: what comes out, what stays untouched, what is refused."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from api.database import Pool
from api.scratch import LEFT_OVER_SECONDS, drop_left_over, scratch_schema

ARTICLES = "### 如何退款?\n\n七天内可退。\n相似问法：怎么退钱\n\n### 运费多少?\n\n满 59 元包邮。\n"

ENTRIES = [
    {"id": "退/款 \n'\"%s\0", "question": "如何退款?", "similar": ["怎么退钱", "如何退款?"], "answer": "七天内可退。"},
    {"id": " 2 ", "question": "运费多少?"},
    {"id": "", "question": "怎么开发票?", "answer": ""},
    {"id": "twin", "question": "如何退款?", "answer": "找店员。", "category": "门店"},
    {"id": "passage", "question": "", "answer": "我们在景德镇做了三十年的手工陶瓷杯子。"},
    {"id": "nothing", "question": " ", "answer": ""},
]
QUERIES = [
    {"query": "运费多少?", "gold_id": " 2 "},
    {"query": ""},
    {"query": "  "},
    {"query": "怎么开发票?"},
    {"query": "\ud800\0\u2028"},
    {"query": "如何退款?"},
    {"query": "你们做手工陶瓷多少年了"},
]

Kefu = Callable[..., Result]


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def kefu(database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> Kefu:
    """Run a command on the test's database, in a folder with articles and a labelled set; errors are the test's."""
    monkeypatch.setenv("KB_DB_URL", database_uri)
    (clean_environment / "shop.md").write_text(ARTICLES, encoding="utf-8")
    write(clean_environment / "kb.jsonl", *ENTRIES)
    write(clean_environment / "q.jsonl", *QUERIES)

    def run(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def state(uri: str) -> dict[str, Any]:
    """Everything an evaluation must not touch: counts, versions, schemas."""
    tables = ("knowledge_chunks", "knowledge_changes", "calibrations", "answer_labels", "unknown_questions")
    with psycopg.connect(uri) as conn:
        rows: dict[str, Any] = {
            table: conn.execute(
                f"select count(*), md5(coalesce(string_agg(t::text, ',' order by t::text), '')) from {table} t"
            ).fetchone()
            for table in tables
        }
        rows["schemas"] = {name for (name,) in conn.execute("select nspname from pg_namespace")}
    return rows


def decisions(path: Path = Path("pred.jsonl")) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


EVAL = ("eval", "--kb", "kb.jsonl", "--queries", "q.jsonl", "--out", "pred.jsonl")


class TestEval:
    def test_each_message_is_decided_on_by_the_ids_of_the_file(self, kefu: Kefu) -> None:
        kefu(*EVAL)
        decided = decisions()
        assert [each["query_index"] for each in decided] == list(range(len(QUERIES)))
        assert [each["entry_id"] for each in decided if each["query_index"] in {0, 1, 2, 3, 4, 6}] == [
            " 2 ",
            None,
            None,
            "",
            None,
            "passage",
        ]
        first = decided[0]
        assert (first["answered"], first["candidates"][0], first["suggested"]) == (True, " 2 ", [])
        assert 0.9 < first["confidence"] <= 1
        assert all(not each["answered"] for each in decided if each["entry_id"] is None)
        assert all(len(each["suggested"]) <= 3 for each in decided)
        assert not any("nothing" in each["candidates"] for each in decided)

    def test_the_same_question_in_two_entries_finds_both(self, kefu: Kefu) -> None:
        kefu(*EVAL)
        assert set(decisions()[5]["candidates"][:2]) == {ENTRIES[0]["id"], "twin"}

    def test_gzipped_files_say_the_same(self, kefu: Kefu) -> None:
        kefu(*EVAL)
        plain = Path("pred.jsonl").read_bytes()
        for name in ("kb.jsonl", "q.jsonl"):
            Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
        kefu("eval", "--kb", "kb.jsonl.gz", "--queries", "q.jsonl.gz", "--out", "pred.jsonl")
        assert Path("pred.jsonl").read_bytes() == plain

    def test_nothing_of_the_live_base_is_touched(self, kefu: Kefu, database_uri: str) -> None:
        kefu("kb", "import", "shop.md")
        before = state(database_uri)
        kefu(*EVAL, "--labels", str(write(Path("labels.jsonl"), {"query": "运费呢", "gold_id": "运费多少?"})))
        assert state(database_uri) == before

    def test_the_summary_as_data_is_all_there_is_on_standard_output(self, kefu: Kefu) -> None:
        facts = json.loads(kefu(*EVAL, "--json").stdout)
        assert (facts["entries"], facts["queries"]) == (len(ENTRIES), len(QUERIES))
        assert facts["answered"] + facts["suggested"] + facts["escalated"] == len(QUERIES)
        assert facts["calibration"]["basis"] == "default"

    def test_a_laxer_rate_lowers_the_threshold(self, kefu: Kefu) -> None:
        thresholds = [
            json.loads(kefu(*EVAL, "--json", "--max-wrong", rate).stdout)["calibration"]["threshold"]
            for rate in ("0.01", "0.2")
        ]
        assert thresholds[0] > thresholds[1]

    def test_labels_are_used_by_id_and_by_main_question(self, kefu: Kefu) -> None:
        labels = [{"query": "运费呢", "gold_id": "运费多少?"}, {"query": "发票", "gold_id": ""}]
        write(Path("labels.jsonl"), *labels, {"query": "能刻字吗", "gold_id": None})
        facts = json.loads(kefu(*EVAL, "--json", "--labels", "labels.jsonl").stdout)
        assert (facts["calibration"]["basis"], facts["calibration"]["labels"]) == ("default", 3)

    @pytest.mark.parametrize(
        ("files", "told"),
        [
            ({"kb.jsonl": None}, "there is no file kb.jsonl"),
            ({"q.jsonl": ""}, "q.jsonl holds no line"),
            ({"q.jsonl": '{"query": "a"}\n{"text": "b"}'}, "q.jsonl, line 2: the field 'query' is missing"),
            ({"q.jsonl": "[1]"}, "q.jsonl, line 1: it is no JSON object"),
            ({"kb.jsonl": '{"id": 3, "question": "a"}'}, "kb.jsonl, line 1: the field 'id'"),
            ({"kb.jsonl": "query,answer"}, "kb.jsonl, line 1 is not JSON"),
            ({"labels.jsonl": '{"query": "a"}'}, "labels.jsonl, line 1: the field 'gold_id'"),
            ({"labels.jsonl": '{"query": "a", "gold_id": "?"}'}, "no gold_id is the id or the exact main question"),
            ({"labels.jsonl": '{"query": "a", "gold_id": "如何退款?"}'}, "several entries have the main question"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_file_that_is_not_what_it_should_be_is_bad_usage_in_one_line(
        self, kefu: Kefu, files: dict[str, str | None], told: str
    ) -> None:
        for name, text in files.items():
            if text is None:
                Path(name).unlink()
            else:
                Path(name).write_text(text, encoding="utf-8")
        labels = ["--labels", "labels.jsonl"] if "labels.jsonl" in files else []
        result = kefu(*EVAL, *labels, exit_code=2)
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not Path("pred.jsonl").exists()

    @pytest.mark.parametrize("out", ["missing/pred.jsonl", ".", "kb.jsonl"])
    def test_a_place_that_cannot_be_written_is_refused_before_the_work(self, kefu: Kefu, out: str) -> None:
        before = Path("kb.jsonl").read_bytes()
        kefu("eval", "--kb", "kb.jsonl", "--queries", "q.jsonl", "--out", out, exit_code=2)
        assert Path("kb.jsonl").read_bytes() == before

    @pytest.mark.parametrize("rate", ["0", "1", "-1", "2", "x"])
    def test_a_rate_that_is_no_share_is_bad_usage(self, kefu: Kefu, rate: str) -> None:
        kefu(*EVAL, "--max-wrong", rate, exit_code=2)
        kefu("calibrate", "--max-wrong", rate, exit_code=2)

    def test_labels_of_entries_that_are_gone_are_left_out_with_a_warning(self, kefu: Kefu) -> None:
        write(Path("labels.jsonl"), {"query": "a", "gold_id": "gone"}, {"query": "运费", "gold_id": " 2 "})
        result = kefu(*EVAL, "--json", "--labels", "labels.jsonl")
        assert "1 labels name no entry" in result.stderr
        assert json.loads(result.stdout)["calibration"]["labels"] == 1


def eval_schemas(uri: str) -> list[str]:
    with psycopg.connect(uri) as conn:
        return [row[0] for row in conn.execute("select nspname from pg_namespace where nspname like 'eval%'")]


class TestScratch:
    async def test_a_failed_run_leaves_no_schema(self, database_uri: str) -> None:
        async def fail() -> None:
            async with scratch_schema(database_uri):
                assert len(eval_schemas(database_uri)) == 1
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        assert eval_schemas(database_uri) == []

    @pytest.mark.parametrize(("age", "is_kept"), [(-1, True), (0, True), (1, False)])
    async def test_what_a_killed_run_left_goes_after_a_day(self, pool: Pool, age: int, is_kept: bool) -> None:
        now = 2_000_000_000
        name = f"eval_{now - LEFT_OVER_SECONDS - age}_0123456789ab"
        async with pool.connection() as conn:
            await conn.execute(f"create schema {name}".encode())
            await conn.execute(f"create table {name}.t (n int)".encode())
        assert await drop_left_over(pool, now=now) == ([] if is_kept else [name])

    async def test_other_schemas_are_nobodys_business(self, pool: Pool, database_uri: str) -> None:
        async with pool.connection() as conn:
            for name in ("eval_mine", "eval_1000000000_mine", "evals", "eval_1000000000_0123456789ab_x"):
                await conn.execute(f"create schema {name}".encode())
        assert await drop_left_over(pool, now=4_000_000_000) == []
        assert len(eval_schemas(database_uri)) == 4

    def test_a_killed_run_touched_nothing_and_the_next_one_works(
        self, kefu: Kefu, database_uri: str, clean_environment: Path
    ) -> None:
        kefu("kb", "import", "shop.md")
        before = state(database_uri)
        entries = [{"id": str(n), "question": f"第{n}个问题是什么?"} for n in range(5000)]
        write(clean_environment / "large.jsonl", *entries)
        command = [sys.executable, "-m", "api.cli", "eval", "--kb", "large.jsonl", *EVAL[3:]]
        with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL) as running:
            deadline = time.monotonic() + 60
            while not eval_schemas(database_uri):
                assert running.poll() is None
                assert time.monotonic() < deadline
            running.send_signal(signal.SIGKILL)
        [left] = eval_schemas(database_uri)
        kefu(*EVAL)
        after = state(database_uri)
        assert after.pop("schemas") == before.pop("schemas") | {left}
        assert after == before


class TestCalibrate:
    def test_a_small_base_says_that_it_is_too_little(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md")
        told = kefu("calibrate").stdout
        assert "basis      default" in told
        assert "nothing is promised" in told
        assert "59 ⇒ ≤ 5%, 149 ⇒ ≤ 2%, 299 ⇒ ≤ 1%" in told
        assert "too little" in told
        assert "searches" in told

    def test_an_empty_base_fails_with_the_command_that_mends_it(
        self, kefu: Kefu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from api.cli import main

        monkeypatch.setattr(sys, "argv", ["kefu", "calibrate"])
        with pytest.raises(SystemExit, match="kefu kb import"):
            main()

    def test_labels_are_kept_for_later_fits_and_replaced_by_newer_ones(self, kefu: Kefu, database_uri: str) -> None:
        kefu("kb", "import", "shop.md")
        write(Path("labels.jsonl"), {"query": "运费呢", "gold_id": "运费多少?"}, {"query": "能刻字吗", "gold_id": None})
        first = json.loads(kefu("calibrate", "--labels", "labels.jsonl", "--json").stdout)
        assert (first["basis"], first["labels"]) == ("default", 2)
        write(Path("labels.jsonl"), {"query": "能刻字吗", "gold_id": "如何退款?"})
        kefu("calibrate", "--labels", "labels.jsonl")
        assert json.loads(kefu("calibrate", "--json").stdout)["labels"] == 2
        with psycopg.connect(database_uri) as conn:
            rows = conn.execute("select question, entry_id is null, source from answer_labels order by 1").fetchall()
        assert rows == [("能刻字吗", False, "file"), ("运费呢", False, "file")]

    def test_enough_clean_labels_are_a_certificate(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md")
        lines = [{"query": "如何退款" + "?" * n, "gold_id": "如何退款?"} for n in range(1, 60)]
        write(Path("labels.jsonl"), *lines)
        facts = json.loads(kefu("calibrate", "--labels", "labels.jsonl", "--max-wrong", "0.05", "--json").stdout)
        assert (facts["is_certified"], facts["missing"], facts["answered"], facts["wrong"]) == (True, 0, 59, 0)
        assert facts["bound"] <= 0.05
        assert "at 95% confidence" in kefu("calibrate", "--max-wrong", "0.05").stdout
        told = kefu("calibrate", "--max-wrong", "0.02").stdout
        assert "not certified: 0 wrong of 59" in told
        assert "90 more judged answers" in told

    @pytest.mark.parametrize("with_labels", [False, True])
    def test_the_picture_is_a_png(self, kefu: Kefu, with_labels: bool) -> None:
        kefu("kb", "import", "shop.md")
        if with_labels:
            kefu("calibrate", "--labels", str(write(Path("l.jsonl"), {"query": "运费呢", "gold_id": "运费多少?"})))
        kefu("calibrate", "--plot", "r.png")
        assert Path("r.png").read_bytes().startswith(b"\x89PNG")

    def test_bad_files_are_bad_usage(self, kefu: Kefu) -> None:
        kefu("kb", "import", "shop.md")
        for arguments in (["--labels", "none.jsonl"], ["--plot", "missing/r.png"]):
            assert len(kefu("calibrate", *arguments, exit_code=2).stderr.splitlines()) == 1
        write(Path("l.jsonl"), {"query": "运费呢", "gold_id": "没有这条"})
        assert "kefu kb list" in kefu("calibrate", "--labels", "l.jsonl", exit_code=2).stderr
