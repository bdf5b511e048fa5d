"""What a campaign says, and which texts it may not say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.outreach.words import TEXT_BYTES, check_text, text_for, text_for_staff
from api.settings import OutreachSettings, explain

TAIL = "（回复「退订」不再接收此类消息）"


def test_a_customer_is_called_by_name_and_told_how_to_refuse():
    assert text_for("{customer_name}您好，{company}上新", name="小明", company="小店") == f"小明您好，小店上新\n{TAIL}"


def test_a_text_that_says_how_to_refuse_is_left_as_it_is():
    assert text_for("八折，退订回复TD或「退订」", name="", company="") == "八折，退订回复TD或「退订」"


def test_staff_send_one_text_without_a_name():
    assert text_for_staff("{customer_name}您好", company="") == "您好"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("{nickname}您好", "unknown placeholder nickname"),
        ("{customer_name", "literal brace"),
        ("{customer_name}", "empty without the customer's name"),
        ("好" * 600, "1800 bytes"),
        ("{customer_name}" * 30 + "您好", "at most 2048"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(text, problem):
    assert problem in check_text(text, company="小店")


def test_no_name_makes_an_accepted_text_too_long():
    text = "{customer_name}" + "好" * 490
    assert check_text(text, company="小店") == ""
    assert len(text_for(text, name="\U0001f600" * 99, company="小店").encode()) <= TEXT_BYTES


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kefu_outreach_per_month", 29, "one message a day"),
        ("kefu_outreach_per_month", 0, "1 to 28"),
        ("kefu_outreach_quiet", "9pm", "21:00-09:00"),
    ],
)
def test_settings_beyond_the_platform_are_refused(name, value, words):
    with pytest.raises(ValidationError) as caught:
        OutreachSettings(_env_file=None, **{name: value})
    told = explain(caught.value)
    assert told.startswith(name.upper())
    assert words in told
