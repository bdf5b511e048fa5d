"""No secret stands in a log line, wherever it came from; what is no secret does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars

from api.log_config import configure_logging
from api.observability.masking import MASK, Masker, secrets_of
from api.settings import ServiceSettings, Settings, load_settings
from tools.settings import RedisSettings, WecomSettings

SECRET = "S3cr3tV4lue0001"

PLACES = [
    f"GET https://qyapi.weixin.qq.com/cgi-bin/kf/send_msg?access_token={SECRET}&debug=1",
    f"GET https://qyapi.weixin.qq.com/cgi-bin/gettoken?corpid=ww1&corpsecret={SECRET}",
    f"POST https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={SECRET}",
    f"POST https://api.telegram.org/bot123456789:{SECRET}/sendMessage",
    f"GET https://api.telegram.org/file/bot1:{SECRET}/photos/a.jpg",
    f"the token 123456789:{SECRET}-{SECRET}-{SECRET} was refused",
    f"postgresql://kefu:{SECRET}@db:5432/kefu",
    f"redis://:{SECRET}@cache:6379/0",
    f"postgresql://kefu:{SECRET}@ss@db/kefu",
    f"Authorization: Bearer {SECRET}",
    f"authorization='Bearer {SECRET}'",
    f"{{'api_key': '{SECRET}', 'model': 'm'}}",
    f'{{"access_token":"{SECRET}","errcode":0}}',
    f"Incorrect API key provided: sk-{SECRET}",
    f"x-api-key: lsv2_pt_{SECRET}",
    f"Job pull[3](account_id='wk1', token='{SECRET}') ended with status: Error",
    f"NOTIFICATION_CHANNEL=wecom-webhook:{SECRET},telegram:-100",
    f"welcome_code={SECRET}",
    f"password = {SECRET}",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_is_masked_where_it_stands(text: str) -> None:
    masked = Masker().text(text)
    assert SECRET not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "WeCom kf/send_msg: 40001 invalid credential — wrong secret; compare WECOM_KF_SECRET with the console",
        "keyboard: 3 keys, monkey=1",
        "tokens used, 4",
        "TELEGRAM_BOT_TOKEN: missing; copy it again from @BotFather (/token)",
        "GET /wecom/callback 200 in 3.1 ms",
        "postgresql://kefu@db:5432/kefu",
        "wecom:wk1:wm1",
        "at 2026-11-22T10:00:00+00:00",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert Masker().text(text) == text


def test_a_known_secret_is_masked_in_any_words() -> None:
    masker = Masker([SECRET, "short"])
    assert masker.text(f"he said {SECRET}!") == f"he said {MASK}!"
    assert masker.text("shorter") == "shorter"


def test_the_longer_of_two_known_secrets_is_masked_whole() -> None:
    assert Masker(["abcdef", "abcdefgh"]).text("abcdefgh") == MASK


def test_facts_are_masked_by_name_and_inside() -> None:
    event = {
        "event": "It failed",
        "token": "anything",
        "wecom_token": "x",
        "message_key": "k1",
        "input_tokens": 3,
        "count": 2,
        "ok": True,
        "nothing": None,
        "job": {"task": "pull", "args": {"token": SECRET, "urls": [f"http://h/?key={SECRET}"]}},
        "error": ValueError(f"no: secret={SECRET}"),
    }
    masked = Masker()(None, "", event)
    assert SECRET not in str(masked)
    assert (masked["token"], masked["wecom_token"]) == (MASK, MASK)
    assert (masked["message_key"], masked["input_tokens"], masked["count"]) == ("k1", 3, 2)
    assert (masked["ok"], masked["nothing"]) == (True, None)
    assert masked["job"]["task"] == "pull"  # type: ignore[index]


def test_every_secret_of_the_settings_is_known() -> None:
    settings = Settings(
        service=ServiceSettings(
            _env_file=None,
            kb_db_url=SecretStr("postgresql://kefu:p%40ssw0rd@db/kefu"),
            api_token=SecretStr("api-token-0001"),
        ),
        wecom=WecomSettings(
            _env_file=None,
            wecom_corp_id="ww1",
            wecom_agent_secret=SecretStr("agent-secret-1"),
            wecom_token=SecretStr("callback-token"),
            wecom_encoding_aes_key=SecretStr("k" * 43),
        ),
        redis=RedisSettings(_env_file=None, redis_url=SecretStr("redis://:r3dis-pass@h:6379/0")),
    )
    assert {
        "api-token-0001",
        "agent-secret-1",
        "callback-token",
        "k" * 43,
        "p%40ssw0rd",
        "p@ssw0rd",
        "r3dis-pass",
    } <= secrets_of(settings)


@pytest.mark.usefixtures("clean_environment")
def test_without_secrets_there_are_none() -> None:
    assert secrets_of(load_settings()) == frozenset()


class TestLogging:
    @pytest.fixture(autouse=True)
    def _restored_logging(self) -> Iterator[None]:
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        yield
        root.handlers[:] = handlers
        root.setLevel(level)

    @pytest.mark.parametrize("style", ["json", "console"])
    @pytest.mark.parametrize("name", ["api.x", "httpx", "httpcore.http11", "uvicorn.error", "procrastinate.worker"])
    def test_no_logger_writes_a_secret(self, capsys: pytest.CaptureFixture[str], style: str, name: str) -> None:
        settings = ServiceSettings(_env_file=None, kefu_log_format=style)
        configure_logging(settings, secrets=[SECRET])
        logger = logging.getLogger(name)
        try:
            raise ValueError(f"the key {SECRET} is wrong")  # noqa: TRY301 -- the traceback is what is looked at
        except ValueError:
            logger.exception("Refused %s", f"https://h/?access_token={SECRET}", extra={"url": f"bot1:{SECRET}"})
        written = capsys.readouterr().err
        assert "Refused" in written
        assert "ValueError" in written
        assert SECRET not in written

    def test_ids_that_are_bound_stand_on_the_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging(ServiceSettings(_env_file=None, kefu_log_format="json"))
        with bound_contextvars(turn_id="t1", thread_id="wecom:a:b"):
            logging.getLogger("api.x").warning("Inside", extra={"action": "a", "thread_id": "wecom:c:d"})
        logging.getLogger("api.x").warning("Outside")
        inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
        assert (inside["turn_id"], inside["thread_id"]) == ("t1", "wecom:c:d")
        assert "turn_id" not in outside
