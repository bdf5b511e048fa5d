"""One line an event, facts beside the message, chatty libraries kept quiet."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from api.log_config import QUIET, configure_logging
from api.settings import ServiceSettings

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def logged(capsys: pytest.CaptureFixture[str], **settings: Any) -> str:
    configure_logging(ServiceSettings(**settings))
    logger = logging.getLogger("api.something")
    logger.debug("too quiet")
    try:
        int("被拒绝")
    except ValueError:
        logger.exception("It failed", extra={"action": "it_failed", "thread_id": "wecom:a:b"})
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_json_lines_carry_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(capsys, kefu_log_format="json").splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["event"] == "It failed"
    assert (line["action"], line["thread_id"]) == ("it_failed", "wecom:a:b")
    assert (line["level"], line["logger"]) == ("error", "api.something")
    assert "被拒绝" in line["exception"]
    assert "timestamp" in line


def test_console_lines_carry_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    text = logged(capsys)
    assert "It failed" in text
    assert "action=it_failed" in text
    assert "too quiet" not in text


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "too quiet" in logged(capsys, kefu_log_level="DEBUG")


@pytest.mark.parametrize("name", QUIET)
def test_libraries_that_log_urls_stay_quiet(capsys: pytest.CaptureFixture[str], name: str) -> None:
    configure_logging(ServiceSettings(kefu_log_level="DEBUG"))
    logging.getLogger(name).info("GET https://api.telegram.org/bot123:abc/getMe")
    assert "123:abc" not in capsys.readouterr().err
