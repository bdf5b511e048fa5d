"""A variable that is set but wrong stops the start with one line; no secret is ever shown."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.settings import load_settings, variable_names
from tools.errors import ConfigurationError

AES_KEY = "k" * 43
WECOM = {
    "WECOM_CORP_ID": "ww1",
    "WECOM_AGENT_SECRET": "agent-s3cr3t",
    "WECOM_TOKEN": "t0k3n",
    "WECOM_ENCODING_AES_KEY": AES_KEY,
}

pytestmark = pytest.mark.usefixtures("clean_environment")


def setenv(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_nothing_set_is_a_complete_configuration() -> None:
    settings = load_settings()
    assert not settings.wecom.is_configured
    assert settings.telegram.chat_id is None
    assert settings.service.kb_db_url is None
    assert settings.kb.max_wrong_answer_rate == 0.02
    assert settings.wecom.wecom_api_base == "https://qyapi.weixin.qq.com/cgi-bin/"


@pytest.mark.parametrize(
    ("variables", "named", "said"),
    [
        ({**WECOM, "WECOM_ENCODING_AES_KEY": "k" * 42}, "WECOM_ENCODING_AES_KEY", "43 letters and digits"),
        ({**WECOM, "WECOM_ENCODING_AES_KEY": "!" * 43}, "WECOM_ENCODING_AES_KEY", "43 letters and digits"),
        ({"WECOM_CORP_ID": "ww1"}, "WECOM_TOKEN", "missing"),
        ({"WECOM_TOKEN": "t"}, "WECOM_CORP_ID", "WECOM_AGENT_SECRET (or WECOM_KF_SECRET)"),
        ({"WECOM_AGENT_ID": "one"}, "WECOM_AGENT_ID", "integer"),
        ({**WECOM, "KEFU_APP_CHANNEL": "on"}, "WECOM_AGENT_ID", "KEFU_APP_CHANNEL is on"),
        ({"KEFU_APP_CHANNEL": "on"}, "WECOM_CORP_ID, WECOM_AGENT_ID, WECOM_AGENT_SECRET", "missing"),
        ({"KEFU_APP_CHANNEL": "maybe"}, "KEFU_APP_CHANNEL", "boolean"),
        ({"WECOM_API_BASE": "qyapi"}, "WECOM_API_BASE", "https://qyapi.weixin.qq.com/cgi-bin/"),
        ({"NOTIFICATION_CHANNEL": "telegram:abc"}, "NOTIFICATION_CHANNEL", "telegram:-1001234567890"),
        ({"NOTIFICATION_CHANNEL": "mail:me"}, "NOTIFICATION_CHANNEL", "telegram:-1001234567890"),
        ({"NOTIFICATION_CHANNEL": "wecom:ann"}, "WECOM_CORP_ID", "names WeCom members"),
        ({"NOTIFICATION_CHANNEL": "wecom:ann", **WECOM}, "WECOM_AGENT_ID", "WECOM_AGENT_ID=1000002"),
        ({"NOTIFICATION_CHANNEL": "wecom:|"}, "NOTIFICATION_CHANNEL", "wecom:zhangsan|lisi"),
        ({"NOTIFICATION_CHANNEL": "telegram:1,telegram:2"}, "NOTIFICATION_CHANNEL", "give one chat"),
        ({"NOTIFICATION_CHANNEL": "wecom-webhook:https://x/?key=1"}, "NOTIFICATION_CHANNEL", "what follows key="),
        ({"NOTIFICATION_CHANNEL": "telegram:-1"}, "TELEGRAM_BOT_TOKEN", "@BotFather"),
        ({"TELEGRAM_MODE": "push"}, "TELEGRAM_MODE", "'polling' or 'webhook'"),
        ({"TELEGRAM_MODE": "webhook"}, "TELEGRAM_WEBHOOK_SECRET", "openssl rand"),
        ({"TELEGRAM_WEBHOOK_SECRET": "a b"}, "TELEGRAM_WEBHOOK_SECRET", "A-Z a-z 0-9"),
        ({"TELEGRAM_API_BASE": "telegram"}, "TELEGRAM_API_BASE", "https://api.telegram.org"),
        ({"KB_DB_URL": "mysql://root@db/kefu"}, "KB_DB_URL", "postgresql://"),
        ({"KB_DB_URL": "postgresql://[::1/kefu"}, "KB_DB_URL", "postgresql://"),
        ({"KB_DB_URL": "postgresql://h/kefu?nonsense=1"}, "KB_DB_URL", "postgresql://"),
        ({"KEFU_LOG_LEVEL": "LOUD"}, "KEFU_LOG_LEVEL", "DEBUG|INFO"),
        ({"KEFU_LOG_FORMAT": "xml"}, "KEFU_LOG_FORMAT", "console|json"),
        ({"MAX_WRONG_ANSWER_RATE": "2"}, "MAX_WRONG_ANSWER_RATE", "less than 1"),
        ({"MAX_WRONG_ANSWER_RATE": "0"}, "MAX_WRONG_ANSWER_RATE", "greater than 0"),
        ({"KB_TOP_K": "0"}, "KB_TOP_K", "greater than or equal to 1"),
        ({"KB_SIMILARITY_THRESHOLD": "70"}, "KB_SIMILARITY_THRESHOLD", "less than or equal to 1"),
        ({"EMBEDDING_API_BASE": "api"}, "EMBEDDING_API_BASE", "https://"),
        ({"EMBEDDING_API_BASE": "http://127.0.0.1"}, "EMBEDDING_MODEL", "text-embedding"),
        ({"KEFU_HANDOFF_MODE": "loud"}, "KEFU_HANDOFF_MODE", "'silent', 'assist' or 'resume'"),
        ({"KEFU_HANDOFF_TELL_MINUTES": "0"}, "KEFU_HANDOFF_TELL_MINUTES", "greater than 0"),
        ({"KEFU_OFFICE_HOURS": "9-18"}, "KEFU_OFFICE_HOURS", "Mon-Fri 09:00-18:00"),
        ({"KEFU_TIMEZONE": "Shanghai"}, "KEFU_TIMEZONE", "Asia/Shanghai"),
        ({"KEFU_LLM_TIMEOUT_SECONDS": "0"}, "KEFU_LLM_TIMEOUT_SECONDS", "greater than 0"),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str, said: str
) -> None:
    setenv(monkeypatch, **variables)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    line = str(caught.value)
    assert named in line
    assert said in line
    assert "\n" not in line


def test_half_of_wecom_names_exactly_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, WECOM_CORP_ID="ww1", WECOM_KF_SECRET="kf-s3cr3t")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    missing = str(caught.value).split(": missing")[0]
    assert missing == "WECOM_TOKEN, WECOM_ENCODING_AES_KEY"


@pytest.mark.parametrize("name", ["API_TOKEN", "WECOM_TOKEN", "TELEGRAM_BOT_TOKEN", "LLM_API_KEY"])
@pytest.mark.parametrize("value", ["changeme", "CHANGE-ME", "your-token-here", "<token>", "xxxx"])
def test_a_placeholder_secret_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    setenv(monkeypatch, **{name: value})
    with pytest.raises(ConfigurationError, match=f"{name}: is still a placeholder"):
        load_settings()


def test_several_wrong_variables_of_a_group_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, KEFU_LOG_LEVEL="LOUD", KB_DB_URL="nonsense")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "KEFU_LOG_LEVEL" in str(caught.value)
    assert "KB_DB_URL" in str(caught.value)


def test_an_error_shows_no_secret_even_in_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, WECOM_CORP_ID="ww1", WECOM_TOKEN="hush-token", WECOM_AGENT_SECRET="hush-agent")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    setenv(monkeypatch, WECOM_ENCODING_AES_KEY="hush-key", KB_DB_URL="mysql://u:hush-password@h/d")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(
        monkeypatch,
        **WECOM,
        API_TOKEN="hush-api",
        KB_DB_URL="postgresql://u:hush-db@h/d",
        REDIS_URL="redis://:hush-redis@h",
        LLM_API_KEY="hush-llm",
        EMBEDDING_API_KEY="hush-embedding",
        TELEGRAM_BOT_TOKEN="hush-bot",
    )
    settings = load_settings()
    shown = repr(settings) + str(settings)
    assert "hush" not in shown
    assert "s3cr3t" not in shown
    assert AES_KEY not in shown


def test_the_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    (clean_environment / ".env").write_text("KB_TOP_K=7\nKEFU_LOG_LEVEL=ERROR\nUNKNOWN=1\n", encoding="utf-8")
    setenv(monkeypatch, KEFU_LOG_LEVEL="DEBUG")
    settings = load_settings()
    assert settings.kb.kb_top_k == 7
    assert settings.service.kefu_log_level == "DEBUG"


def test_a_dotenv_file_in_another_encoding_is_one_line(clean_environment: Path) -> None:
    (clean_environment / ".env").write_bytes("# 设置\nAPI_TOKEN=hush\n".encode("gbk"))
    with pytest.raises(ConfigurationError, match=r"\.env: is not UTF-8"):
        load_settings()


def test_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, **dict.fromkeys(variable_names(), ""))
    settings = load_settings()
    assert not settings.wecom.is_configured
    assert settings.service.kefu_data_dir == Path(".kefu")
    assert settings.telegram.telegram_mode == "polling"


def test_the_aes_key_has_an_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name: value for name, value in WECOM.items() if name != "WECOM_ENCODING_AES_KEY"}
    setenv(monkeypatch, **variables, WECOM_AES_KEY=AES_KEY)
    key = load_settings().wecom.wecom_encoding_aes_key
    assert key is not None
    assert key.get_secret_value() == AES_KEY


def test_the_kf_secret_falls_back_to_the_app_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, **WECOM)
    assert load_settings().wecom.kf_secret.get_secret_value() == "agent-s3cr3t"
    setenv(monkeypatch, WECOM_KF_SECRET="kf-s3cr3t")
    assert load_settings().wecom.kf_secret.get_secret_value() == "kf-s3cr3t"


def test_the_channels_are_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = " wecom-webhook:k3y-12345 , telegram:-100 ,wecom: ann | Bob.Li"
    setenv(monkeypatch, NOTIFICATION_CHANNEL=channels, TELEGRAM_BOT_TOKEN="1:a", WECOM_AGENT_ID="1000002", **WECOM)
    telegram = load_settings().telegram
    assert [channel.kind for channel in telegram.channels] == ["wecom-webhook", "telegram", "wecom"]
    assert (telegram.chat_id, telegram.members) == (-100, ("ann", "Bob.Li"))
    assert "k3y-12345" not in f"{load_settings()} {telegram.channels}"
    setenv(monkeypatch, NOTIFICATION_ENABLED="false")
    assert load_settings().telegram.channels == ()


def test_office_hours_are_in_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert load_settings().handoff.hours.is_open(noon)
    setenv(monkeypatch, KEFU_OFFICE_HOURS="Mon 09:00-18:00")
    assert not load_settings().handoff.hours.is_open(noon)
    setenv(monkeypatch, KEFU_TIMEZONE="UTC")
    assert load_settings().handoff.hours.is_open(noon)


def test_an_api_base_ends_with_one_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, WECOM_API_BASE="http://127.0.0.1:9/cgi-bin", TELEGRAM_API_BASE="http://127.0.0.1:9/")
    settings = load_settings()
    assert settings.wecom.wecom_api_base == "http://127.0.0.1:9/cgi-bin/"
    assert settings.telegram.telegram_api_base == "http://127.0.0.1:9"


def test_every_variable_is_listed_once() -> None:
    names = variable_names()
    assert len(names) == len(set(names))
    assert {"WECOM_AES_KEY", "KB_DB_URL", "KEFU_LLM_TIMEOUT_SECONDS", "REDIS_URL"} <= set(names)
