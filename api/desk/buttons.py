"""What can be pressed at the desk, in the words of the prompts."""

from __future__ import annotations

from collections.abc import Sequence

from graph.context import Texts
from tools.messages import DeskAction, DeskButton

ON_A_CARD: Sequence[DeskAction] = ("draft", "take", "assign", "transfer", "snooze", "done", "close", "entry")
"""What a ticket's card may offer; each desk shows those that make sense there, in its own order."""

AT_HAND: Sequence[DeskAction] = ("draft", "transfer", "done", "close", "snooze")
"""What whoever took a ticket may do next, where the card that was pressed shows its buttons no more."""


def button(texts: Texts, action: DeskAction, subject: str, target: str = "", **facts: str) -> DeskButton:
    """Make one button."""
    return DeskButton(
        action=action, label=texts.render(f"desk_button_{action}", **facts), subject=subject, target=target
    )


def ticket_buttons(
    texts: Texts, actions: Sequence[DeskAction], ticket_id: str, *, has_draft: bool
) -> tuple[DeskButton, ...]:
    """Make the buttons of a ticket; without a draft there is none that sends it."""
    return tuple(button(texts, action, ticket_id) for action in actions if has_draft or action != "draft")
