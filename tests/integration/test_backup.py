"""`deploy/backup.sh` and `deploy/restore.sh`: nothing lost, nothing doubled, nothing overwritten by mistake."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.database import open_pool
from api.embedded import embedded_postgres
from api.job_queue import JobQueue
from api.migrate import migrate
from api.settings import variable_names
from kb.bundled import BundledEmbedder

DEPLOY = Path(__file__).parents[2] / "deploy"
COUNTS = """
select (select count(*) from inbox) as inbox, (select count(*) from outbox) as outbox,
       (select count(*) from tickets) as tickets, (select count(*) from unknown_questions) as questions,
       (select count(*) from checkpoints) as checkpoints, (select count(*) from audit_log) as audits,
       (select count(*) from procrastinate_jobs) as jobs
"""
ENTRY = """
insert into knowledge_chunks (content, embedding_model, embedding) values ('问：几点下班？ 答：六点。', %s, %s::vector)
"""
OPEN = "select ticket_id from tickets where closed_at is null"
ANSWERS = ["在订单页申请。", "稍等一下", "可以刻字。", "六点。"]


@dataclass
class Result:
    code: int
    output: str
    error: str


Script = Callable[..., Result]


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """Another machine's PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="kefu-test-") as folder, embedded_postgres(Path(folder)) as uri:
        yield uri


@pytest.fixture
def other_uri(other_server: str) -> Iterator[str]:
    """An empty database there."""
    with psycopg.connect(other_server, autocommit=True) as conn:
        conn.execute("create database restored")
        yield f"postgresql://postgres@/restored?host={conn.info.host}"
        conn.execute("drop database restored with (force)")


