"""The command line without a database: help on every level, usage errors, one-line failures, prompts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from api.cli import app, main
from prompts.loader import names

pytestmark = pytest.mark.usefixtures("clean_environment")

COMMANDS = [
    [],
    ["serve"],
    ["worker"],
    ["demo"],
    ["chat"],
    ["doctor"],
    ["eval"],
    ["calibrate"],
    ["outbox"],
    ["outbox", "list"],
    ["outbox", "retry"],
    ["outbox", "drop"],
    ["retention"],
    ["retention", "run"],
    ["db"],
    ["db", "init"],
    ["db", "status"],
    ["kb"],
    ["kb", "import"],
    ["kb", "search"],
    ["kb", "list"],
    ["kb", "export"],
    ["kb", "delete"],
    ["prompts"],
    ["prompts", "check"],
    ["prompts", "preview"],
    ["unknown"],
    ["unknown", "list"],
    ["unknown", "export"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_on_every_level_explains_the_command(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize(
    "command",
    [
        ["no-such-command"],
        ["kb", "no-such-command"],
        ["kb", "import"],
        ["kb", "search"],
        ["kb", "search", "a", "--top-k", "0"],
        ["eval"],
        ["eval", "--kb", "a", "--queries", "b"],
        ["calibrate", "--labels"],
        ["kb", "delete"],
        ["kb", "export", "--format", "xml"],
        ["prompts", "preview"],
        ["serve", "--port", "99999"],
        ["serve", "--workers-inline", "-1"],
        ["worker", "--concurrency", "0"],
        ["unknown", "list", "--limit", "0"],
        ["db", "init", "--force"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_2(command: list[str]) -> None:
    assert CliRunner().invoke(app, command).exit_code == 2


def failed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["kefu", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    # A text as exit code is printed to standard error, and the process ends with 1.
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code
    return caught.value.code


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_WRONG_ANSWER_RATE", "7")
    for command in (["db", "init"], ["serve"], ["worker"], ["kb", "list"], ["unknown", "list"]):
        assert failed(monkeypatch, *command).startswith("kefu: MAX_WRONG_ANSWER_RATE: ")


def test_an_unreachable_database_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_DB_URL", "postgresql://kefu:s3cr3t@127.0.0.1:9/kefu")
    for command in (["db", "init"], ["db", "status"], ["kb", "list"]):
        line = failed(monkeypatch, *command)
        assert "PostgreSQL does not answer" in line
        assert "KB_DB_URL" in line
        assert "s3cr3t" not in line


def test_an_unknown_prompt_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no_such_prompt" in failed(monkeypatch, "prompts", "preview", "no_such_prompt")


def test_importing_a_missing_file_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "missing.md" in failed(monkeypatch, "kb", "import", "missing.md")


def test_a_failure_of_the_installed_command_shows_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "kb", "import", "missing.md"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kefu: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.app", interrupted)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130


def test_the_shipped_prompts_are_fine() -> None:
    result = CliRunner().invoke(app, ["prompts", "check"])
    assert (result.exit_code, result.output) == (0, f"{len(names())} prompts are fine\n")


def test_a_problem_in_a_prompt_is_listed_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.prompts.check_all", lambda: ["hold.md: is empty"])
    result = CliRunner().invoke(app, ["prompts", "check"])
    assert (result.exit_code, result.output) == (1, "hold.md: is empty\n")


@pytest.mark.parametrize("name", names())
def test_every_prompt_can_be_previewed(name: str) -> None:
    result = CliRunner().invoke(app, ["prompts", "preview", name])
    assert result.exit_code == 0
    assert result.output.strip()


def test_a_preview_shows_the_placeholders() -> None:
    assert "〔turn_id〕" in CliRunner().invoke(app, ["prompts", "preview", "desk_failure"]).output
