"""What every desk writes into a button and reads out of its press: `code:subject` or `code:subject:target`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.messages import DeskAction, DeskButton

CODES: Mapping[str, DeskAction] = {
    "draft": "draft",
    "take": "take",
    "assign": "assign",
    "to": "give",
    "snooze": "snooze",
    "done": "done",
    "close": "close",
    "trans": "transfer",
    "entry": "entry",
    "ok": "confirm",
    "no": "cancel",
    "send": "send",
    "approve": "approve",
    "reject": "reject",
}
BUTTON_CODES = {action: code for code, action in CODES.items()}

ON_A_TICKET = frozenset({"draft", "take", "assign", "give", "snooze", "done", "close", "transfer", "entry"})
"""Actions whose subject is a ticket."""

ON_A_DRAFT = frozenset({"approve", "reject"})
"""Actions whose subject is an article's draft."""

DATA = re.compile(
    r"(?P<code>[a-z]{1,8}):(?P<subject>[0-9a-zA-Z_-]{1,40})(?::(?P<target>[0-9a-zA-Z_-]{1,20}))?", re.ASCII
)
"""Button data comes from people's programs, which can write anything into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """What a press means."""

    action: DeskAction
    ticket_id: str | None
    subject: str
    target: str


def button_data(button: DeskButton) -> str:
    """Write what a button carries."""
    target = f":{button.target}" if button.target else ""
    return f"{BUTTON_CODES[button.action]}:{button.subject}{target}"


def of_card(buttons: Sequence[DeskButton], actions: Sequence[DeskAction]) -> tuple[DeskButton, ...]:
    """Pick what a card's buttons do, in this order; what is not offered is left out."""
    offered = {button.action: button for button in buttons}
    return tuple(offered[action] for action in actions if action in offered)


def read_button(data: str) -> Pressed | None:
    """Read a press; None for a button that is not ours."""
    found = DATA.fullmatch(data)
    if found is None or found["code"] not in CODES:
        return None
    action = CODES[found["code"]]
    is_on_ticket = action in ON_A_TICKET
    return Pressed(
        action=action,
        ticket_id=found["subject"] if is_on_ticket else None,
        subject="" if is_on_ticket else found["subject"],
        target=found["target"] or "",
    )