@pytest.fixture
def kefu(tmp_path: Path) -> Path:
    """The command, as it is installed."""
    program = tmp_path / "kefu"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m api.cli "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def script(postgres_uri: str, tmp_path: Path) -> Script:
    """Run a script on a database, with the programs of its server."""
    with psycopg.connect(postgres_uri) as conn:
        row = conn.execute("select setting from pg_config where name = 'BINDIR'").fetchone()
    assert row is not None
    inherited = {name: value for name, value in os.environ.items() if name not in set(variable_names())}

    def run(name: str, uri: str, *arguments: str | Path, **variables: str) -> Result:
        environment = {**inherited, "PG_BIN": row[0], "KB_DB_URL": uri, "KEFU": "", **variables}
        command = ["bash", DEPLOY / name, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return Result(code=done.returncode, output=done.stdout, error=done.stderr)

    return run


@pytest.fixture
async def backup(works: Any, database_uri: str, script: Script, tmp_path: Path) -> Path:
    """One backup of a shop with a conversation."""
    await works.customer("能刻字吗?")
    assert (script("backup.sh", database_uri, tmp_path / "backups")).code == 0
    (made,) = (tmp_path / "backups").glob("*.dump")
    return made


@asynccontextmanager
async def shop_on(uri: str, like: Any) -> AsyncIterator[Any]:
    """The same shop, started on another database; channel and desk are the world's and stay."""
    queue = JobQueue()
    async with open_pool(uri, size=10) as pool, queue.app.open_async(pool):
        made = type(like)(pool, queue)
        made.knowledge.entries = like.knowledge.entries
        made.jobs.register()
        yield made


def tables_in(uri: str) -> int:
    with psycopg.connect(uri) as conn:
        row = conn.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


async def test_a_conversation_goes_on_after_a_restore_with_nothing_lost_and_nothing_doubled(
    works: Any, database_uri: str, other_uri: str, script: Script, kefu: Path
) -> None:
    works.knowledge.entries = {"怎么退款?": "在订单页申请。", "几点下班?": "六点。"}
    await works.run(ENTRY, BundledEmbedder().model_id, str([1.0] + [0.0] * 383))
    asked, late = works.message("能刻字吗?", "asked"), works.message("在吗", "late")
    await works.customer("怎么退款?")
    await works.store(asked)
    await works.work()
    # Left in the middle: a message nobody read yet, and words that are not sent yet.
    await works.store(late)
    await works.outbox.say(works.thread(), "t-before", "human", "稍等一下")
    (before,) = await works.rows(COUNTS)
    (waiting,) = await works.rows(OPEN)

    backed_up = script("backup.sh", database_uri, kefu.parent)
    assert (backed_up.code, backed_up.error) == (0, "")
    restored = script("restore.sh", other_uri, backed_up.output.split()[0], KEFU=str(kefu))
    assert restored.code == 0, restored.output + restored.error
    assert "the database is up to date" in restored.output
    assert "✓ knowledge base" in restored.output

    async with shop_on(other_uri, works) as shop:
        assert await shop.rows(COUNTS) == [before]
        # WeCom tells again what it told before.
        await shop.store(asked, late)
        assert await shop.rows("select count(*) as n from inbox") == [{"n": before["inbox"]}]
        await shop.work()
        assert shop.channel.texts == ["稍等一下"]
        assert [text for _, text in shop.desk.lines if "在吗" in text] == ["在吗"]
        await shop.agent("可以刻字。")
        assert await shop.rows(OPEN) == [waiting]
        await shop.agent("", action="done")
        assert await shop.rows(OPEN) == []
        await shop.store(shop.message("几点下班?", "new"))
        await shop.work()
        assert await shop.rows("select 1 from inbox where handled_at is null") == []
        sent = [*works.channel.sent, *shop.channel.sent]
        answers = [message.text for message in sent if message.text in ANSWERS]
        assert answers == ANSWERS
        assert len({message.key for message in sent}) == len(sent)


def test_what_comes_after_a_restore_is_told_when_it_fails(
    backup: Path, other_uri: str, script: Script, kefu: Path
) -> None:
    kefu.write_text('#!/bin/sh\n[ "$1" = db ]\n')
    restored = script("restore.sh", other_uri, backup, KEFU=str(kefu))
    assert (restored.code, "mend what kefu doctor names" in restored.error) == (1, True)
    assert tables_in(other_uri) > 0


def test_a_base_in_use_is_never_overwritten(backup: Path, database_uri: str, script: Script) -> None:
    refused = script("restore.sh", database_uri, backup)
    assert refused.code == 1
    assert "not empty" in refused.error
    assert "--force" in refused.error
    forced = script("restore.sh", database_uri, "--force", backup)
    assert forced.code == 1
    assert "stop kefu first" in forced.error


def test_with_force_everything_is_replaced(backup: Path, other_uri: str, script: Script) -> None:
    asyncio.run(migrate(other_uri))
    with psycopg.connect(other_uri) as conn:
        conn.execute("create table left_over (id int)")
        conn.execute("insert into accounts (account_id) values ('old')")
    assert (script("restore.sh", other_uri, backup)).code == 1
    forced = script("restore.sh", other_uri, "--force", backup)
    assert forced.code == 0, forced.error
    with psycopg.connect(other_uri) as conn:
        assert conn.execute("select account_id from accounts").fetchall() == [("wk1",)]
        assert conn.execute("select to_regclass('left_over')").fetchone() == (None,)


def test_a_damaged_backup_is_refused(backup: Path, other_uri: str, script: Script) -> None:
    backup.write_bytes(backup.read_bytes()[:-200])
    refused = script("restore.sh", other_uri, backup)
    assert (refused.code, "its checksum differs" in refused.error) == (1, True)
    assert tables_in(other_uri) == 0


def test_a_restore_that_breaks_off_changes_nothing(backup: Path, other_uri: str, script: Script) -> None:
    """A file that was cut before its checksum was made fails in the middle of the restore."""
    cut = backup.read_bytes()[: -len(backup.read_bytes()) // 4]
    backup.write_bytes(cut)
    backup.with_name(f"{backup.name}.sha256").write_text(f"{hashlib.sha256(cut).hexdigest()}  {backup.name}\n")
    asyncio.run(migrate(other_uri))
    had = tables_in(other_uri)
    broken = script("restore.sh", other_uri, "--force", backup)
    assert (broken.code, "nothing was changed" in broken.error) == (1, True)
    assert tables_in(other_uri) == had > 0


def test_the_newest_backups_stay_and_no_stranger_s_file_goes(backup: Path, database_uri: str, script: Script) -> None:
    folder = backup.parent
    for day in range(1, 5):
        for suffix in ("", ".sha256"):
            (folder / f"kefu-2020010{day}T000000Z.dump{suffix}").write_text("old")
    backup.rename(folder / "kefu-20200105T000000Z.dump")
    backup.with_name(f"{backup.name}.sha256").rename(folder / "kefu-20200105T000000Z.dump.sha256")
    (folder / "mine.dump").write_text("mine")
    made = script("backup.sh", database_uri, folder, KEFU_BACKUP_KEEP="3")
    assert made.code == 0, made.error
    names = sorted(path.name for path in folder.glob("*.dump"))
    assert names[:2] == ["kefu-20200104T000000Z.dump", "kefu-20200105T000000Z.dump"]
    assert names[3:] == ["mine.dump"]
    assert len(list(folder.glob("*.sha256"))) == 3
    assert {path.stat().st_mode & 0o077 for path in folder.glob(f"{names[2]}*")} == {0}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KB_DB_URL": ""}, "KB_DB_URL: missing"),
        ({"KB_DB_URL": "mysql://x"}, "KB_DB_URL: is not a PostgreSQL URL"),
        ({"KB_DB_URL": "postgresql://kefu@127.0.0.1:1/kefu"}, "the database does not answer"),
        ({"KEFU_BACKUP_KEEP": "0"}, "KEFU_BACKUP_KEEP: '0' is not a number above 0"),
    ],
)
def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(
    variables: dict[str, str], said: str, database_uri: str, script: Script, tmp_path: Path
) -> None:
    failed = script("backup.sh", database_uri, tmp_path / "backups", **variables)
    assert failed.code == 1
    assert said in failed.error
    assert list(tmp_path.glob("backups/*")) == []


def test_an_empty_base_is_no_backup(empty_database_uri: str, script: Script, tmp_path: Path) -> None:
    failed = script("backup.sh", empty_database_uri, tmp_path / "backups")
    assert (failed.code, "no tables of kefu" in failed.error) == (1, True)
    assert list(tmp_path.glob("backups/*")) == []


def test_no_command_line_shows_the_password() -> None:
    show = f'. "{DEPLOY}/postgres.sh"; find_database; printf "%s|%s" "$base" "$PGPASSWORD"'
    environment = {
        "PATH": os.environ["PATH"],
        "KB_DB_URL": "postgresql://kefu:p%40ss%25w\\rd@db:5432/kefu?sslmode=require",
    }
    output = subprocess.check_output(["bash", "-c", show], env=environment, text=True)
    assert output == "postgresql://kefu@db:5432/kefu?sslmode=require|p@ss%w\\rd"
