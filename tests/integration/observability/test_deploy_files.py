"""Dashboard and alerts name what is served, and can be read by what reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.observability.exposition import Exposition

DEPLOY = Path(__file__).parents[3] / "deploy"

FUNCTIONS = {"rate", "increase", "histogram_quantile", "sum", "max", "min", "by", "and", "or", "vector", "offset"}
TOKEN = re.compile(
    r"\s*(?:(?P<name>[a-z_][a-z0-9_:]*)|(?P<matchers>\{[^{}]*\})|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])"
    r"|(?P<number>\d+(?:\.\d+)?[smhd]?)|(?P<sign>[<>=!]=|[-+*/<>(),]))"
)
MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"([^"]*)"')


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana" / "kefu.json").read_text(encoding="utf-8"))


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def tokens(expression: str) -> list[tuple[str, str]]:
    """Split an expression; fails where nothing can be made of it."""
    found, place = [], 0
    while place < len(expression.rstrip()):
        match = TOKEN.match(expression, place)
        assert match, f"cannot read {expression[place:]!r} in {expression!r}"
        assert match.lastgroup is not None
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """List the metrics of an expression with the labels they are chosen by."""
    split, grouping = tokens(expression), False
    for number, (kind, text) in enumerate(split):
        if kind == "name" and text == "by":
            grouping = True
        elif text == ")":
            grouping = False
        elif kind == "name" and text not in FUNCTIONS and not grouping:
            follows = split[number + 1] if number + 1 < len(split) else ("", "")
            matchers = follows[1] if follows[0] == "matchers" else ""
            yield text, [(label, value) for label, _, value in MATCHER.findall(matchers)]


@pytest.fixture
async def served(talked, exposition: Exposition) -> dict[str, set[str]]:
    """The names of the samples that are served after a conversation, each with its labels."""
    families = text_string_to_metric_families((await exposition.text()).decode())
    names: dict[str, set[str]] = {"up": {"job"}}
    for family in families:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        for suffix in suffixes:
            labels = {label for sample in family.samples for label in sample.labels}
            names[family.name + suffix] = labels
    return names


async def test_every_metric_that_is_asked_for_is_served(served: Mapping[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name, _ in selectors(expression)}
    assert len(asked) > 25
    assert asked - set(served) == set()


async def test_every_label_that_is_asked_for_is_served(served: Mapping[str, set[str]]) -> None:
    # Families of what did not happen in the conversation have no samples yet, and so no labels.
    wrong = [
        (name, label)
        for expression in expressions()
        for name, matchers in selectors(expression)
        for label, _ in matchers
        if served[name] and label not in served[name]
    ]
    assert wrong == []


async def test_every_family_is_on_the_dashboard(served: Mapping[str, set[str]]) -> None:
    shown = {
        re.sub(r"_(bucket|sum|count|total)$", "", name)
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
        for name, _ in selectors(target["expr"])
    }
    ours = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in served if name.startswith("kefu_")}
    assert ours - shown == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_can_be_read(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Kefu[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description"}
    for text in rule["annotations"].values():
        assert text.count("{{") == text.count("}}")
        assert len(text) > 10
    split = tokens(rule["expr"])
    opened = 0
    for _, text in split:
        opened += {"(": 1, ")": -1}.get(text, 0)
        assert opened >= 0
    assert opened == 0
    assert any(text in {">", "<", "=="} for _, text in split), "an alert compares"


def test_a_gap_in_what_was_read_is_no_alert() -> None:
    # A constant in the place of what was not read back then makes all that was ever counted look new.
    for rule in rules():
        assert "offset" not in rule["expr"] or "vector(" not in rule["expr"], rule["alert"]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_commands_and_variables_named_in_alerts_exist(known_commands: set[str], known_variables: set[str]) -> None:
    texts = "".join(rule["annotations"]["description"] for rule in rules())
    commands = set(re.findall(r"`kefu ([a-z]+)", texts))
    assert {"doctor", "outbox", "stats"} <= commands
    assert commands - known_commands == set()
    variables = set(re.findall(r"\b(?:KEFU|WECOM|LLM)_[A-Z_]+\b", texts))
    assert "WECOM_TOKEN" in variables
    assert variables - known_variables == set()


def test_panels_have_words_and_a_place_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= cells
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]


def test_the_configuration_reads_the_rules_that_are_there() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    [job] = config["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("kefu", "/metrics")


@pytest.mark.parametrize("broken", ["sum(rate(x[5m]) > 1 $", 'up{job="kefu"', "rate(x[5 minutes])"])
def test_the_reader_refuses_what_is_no_expression(broken: str) -> None:
    with pytest.raises(AssertionError):
        tokens(broken)
