"""An error in the log tells where it was, and not what a customer wrote."""

from __future__ import annotations

import logging

import pydantic
import pytest

from api.log_config import configure_logging
from api.observability.tracebacks import traceback_of
from api.settings import ServiceSettings

WORDS = "我的电话 my secret words"


class Words(pydantic.BaseModel):
    number: int


def fail(value: str) -> None:
    Words(number=value)


def written(error: BaseException) -> str:
    return traceback_of((type(error), error, error.__traceback__))


def test_what_a_library_quotes_is_left_out_and_the_place_is_not() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        fail(WORDS)
    text = written(caught.value)
    assert "secret words" in str(caught.value)
    assert "secret words" not in text
    assert "in fail" in text
    assert text.endswith("1 validation error for Words")


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (KeyError("turn"), "builtins.KeyError: 'turn'"),
        (ValueError("bad 姓名张三 here"), "builtins.ValueError: bad … here"),
        (ValueError("null value\nDETAIL: Failing row contains (1, hello)"), "builtins.ValueError: null value"),
        (ValueError(), "builtins.ValueError"),
    ],
)
def test_only_the_first_line_is_told_and_nothing_in_chinese(error: Exception, last: str) -> None:
    assert written(error).splitlines()[-1] == last


def test_what_led_to_it_and_every_part_of_a_group_are_told_once() -> None:
    first = ValueError("first")
    second = RuntimeError("second")
    second.__cause__ = first
    first.__cause__ = second
    lines = written(ExceptionGroup("several", [second, KeyError("third")])).splitlines()
    told = [line for line in lines if not line.startswith(" ")]
    assert told == [
        "builtins.ExceptionGroup: several (2 sub-exceptions)",
        "1 of 2:",
        "builtins.ValueError: first",
        "which led to:",
        "builtins.RuntimeError: second",
        "2 of 2:",
        "builtins.KeyError: 'third'",
    ]


def test_an_error_that_cannot_speak_is_told_by_its_kind() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert written(MuteError()).splitlines()[-1].endswith("MuteError")


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_log_writes_errors_so(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(ServiceSettings(_env_file=None, kefu_log_format=form))
    try:
        fail(WORDS)
    except pydantic.ValidationError:
        logging.getLogger("api.somewhere").exception("It failed")
    said = capsys.readouterr().err
    assert "secret words" not in said
    assert "1 validation error for Words" in said
    assert "in fail" in said
