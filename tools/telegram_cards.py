"""What the desk shows, as Telegram HTML: pure functions from a post to text and buttons.

Everything a customer or an article wrote is escaped and bounded here, so no text can become markup or break the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.messages import DeskPost, Handoff, Line

MESSAGE_LIMIT = 4096
"""Longest message; Telegram counts what people see, here UTF-16 units with markup are counted: never fewer."""
TOPIC_NAME_LIMIT = 128

NAME_LIMIT, QUESTION_LIMIT, LINE_LIMIT, DRAFT_LIMIT = 80, 700, 200, 1500
HISTORY_LINES = 6

TRUNCATED = "…"
DRAFT_TRUNCATED = "…(显示不下,发送的是全文)"

REASONS = {
    "low_confidence": "知识库里没有足够把握的答案",
    "none_of_these": "客户说列出的问题都不是",
    "rate_limited": "客户短时间内发了很多消息",
    "asked_for_human": "客户要求人工",
    "model_refused": "模型拒绝回答",
    "failure": "机器人处理出错",
}
SPEAKERS = {"customer": "客户", "bot": "机器人", "human": "人工"}
TOPIC_HINT = "直接在本话题里回复即可发给客户,/done 交还机器人"
REPLY_HINT = "请“回复”本条消息,内容会发给客户;回复 /done 交还机器人"


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One inline button."""

    label: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One desk message, ready to send."""

    html: str
    buttons: tuple[Button, ...] = ()


def render(post: DeskPost, *, in_topic: bool) -> Rendered:
    """Turn a post into a message; `in_topic` says whether the conversation has a forum topic of its own."""
    if post.handoff is not None:
        return Rendered(html=_card(post, post.handoff, in_topic=in_topic), buttons=_buttons(post.handoff))
    name = _name(post)
    head = f"👤 {name}:"
    if post.kind == "notice":
        head = "ℹ️ " if in_topic else f"ℹ️ {name}:"
    return Rendered(html=head + escape_within(post.text, MESSAGE_LIMIT - _units(head)))


def topic_name(post: DeskPost) -> str:
    """Name the customer's topic: plain text, never empty, within Telegram's limit."""
    return _cut(_display_name(post), TOPIC_NAME_LIMIT)


def escape_within(text: str, limit: int, *, mark: str = TRUNCATED) -> str:
    """Escape text for Telegram HTML so that the result has at most `limit` units; `mark` ends a shortened text."""
    text = _sendable(text)
    escaped = "".join(_escaped(text))
    if _units(escaped) <= limit:
        return escaped
    room = limit - _units(mark)
    kept: list[str] = []
    for piece in _escaped(text):
        room -= _units(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + mark


def plain_within(text: str, limit: int) -> str:
    """Bound text that is sent without markup."""
    return _cut(_sendable(text), limit)


def _card(post: DeskPost, handoff: Handoff, *, in_topic: bool) -> str:
    parts = [
        f"🙋 <b>{_name(post)}</b>",
        f"❓ <blockquote>{escape_within(handoff.question, QUESTION_LIMIT)}</blockquote>",
        f"📌 {_reason(handoff)}",
    ]
    if handoff.history:
        parts.append("🕘 最近对话")
        parts += [_history_line(line) for line in handoff.history[-HISTORY_LINES:]]
    if handoff.draft:
        draft = escape_within(handoff.draft, DRAFT_LIMIT, mark=DRAFT_TRUNCATED)
        parts.append(f"💡 建议回复\n<blockquote>{draft}</blockquote>")
    parts.append(f"<i>{TOPIC_HINT if in_topic else REPLY_HINT}</i>")
    return "\n".join(parts)


def _reason(handoff: Handoff) -> str:
    words = REASONS.get(handoff.reason) or escape_within(_one_line(handoff.reason), LINE_LIMIT)
    if handoff.reason == "low_confidence" and handoff.confidence is not None:
        return f"{words}(把握 {handoff.confidence:.0%})"
    return words


def _history_line(line: Line) -> str:
    # On one line, so that a customer cannot write what looks like somebody else's turn.
    return f"{SPEAKERS[line.speaker]}:{escape_within(_one_line(line.text), LINE_LIMIT)}"


def _buttons(handoff: Handoff) -> tuple[Button, ...]:
    done = Button(label="交还机器人", data=f"done:{handoff.ticket_id}")
    if not handoff.draft:
        return (done,)
    return (Button(label="发送草稿", data=f"draft:{handoff.ticket_id}"), done)


def _name(post: DeskPost) -> str:
    return escape_within(_display_name(post), NAME_LIMIT)


def _display_name(post: DeskPost) -> str:
    name = post.customer_name or (post.handoff.customer_name if post.handoff else "")
    customer_id = post.thread_id.rpartition(":")[2]
    return _one_line(_sendable(name)) or f"客户 {customer_id[-6:]}".strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sendable(text: str) -> str:
    """Drop what cannot be encoded (lone surrogates) and what Telegram refuses (NUL)."""
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\0", "")


def _escaped(text: str) -> Iterator[str]:
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    return (entities.get(char, char) for char in text)


def _cut(text: str, limit: int) -> str:
    if _units(text) <= limit:
        return text
    kept = text[: limit - _units(TRUNCATED)]
    while _units(kept) > limit - _units(TRUNCATED):
        kept = kept[:-1]
    return kept + TRUNCATED


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
