"""The embedded PostgreSQL: one folder, one server, shared by processes, gone with the last of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from api.database import database
from api.embedded import embedded_postgres
from api.errors import DatabaseError

JOIN = """
import sys
from pathlib import Path
import psycopg
from api.embedded import embedded_postgres

with embedded_postgres(Path(sys.argv[1])) as uri:
    with psycopg.connect(uri) as conn:
        print(conn.execute("select pg_postmaster_start_time()::text").fetchone()[0])
        conn.execute("create table if not exists seen (note text)")
        conn.execute("insert into seen values ('child')")
        count = conn.execute("select count(*) from seen").fetchone()[0]
    print(count, flush=True)
    if sys.argv[2] == "stay":
        sys.stdin.read()
"""
NOBODY = 65534


def scalar(uri: str, statement: str) -> object:
    with psycopg.connect(uri) as conn:
        row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def postmaster(data_dir: Path) -> psutil.Process:
    pid = int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return psutil.Process(pid)


def is_alive(process: psutil.Process) -> bool:
    # In a container nobody may collect the dead.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def child(data_dir: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JOIN, str(data_dir), what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_share_a_server_and_data_survives_a_restart(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path) as uri:
        started = scalar(uri, "select pg_postmaster_start_time()::text")
        assert scalar(uri, "select count(*) from pg_available_extensions where name = 'vector'") == 1
        with child(tmp_path, "go") as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.splitlines() == [started, "1"]
        server = postmaster(tmp_path)
        assert is_alive(server)
    assert not is_alive(server)
    with embedded_postgres(tmp_path) as uri:
        assert scalar(uri, "select count(*) from seen") == 1
        assert scalar(uri, "select pg_postmaster_start_time()::text") != started


def test_a_killed_process_does_not_keep_the_server_alive(tmp_path: Path) -> None:
    with child(tmp_path, "stay") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][1] == "1\n"
        process.kill()
    server = postmaster(tmp_path)
    assert is_alive(server)
    with embedded_postgres(tmp_path) as uri:
        assert scalar(uri, "select count(*) from seen") == 1
        assert postmaster(tmp_path) == server
    assert not is_alive(server)


def test_a_process_that_leaves_first_leaves_the_server_to_the_others(tmp_path: Path) -> None:
    with child(tmp_path, "stay") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][1] == "1\n"
        with embedded_postgres(tmp_path):
            server = postmaster(tmp_path)
        assert is_alive(server)
        process.communicate("", timeout=60)
    assert process.returncode == 0
    assert not is_alive(server)


@pytest.mark.parametrize("obstacle", ["file", "other version", "foreign files"])
def test_an_unusable_folder_is_one_clear_line(tmp_path: Path, obstacle: str) -> None:
    folder = tmp_path / "data" / "postgres"
    if obstacle == "file":
        (tmp_path / "data").write_text("here already")
    else:
        folder.mkdir(parents=True)
        name, text = ("PG_VERSION", "9\n") if obstacle == "other version" else ("notes.txt", "mine")
        (folder / name).write_text(text)
    with (
        pytest.raises(DatabaseError, match=r"did not start in .*data.*choose another KEFU_DATA_DIR"),
        embedded_postgres(tmp_path / "data"),
    ):
        pass


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder outside pytest's own, which other users cannot enter, owned by the user the child runs as."""
    folder = Path(tempfile.mkdtemp(prefix="kefu-test-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_the_server_runs_for_a_user_who_is_not_root(own_folder: Path) -> None:
    # The interpreter may lie where only root can read, so everything is imported before.
    become = f"""
import encodings.idna, os
import api.embedded, psycopg
psycopg.conninfo.conninfo_to_dict("host=x")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
assert os.geteuid() != 0
"""
    environment = {**os.environ, "TMPDIR": str(own_folder), "XDG_RUNTIME_DIR": str(own_folder), "HOME": str(own_folder)}
    done = subprocess.run(
        [sys.executable, "-c", become + JOIN, str(own_folder), "go"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "1"
    assert (own_folder / "postgres" / "PG_VERSION").stat().st_uid == (NOBODY if os.geteuid() == 0 else os.geteuid())
    assert not (own_folder / "postgres" / "postmaster.pid").exists()


def test_a_configured_server_is_used_as_it_is(tmp_path: Path) -> None:
    with database(SecretStr("postgresql://somewhere/kefu"), tmp_path) as conninfo:
        assert conninfo == "postgresql://somewhere/kefu"
    assert list(tmp_path.iterdir()) == []


def test_without_a_configured_server_the_embedded_one_is_used(tmp_path: Path) -> None:
    with database(None, tmp_path / "data") as conninfo:
        assert scalar(conninfo, "select 1") == 1
