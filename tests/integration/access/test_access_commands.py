"""`kefu token` and `kefu console`, as operators type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from api.errors import AccessError
from api.settings import variable_names

Kefu = Callable[..., Result]


@pytest.fixture
def kefu(database_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kefu:
    """Run a command on the test's database; errors are the test's."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KB_DB_URL", database_uri)

    def run(*arguments: str, typed: str | None = None, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=typed, catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def test_a_token_is_shown_once_listed_and_revoked(kefu: Kefu) -> None:
    token = kefu("token", "create", "--name", "grafana", "--scope", "metrics:read", "--scope", "kb:read").stdout.strip()
    assert token.startswith("kefu_")
    assert "\n" not in token
    listed = kefu("token", "list").stdout
    assert "grafana" in listed
    assert "kb:read metrics:read" in listed
    assert "never used" in listed
    assert token not in listed
    row = json.loads(kefu("token", "list", "--json").stdout)
    assert (row["name"], row["last_used_at"]) == ("grafana", None)
    assert kefu("token", "revoke", "grafana").stdout == "revoked grafana\n"
    assert kefu("token", "list").stdout == ""
    log = [json.loads(line) for line in kefu("audit", "list", "--action", "token", "--json").stdout.splitlines()]
    assert [entry["action"] for entry in log] == ["token.revoked", "token.created"]
    assert all(entry["actor"].startswith("cli:") for entry in log)


def test_a_token_ends_after_90_days_unless_told_otherwise(kefu: Kefu) -> None:
    kefu("token", "create", "--name", "usual", "--scope", "kb:read")
    kefu("token", "create", "--name", "lasting", "--scope", "kb:read", "--days", "0")
    rows = {row["name"]: row for row in map(json.loads, kefu("token", "list", "--json").stdout.splitlines())}
    assert rows["usual"]["expires_at"] is not None
    assert rows["lasting"]["expires_at"] is None
    assert "never ends" in kefu("token", "list").stdout


def test_a_scope_that_is_none_is_said(kefu: Kefu) -> None:
    with pytest.raises(AccessError, match="there is no scope everything"):
        kefu("token", "create", "--name", "x", "--scope", "everything")
    kefu("token", "create", "--name", "x", exit_code=2)


def test_people_are_added_changed_and_removed_and_no_password_is_shown(kefu: Kefu, database_uri: str) -> None:
    added = kefu("console", "user", "add", "xiaoming", typed="first password\nfirst password\n")
    assert "first password" not in added.output
    kefu("console", "user", "add", "xiaohong", "--password-stdin", typed="second password\r\n")
    assert [line.split()[0] for line in kefu("console", "user", "list").stdout.splitlines()] == ["xiaohong", "xiaoming"]
    with psycopg.connect(database_uri) as conn:
        before = conn.execute("select password_hash from console_users where name = 'xiaoming'").fetchone()
        kefu("console", "user", "password", "xiaoming", "--password-stdin", typed="third password\n")
        conn.commit()
        assert conn.execute("select password_hash from console_users where name = 'xiaoming'").fetchone() != before
    kefu("console", "user", "remove", "xiaohong")
    rows = [json.loads(line) for line in kefu("console", "user", "list", "--json").stdout.splitlines()]
    assert [(row["name"], row["sessions"]) for row in rows] == [("xiaoming", 0)]
    assert "password_hash" not in rows[0]
    log = kefu("audit", "list", "--action", "console").stdout
    assert [log.count(word) for word in ("user_added", "password_changed", "user_removed")] == [2, 1, 1]


def test_a_short_password_and_two_that_differ_are_refused(kefu: Kefu) -> None:
    with pytest.raises(AccessError, match="8 to 1024"):
        kefu("console", "user", "add", "xiaoming", "--password-stdin", typed="short\n")
    kefu("console", "user", "add", "xiaoming", typed="first password\nsecond password\n", exit_code=1)
    assert kefu("console", "user", "list").stdout == ""


def test_a_console_password_that_is_too_short_stops_the_start(kefu: Kefu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_PASSWORD", "short")
    result = CliRunner().invoke(app, ["token", "list"])
    assert result.exit_code == 1
    assert str(result.exception).startswith("CONSOLE_PASSWORD: has not 8 to 1024 characters; example:")
    assert "short" not in str(result.exception)
