"""The settings in effect: each with where it comes from, secrets masked, slips of the pen named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.effective import effective, masked, unknown_variables, warn_of_unknown
from api.settings import load_settings, variable_names

SLIP = "KEFU_BRUST_SECONDS is not a setting; did you mean KEFU_BURST_SECONDS?"
AES_KEY = "k" * 43
SECRETS = {
    "API_TOKEN": "hush-api-token-0123456789",
    "KB_DB_URL": "postgresql://kefu:hush-password@127.0.0.1:5432/kefu",
    "REDIS_URL": "redis://:hush-redis@127.0.0.1:6379/0",
    "LLM_API_KEY": "hush-llm",
    "EMBEDDING_API_KEY": "hush-embedding-key-0123456789",
    "RERANK_API_KEY": "hush-rerank-key-0123456789",
    "SPEECH_API_KEY": "hush-speech-key-0123456789",
    "TELEGRAM_BOT_TOKEN": "4242:hush-telegram-token-0123456789",
    "TELEGRAM_WEBHOOK_SECRET": "hush-webhook-0123456789",
    "NOTIFICATION_CHANNEL": "telegram:-100,wecom-webhook:hush-0123456789",
    "LLM_API_BASE": "https://user:hush-basic@llm.example.com/v1",
    "TELEGRAM_WEBHOOK_URL": "https://kefu.example.com/telegram/webhook?token=hush-query",
    "WECOM_CORP_ID": "ww1",
    "WECOM_AGENT_SECRET": "hush-agent-secret-0123456789",
    "WECOM_TOKEN": "hush-token",
    "WECOM_ENCODING_AES_KEY": AES_KEY,
}


@pytest.fixture(autouse=True)
def env_file(clean_environment: Path) -> Path:
    """Where `.env` would be."""
    return clean_environment / ".env"


def shown() -> dict[str, tuple[str, str]]:
    return {variable.name: (variable.value, variable.origin) for variable in effective(load_settings())}


def lines() -> list[str]:
    return [unknown.line for unknown in unknown_variables()]


def test_every_setting_is_listed_once_under_its_own_name() -> None:
    names = [variable.name for variable in effective(load_settings())]
    assert sorted(names) == sorted(set(variable_names()) - {"WECOM_AES_KEY"})


def test_it_is_told_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("KB_TOP_K=7\nKEFU_LOG_LEVEL=ERROR\nKEFU_COMPANY=\n", encoding="utf-8")
    monkeypatch.setenv("KEFU_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("KEFU_TIMEZONE", "")
    found = shown()
    assert found["KB_TOP_K"] == ("7", ".env")
    assert found["KEFU_LOG_LEVEL"] == ("DEBUG", "environment")
    assert found["KEFU_COMPANY"] == ("", "default")
    assert found["KEFU_TIMEZONE"] == ("Asia/Shanghai", "default")


def test_what_is_set_by_its_other_name_is_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name.replace("WECOM_ENCODING_AES_KEY", "WECOM_AES_KEY"), value)
    assert shown()["WECOM_ENCODING_AES_KEY"] == ("******kk", "environment")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["config", "show", *arguments])
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert AES_KEY[:3] not in result.output
    assert result.output.count("******") == len(SECRETS) - 1
    assert "telegram:-100" in result.output


def test_only_the_end_of_a_long_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "0123456789abcdef")
    monkeypatch.setenv("LLM_API_KEY", "0123456789abcde")
    found = shown()
    assert found["API_TOKEN"][0] == "******ef"
    assert found["LLM_API_KEY"][0] == "******"
    assert masked(None) == ""


def test_a_slip_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines() == []
    monkeypatch.setenv("KEFU_BRUST_SECONDS", "5")
    monkeypatch.setenv("KEFU_SOMETHING_OF_SOMEBODY_ELSE", "1")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("API_TOKN", "not ours to look at")
    assert lines() == [SLIP]


def test_every_line_of_the_file_that_nobody_reads_is_named(env_file: Path) -> None:
    env_file.write_text("API_TOKN=hush\nSHOP=1\nLANGSMITH_API_KEY=hush\nKB_TOP_K=5\nEMPTY=\n", encoding="utf-8")
    assert lines() == [
        "API_TOKN is not a setting; did you mean API_TOKEN?",
        "SHOP is not a setting; nothing reads it",
    ]


def test_the_log_says_so_at_the_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("KEFU_BRUST_SECONDS", "hush")
    with caplog.at_level(logging.WARNING, logger="api.effective"):
        warn_of_unknown()
    assert [record.getMessage() for record in caplog.records] == [SLIP]


def test_a_wrong_variable_is_named_and_its_group_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_TOP_K", "0")
    monkeypatch.setenv("KEFU_BRUST_SECONDS", "5")
    result = CliRunner().invoke(app, ["config", "show", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert "KB_TOP_K" in told["wrong"][0]
    assert [each["meant"] for each in told["unknown"]] == ["KEFU_BURST_SECONDS"]
    names = [each["name"] for each in told["settings"]]
    assert "KEFU_BURST_SECONDS" in names
    assert "MAX_WRONG_ANSWER_RATE" not in names
    plain = CliRunner().invoke(app, ["config", "show"])
    assert SLIP in plain.stderr
    assert "KB_TOP_K" in plain.stderr


def test_a_file_in_another_encoding_is_one_line(env_file: Path) -> None:
    env_file.write_bytes("# 设置\nAPI_TOKEN=hush\n".encode("gbk"))
    result = CliRunner().invoke(app, ["config", "show"])
    assert result.exit_code == 1
    assert str(result.exception).startswith(".env: is not UTF-8")
