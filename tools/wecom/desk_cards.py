"""What the desk inside WeCom shows: pure functions from a post to cards and texts.

Cards are plain; a text may hold links (doc 90236), so no text here has what one begins with: nothing a customer wrote
can become markup. Lengths are those of the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tools.desk_buttons import button_data, of_card
from tools.messages import DeskAction, DeskButton, DeskPost, Handoff
from tools.telegram_cards import CHINA, DRAFT_TRUNCATED, REASONS, SPEAKERS, without_directions
from tools.wecom.splitting import split_text

TITLE_LIMIT, DESC_LIMIT, SUBTITLE_LIMIT = 36, 44, 160
FACT_LIMIT, BUTTON_LIMIT = 30, 10
BUTTONS_AT_MOST = 6
TEXT_BYTES = 2048
PARTS_AT_MOST = 3
"""Texts one post may take: a member gets 30 messages a minute, and what is more is lost without a word."""

NAME_LIMIT, LINE_LIMIT, DRAFT_LIMIT, CANDIDATES, HISTORY_LINES = 20, 120, 600, 3, 6

CARD_ACTIONS: tuple[DeskAction, ...] = ("take", "draft", "transfer", "done", "close", "snooze")


def cards(post: DeskPost) -> list[Mapping[str, Any]]:
    """Return the cards of a post: one where something can be pressed."""
    if post.handoff is not None:
        return [_ticket(post, post.handoff)]
    if not post.buttons:
        return []
    head, _, rest = post.text.partition("\n")
    title = head if post.kind == "choice" else name_of(post)
    subtitle = rest if post.kind == "choice" else post.text
    return [_card(post, title=title, subtitle=subtitle, buttons=post.buttons)]


def texts(post: DeskPost) -> list[str]:
    """Return what is said beside the cards, cut into messages."""
    if post.handoff is not None:
        text = _details(post, post.handoff)
    elif post.kind == "customer":
        text = f"👤 {name_of(post)}：{_quoted(post.text)}"
    elif post.kind == "sent":
        text = f"{name_of(post)}：{post.text or '✓ 已送达客户'}"
    elif post.buttons and len(post.text) <= SUBTITLE_LIMIT:
        text = ""
    else:
        text = f"ℹ️ {name_of(post)}：{post.text}"
    parts = split_text(without_directions(text).replace("<", "＜"), TEXT_BYTES)
    if len(parts) > PARTS_AT_MOST:
        parts = [*parts[: PARTS_AT_MOST - 1], split_text(parts[PARTS_AT_MOST - 1], TEXT_BYTES - 3)[0] + "…"]
    return parts


def name_of(post: DeskPost) -> str:
    """Return how the customer is called here; one chat holds them all, so everything names them."""
    name = post.customer_name or (post.handoff.customer_name if post.handoff else "")
    return _short(name, NAME_LIMIT) or f"客户 {post.thread_id.rpartition(':')[2][-6:]}"


def _ticket(post: DeskPost, handoff: Handoff) -> Mapping[str, Any]:
    facts = [
        ("等待自", _clock(post.since) if post.since else ""),
        ("来自", post.source),
        ("把握", "" if handoff.confidence is None else f"{handoff.confidence:.0%}"),
        ("规则", handoff.rule),
        ("情绪", "负面" if handoff.mood == "negative" else ""),
    ]
    sign = "🔴" if handoff.priority == "high" else "🙋"
    card = _card(
        post, title=f"{sign} {name_of(post)}", subtitle=handoff.question, buttons=of_card(post.buttons, CARD_ACTIONS)
    )
    card["main_title"]["desc"] = _short(REASONS.get(handoff.reason, ""), DESC_LIMIT)
    card["horizontal_content_list"] = [
        {"keyname": key, "value": _short(value, FACT_LIMIT)} for key, value in facts if value.strip()
    ]
    return card


def _card(post: DeskPost, *, title: str, subtitle: str, buttons: Sequence[DeskButton]) -> dict[str, Any]:
    return {
        "card_type": "button_interaction",
        "task_id": post.key,
        "main_title": {"title": _short(title, TITLE_LIMIT)},
        "sub_title_text": _short(subtitle, SUBTITLE_LIMIT),
        "button_list": [
            {"text": _short(button.label, BUTTON_LIMIT), "style": 1, "key": button_data(button)}
            for button in buttons[:BUTTONS_AT_MOST]
        ],
    }


def _details(post: DeskPost, handoff: Handoff) -> str:
    lines: list[str] = []
    if len(" ".join(handoff.question.split())) > SUBTITLE_LIMIT:
        lines.append(f"❓ {_quoted(handoff.question)}")
    if handoff.profile:
        lines.append(f"📇 {_short(' · '.join(handoff.profile), DRAFT_LIMIT)}")
    if handoff.hits:
        lines.append("🔎 最接近的条目")
        lines += [f"· {_short(hit.question, LINE_LIMIT)}（{hit.score:.0%}）" for hit in handoff.hits[:CANDIDATES]]
    if handoff.history:
        lines.append("🕘 最近对话")
        # On one line each, so that a customer cannot write what looks like somebody else's turn.
        lines += [
            f"{SPEAKERS[line.speaker]}：{_short(line.text, LINE_LIMIT)}" for line in handoff.history[-HISTORY_LINES:]
        ]
    if handoff.draft:
        draft = handoff.draft
        shown = draft if len(draft) <= DRAFT_LIMIT else draft[:DRAFT_LIMIT] + DRAFT_TRUNCATED
        lines.append(f"💡 建议回复\n{shown}")
    return "\n".join([f"📋 {name_of(post)}", *lines]) if lines else ""


def _quoted(text: str) -> str:
    """Mark a customer's further lines: in a chat of many they could be taken for the desk's own."""
    return "\n│ ".join(text.splitlines())


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone(CHINA).strftime("%m-%d %H:%M")


def _short(text: str, limit: int) -> str:
    text = " ".join(without_directions(text).replace("\0", "").split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
