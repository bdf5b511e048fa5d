"""Compares what was due with what arrived: lost, doubled, out of order."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer import Observer, is_card_about
from plan import HANDED_BACK, HOLD, SMALL_TALK
from stage import Database
from traffic import Due, Ledger

UNHANDLED = "select count(*) from inbox where handled_at is null"
OPEN = "select count(*) from outbox where state in ('pending', 'sending')"
INBOX = "select message_id, count(*) from inbox where origin = 'customer' group by message_id"
TICKETS = "select c.customer_id, count(*) from tickets t join conversations c using (thread_id) group by c.customer_id"
DEAD = (
    "select state, destination, message_key, coalesce(last_error, '') from outbox"
    " where state not in ('sent', 'merged') order by id"
)

EVIDENCE = (
    "select * from inbox where thread_id = any(%(threads)s) or handled_at is null order by id",
    "select * from outbox where thread_id = any(%(threads)s) or state <> 'sent' order by id",
    "select * from tickets where thread_id = any(%(threads)s) order by opened_at",
    """select thread_id, checkpoint_id, metadata, checkpoint -> 'channel_versions' from checkpoints
    where thread_id = any(%(threads)s) order by thread_id, checkpoint_id""",
    "select * from procrastinate_jobs order by id",
    "select *, now() from procrastinate_workers",
)
"""What explains a finding: everything about the conversations it is about, and what the queue still holds."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the run proved."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    desk_repeats: int = 0
    """Cards and lines the desk saw more than once: Telegram has no key that would prevent it."""
    strays: list[str] = field(default_factory=list)
    """Texts to customers that answer nothing they wrote."""
    open_rows: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds from each question to its answer or hold."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""
        return not (self.lost or self.doubled or self.out_of_order)


def judge(ledgers: Sequence[Ledger], observer: Observer, database: Database) -> Verdict:
    """Look at everything, from the outside first."""
    verdict = Verdict()
    stored: Mapping[str, int] = dict(database.rows(INBOX))
    tickets: Mapping[str, int] = dict(database.rows(TICKETS))
    for ledger in ledgers:
        _judge_texts(ledger, observer, verdict)
        _judge_desk(ledger, observer, verdict)
        _judge_rows(ledger, stored, tickets, verdict)
    for statement, what in ((UNHANDLED, "inbox rows unhandled"), (OPEN, "outbox rows open")):
        if count := database.rows(statement)[0][0]:
            verdict.open_rows.append(f"{count} {what}")
    verdict.open_rows += [f"outbox row {_words(row)}" for row in database.rows(DEAD)]
    return verdict


def _words(row: Iterable[Any]) -> str:
    return " ".join(str(part) for part in row)


def _judge_texts(ledger: Ledger, observer: Observer, verdict: Verdict) -> None:
    customer, dues = ledger.customer, ledger.dues
    got = _arrivals(ledger, observer)
    counts = Counter(marker for marker, _ in got)
    due_counts = Counter(due.marker for due in dues)
    kinds = {due.marker: due.kind for due in dues}
    for marker in due_counts | counts:
        kind = kinds.get(marker, "text")
        missing, extra = due_counts[marker] - counts[marker], counts[marker] - due_counts[marker]
        verdict.lost += [f"{customer}: {kind} {marker!r} never arrived"] * max(0, missing)
        verdict.doubled += [f"{customer}: {kind} {marker!r} arrived once too often"] * max(0, extra)
    _judge_order(ledger, [marker for marker, _ in got], verdict)
    verdict.waits += _waits(dues, got)
    known = set(due_counts)
    for sent in observer.received[customer]:
        if not any(marker in sent.text for marker in known | {HOLD, HANDED_BACK}):
            verdict.strays.append(f"{customer}: {sent.text[:60]!r}")


def _arrivals(ledger: Ledger, observer: Observer) -> list[tuple[str, float]]:
    """Every marker a customer got, in order, with the time; those he never asked for included."""
    markers = {due.marker for due in ledger.dues} | {HOLD, HANDED_BACK} | set(SMALL_TALK.values())
    pattern = re.compile("|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True)))
    return [
        (found.group(), sent.at) for sent in observer.received[ledger.customer] for found in pattern.finditer(sent.text)
    ]


def _judge_order(ledger: Ledger, arrived: Sequence[str], verdict: Verdict) -> None:
    places = {(due.marker, due.occurrence): place for place, due in enumerate(ledger.dues)}
    seen: Counter[str] = Counter()
    order: list[int] = []
    for marker in arrived:
        seen[marker] += 1
        if (place := places.get((marker, seen[marker]))) is not None:
            order.append(place)
    for before, after in itertools.pairwise(order):
        if after < before:
            text = f"{ledger.dues[before].marker!r} before {ledger.dues[after].marker!r}"
            verdict.out_of_order.append(f"{ledger.customer}: {text}")


def _waits(dues: Sequence[Due], got: Sequence[tuple[str, float]]) -> list[float]:
    first = dict(reversed(got))
    asked = [due for due in dues if due.kind == "answer" or (due.kind == "hold" and due.occurrence == 1)]
    return [first[due.marker] - due.since for due in asked if due.marker in first]


def _judge_desk(ledger: Ledger, observer: Observer, verdict: Verdict) -> None:
    for question in ledger.handovers:
        cards = sum(is_card_about(message, question) for message in observer.desk)
        if cards == 0:
            verdict.lost.append(f"{ledger.customer}: no card at the desk about {question!r}")
        verdict.desk_repeats += max(0, cards - 1)
    first_shown = []
    for text in ledger.relayed:
        shown = [index for index, message in enumerate(observer.desk) if text in message.text and not message.buttons]
        if shown:
            first_shown.append(shown[0])
            verdict.desk_repeats += len(shown) - 1
        else:
            verdict.lost.append(f"{ledger.customer}: the desk never saw {text!r}")
    if first_shown != sorted(first_shown):
        verdict.out_of_order.append(f"{ledger.customer}: lines at the desk")


def _judge_rows(ledger: Ledger, stored: Mapping[str, int], tickets: Mapping[str, int], verdict: Verdict) -> None:
    for msgid in ledger.msgids:
        count = stored.get(msgid, 0)
        if count == 0:
            verdict.lost.append(f"{ledger.customer}: message {msgid} is not in the inbox")
        elif count > 1:
            verdict.doubled.append(f"{ledger.customer}: message {msgid} is {count} times in the inbox")
    opened, due = tickets.get(ledger.customer, 0), len(ledger.handovers)
    if opened > due:
        verdict.doubled.append(f"{ledger.customer}: {opened} tickets for {due} open questions")
    elif opened < due:
        verdict.lost.append(f"{ledger.customer}: {opened} tickets for {due} open questions")


def write_rows(verdict: Verdict, database: Database, path: Path) -> None:
    """Write the rows that explain the findings."""
    customers = {finding.partition(":")[0] for finding in (*verdict.lost, *verdict.doubled, *verdict.out_of_order)}
    known = database.rows("select thread_id, customer_id from conversations")
    threads = {"threads": [thread for thread, customer in known if customer in customers]}
    with path.open("w") as file:
        for statement in EVIDENCE:
            file.write(f"\n-- {statement}\n")
            file.writelines(f"{_words(row)}\n" for row in database.rows(statement, threads))
