"""What the desk is shown of a draft: its text, the buttons that fit it, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from api.learning.conflicts import Conflict
from api.learning.drafts import Draft
from api.learning.replay import Replayed, Verdict
from api.learning.reviews import Review
from graph.context import Texts
from tools.messages import DeskButton

Way = Literal["new", "merge", "replace"]
"""How a draft is approved: as an entry of its own, as wordings of another, or instead of others."""

ANSWER_LIMIT, ANSWERS_LIMIT, NEAR_SHOWN = 800, 200, 3
_VERDICTS: tuple[Verdict, ...] = ("closed", "offered", "other", "open")
_WAYS: dict[str, Way] = {"n": "new", "m": "merge", "r": "replace"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a press of an approving button means."""

    way: Way
    anyway: bool
    """Whoever pressed was warned of personal facts."""
    revision: int
    """Of the draft that stood above the button."""


def draft_text(texts: Texts, draft: Draft, review: Review) -> str:
    """Show a draft with everything that speaks for caution."""
    number = str(draft.id)
    lines = [
        texts.render("desk_draft", number=number, question=draft.question, answer=_short(draft.answer, ANSWER_LIMIT))
    ]
    if draft.similar:
        lines.append(texts.render("desk_draft_similar", questions="；".join(draft.similar)))
    if draft.other_answers:
        told = "；".join(_short(text) for text in draft.other_answers)
        lines.append(texts.render("desk_draft_others", answers=told))
    lines += [_conflict_line(texts, conflict) for conflict in review.same]
    near = [f"「{conflict.question}」" for conflict in review.conflicts if conflict.kind == "near"]
    if near:
        lines.append(texts.render("desk_draft_near", questions="".join(near[:NEAR_SHOWN])))
    if review.marks:
        lines.append(texts.render("desk_draft_gaps", texts="；".join(_short(text) for text in review.marks)))
    if review.persons:
        lines.append(texts.render("desk_draft_persons", kinds="、".join(review.persons)))
    return "\n".join([*lines, texts.render("desk_draft_hint", number=number)])


def draft_buttons(texts: Texts, draft: Draft, review: Review) -> tuple[DeskButton, ...]:
    """Offer the decisions a draft allows; one that an entry asks already is merged or replaces it."""
    ways: dict[str, str] = {}
    if review.same:
        ways = {"m": "desk_draft_merge"}
        if any(conflict.kind == "contradiction" for conflict in review.same):
            ways["r"] = "desk_draft_replace"
    elif not review.marks:
        ways = {"n": "desk_draft_anyway" if review.persons else "desk_draft_approve"}
    if review.marks:
        ways.pop("r", None)
    warned = "p" if review.persons else ""
    subject = str(draft.id)
    return (
        *(
            DeskButton(
                action="approve", label=texts.render(label), subject=subject, target=f"{way}{warned}{draft.revision}"
            )
            for way, label in ways.items()
        ),
        DeskButton(
            action="reject", label=texts.render("desk_draft_reject"), subject=subject, target=str(draft.revision)
        ),
    )


def read_decision(target: str) -> Decision | None:
    """Read what an approving button carried; None when it is not ours."""
    way, revision = _WAYS.get(target[:1]), target[1:].removeprefix("p")
    if way is None or not revision.isdecimal():
        return None
    return Decision(way=way, anyway=target[1:2] == "p", revision=int(revision))


def proof(texts: Texts, draft: Draft, replayed: Sequence[Replayed], *, is_merged: bool) -> str:
    """Say that a draft is live, and what becomes now of the questions it was made of."""
    head = "desk_draft_merged" if is_merged else "desk_draft_live"
    lines = [texts.render(head, number=str(draft.id), agent=draft.reviewed_by or "?")]
    if replayed:
        counts = {verdict: sum(result.verdict == verdict for result in replayed) for verdict in _VERDICTS}
        outcomes = [texts.render(f"desk_draft_{name}", count=str(count)) for name, count in counts.items() if count]
        lines.append(texts.render("desk_draft_proof", count=str(len(replayed)), outcomes="，".join(outcomes)))
        unaided = sum(result.unaided == "closed" for result in replayed)
        lines.append(texts.render("desk_draft_unaided", count=str(unaided)))
    return "\n".join(lines)


def _conflict_line(texts: Texts, conflict: Conflict) -> str:
    known = {"question": conflict.question, "answer": _short(conflict.answer)}
    if conflict.kind == "duplicate":
        return texts.render("desk_draft_same", **known)
    # Others are words for the command line; both answers stand here anyway.
    figures = [text for text in conflict.differences if text[:1].isdigit()]
    differences = f"（{'；'.join(figures)}）" if figures else ""
    return texts.render("desk_draft_contradicts", differences=differences, **known)


def _short(text: str, limit: int = ANSWERS_LIMIT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
