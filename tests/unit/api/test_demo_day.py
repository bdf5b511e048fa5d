"""The demonstration's day: the script is the same for the same seed, and a broken promise is named."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from api.demo.day_ledger import Ledger, Records, Story, median_wait, repeat_misses
from api.demo.day_script import Entry, Part, make_script

ENTRY = Entry(answer="可以。", names=frozenset({"能吗"}))


def story(kind: Any = "known", **facts: Any) -> Story:
    topic = facts.pop("topic", None)
    part = Part(customer="wm1", name="小满", kind=kind, question="可以吗", entry=ENTRY, topic=topic)
    return Story(part=part, **facts)


def sent(*texts: str) -> Any:
    return SimpleNamespace(sent=[SimpleNamespace(customer="wm1", text=text, is_delivered=True) for text in texts])


def records(**facts: int) -> Records:
    known = {"tickets": 0, "open_tickets": 0, "dead_letters": 0, "approved": 0}
    return Records(**{**known, **facts}, actions=Counter())


def broken(ledger: Ledger, wecom: Any, **facts: int) -> list[str]:
    return ledger.broken(wecom, records(**facts), customers=1, topics=0)


def test_forty_customers_are_fifteen_tickets_and_five_who_ask_again() -> None:
    script = make_script(customers=40, seed=1)
    kinds = Counter(part.kind for part in script.parts)
    assert kinds == {"known": 20, "new": 10, "person": 5, "again": 5}
    assert len({part.name for part in script.parts}) == 40


@pytest.mark.parametrize("customers", [8, 13, 80, 200])
def test_as_many_come_as_asked_for(customers: int) -> None:
    assert len({part.customer for part in make_script(customers=customers, seed=1).parts}) == customers


def test_the_seed_decides_the_order() -> None:
    orders = [[part.question for part in make_script(customers=40, seed=seed).morning] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_day_that_went_well_breaks_nothing() -> None:
    ledger = Ledger(stories=[story(answer="可以。", expected=Counter({"可以。": 1}))])
    assert broken(ledger, sent("可以。")) == []


@pytest.mark.parametrize(
    ("ledger", "wecom", "facts", "words"),
    [
        (Ledger(stories=[story(expected=Counter({"好": 1}))]), sent(), {}, "lost: 小满: 好"),
        (Ledger(stories=[story(missing=["a reply"])]), sent(), {}, "lost: 小满: a reply"),
        (Ledger(stories=[story(expected=Counter({"好": 1}))]), sent("好", "好"), {}, "doubled: 小满: 好"),
        (Ledger(stories=[story(is_ticket=True)]), sent(), {"tickets": 1}, "told of 1 tickets, the desk saw 0"),
        (Ledger(stories=[story()]), sent(), {"open_tickets": 2}, "2 tickets are still open"),
        (Ledger(stories=[story()]), sent(), {"dead_letters": 3}, "3 messages could not be delivered"),
        (Ledger(stories=[story()]), sent(), {"approved": 1}, "1 of 0 entries were learned"),
        (Ledger(stories=[story("again", answer="别的")]), sent(), {}, "learned, and still not answered: 可以吗"),
        (Ledger(), sent(), {}, "0 of 1 customers were served"),
    ],
)
def test_a_broken_promise_is_named(ledger: Ledger, wecom: Any, facts: dict[str, int], words: str) -> None:
    [line] = broken(ledger, wecom, **facts)
    assert words in line


def test_repeats_are_those_who_ask_what_was_asked_before() -> None:
    morning = [story("new", topic=0), story("new", topic=0), story("known")]
    assert repeat_misses(morning) == (1, 1)
    assert repeat_misses([story("again", topic=0, answer="可以。")]) == (0, 1)


def test_the_median_is_of_those_who_waited() -> None:
    assert median_wait([story(waited=1.0), story(waited=3.0), story()]) == 2.0
    assert median_wait([story()]) is None
