"""`kefu outreach` as people use it: what it prints, and one clear line for each mistake."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.errors import ApiError


@pytest.fixture
def call(database_uri, clean_environment, monkeypatch):
    """Run a command without WeCom; errors come as `kefu: …`."""
    monkeypatch.setenv("KB_DB_URL", database_uri)

    def run(*arguments):
        result = CliRunner().invoke(app, ["outreach", *arguments])
        told = f"kefu: {result.exception}" if isinstance(result.exception, ApiError) else ""
        return result.exit_code, result.stdout, told

    return run


def test_a_campaign_is_made_listed_and_looked_at(call):
    code, said, _ = call("create", "spring", "--text", "新品到店", "--active-days", "30", "--from", "2026-03-04")
    assert (code, "next: kefu outreach preview spring" in said) == (0, True)
    code, said, _ = call("list", "--json")
    listed = json.loads(said)
    assert (code, listed["name"], listed["state"], listed["holdout"]) == (0, "spring", "draft", 10)
    code, said, _ = call("preview", "spring", "--all")
    assert code == 0
    assert "wrote within 30 days, 0 people" in said
    assert "退订" in said
    assert "spring is draft, nothing is sent; see `kefu outreach approve spring" in call("run", "spring")[2]
    code, said, _ = call("report", "spring")
    assert (code, "No comparison" in said) == (0, True)
    assert call("cancel", "spring")[0] == 0
    assert "cancelled" in call("list")[1]


def test_opting_out_by_hand_and_back(call):
    assert call("opt-out", "wm1", "--words", "电话")[:2] == (0, "wm1 gets no campaigns\n")
    assert "opted out already" in call("opt-out", "wm1", "--words", "电话")[2]
    assert call("opt-in", "wm1", "--words", "邮件")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("create", "a"), "for whom?"),
        (("create", "a", "--tag", "x", "--text", "{nick}"), "unknown placeholder nick"),
        (("create", " a", "--tag", "x"), "the name should be"),
        (("create", "a", "--tag", "x", "--holdout", "91"), "0 to 90 percent"),
        (("create", "a", "--active-days", "0"), "is not 1 to"),
        (("create", "a", "--tag", "x", "--from", "2026-03-04", "--until", "2026-03-03"), "--until must be after"),
        (("create", "a", "--tag", "x", "--file", "none.md"), "none.md: cannot be read"),
        (("approve", "a", "--by", "王"), "there is no campaign 'a'"),
        (("run", "a"), "there is no campaign 'a'"),
        (("resolve", "7", "--not-created", "--by", "王"), "none of this number"),
    ],
)
def test_a_mistake_is_told_in_one_line(call, arguments, line):
    code, _, told = call(*arguments)
    assert code == 1
    assert line in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "a", "--tag", "x", "--from", "tomorrow"),
        ("create", "a", "--tag", "x", "--text", "y", "--file", "z"),
        ("resolve", "7", "--by", "王"),
        ("resolve", "7", "--by", "王", "--msgid", "m", "--not-created"),
        ("approve", "a"),
    ],
)
def test_bad_usage_is_refused_as_such(call, arguments):
    assert call(*arguments)[0] == 2
