"""What the desk shows, as Telegram HTML: pure functions from a post to text and buttons.

Everything a customer or an article wrote is escaped and bounded here, so no text can become markup or break the limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from tools.desk_buttons import button_data, of_card
from tools.messages import DeskAction, DeskButton, DeskPost, DeskStatus, Handoff, Line

MESSAGE_LIMIT = 4096
"""Longest message; Telegram counts what people see, here UTF-16 units with markup are counted: never fewer."""
CAPTION_LIMIT = 1024
"""Longest text under a file."""
TOPIC_NAME_LIMIT = 128

NAME_LIMIT, QUESTION_LIMIT, LINE_LIMIT, DRAFT_LIMIT = 80, 700, 180, 1400
CANDIDATE_LIMIT, HOLDER_LIMIT, BUTTON_LIMIT, PROFILE_LIMIT = 100, 20, 40, 300
HISTORY_LINES = 6
CANDIDATES = 3
BUTTONS_A_ROW = 2

CHINA = timezone(timedelta(hours=8))
"""The clock of those who read cards: a message cannot show everybody his own."""

TRUNCATED = "…"
DRAFT_TRUNCATED = "…(显示不下,发送的是全文)"

REASONS = {
    "low_confidence": "知识库里没有足够把握的答案",
    "none_of_these": "客户说列出的问题都不是",
    "rate_limited": "客户短时间内发了很多消息",
    "asked_for_human": "客户要求人工",
    "model_refused": "模型拒绝回答",
    "failure": "机器人处理出错",
    "rule": "按规则转人工",
}
SPEAKERS = {"customer": "客户", "bot": "机器人", "human": "人工"}
TOPIC_HINT = "直接在本话题里回复即可发给客户(想改草稿就回复您自己的话),/help 看全部命令,/done 交还机器人"
REPLY_HINT = "请“回复”本条消息,内容会发给客户(想改草稿就回复您自己的话);/help 看全部命令,回复 /done 交还机器人"
DELIVERED = "✓ 已送达客户"
STATUS_SIGNS: Mapping[DeskStatus, str] = {"waiting": "🔴", "taken": "🟡", "snoozed": "⏰", "bot": "🟢"}
MUTED = "🔇"
COMMAND_MENU: Mapping[str, str] = {
    "take": "接手这位客户",
    "done": "处理完毕,交还机器人",
    "close": "结束接待,不通知客户",
    "transfer": "转给企业微信里的接待人员",
    "note": "内部备注,客户看不到",
    "history": "最近 20 条对话",
    "who": "谁在接待、还能发几条",
    "kb": "查知识库",
    "mute": "让机器人沉默",
    "unmute": "让机器人恢复接待",
    "help": "使用说明",
}
"""What Telegram offers when somebody types a slash."""
CARD_ACTIONS: tuple[DeskAction, ...] = ("draft", "take", "assign", "snooze", "done", "entry")


WORD_JOINER = "\u2060"
_ACTING = re.compile(r"(?<![\w/:.<])/(?=[a-z])|(?<![\w.+-])@(?=\w)|(?<=\btg):(?=//)", re.IGNORECASE | re.ASCII)
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Signs that turn a line around, which then reads as something else."""


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

    @property
    def rows(self) -> list[tuple[Button, ...]]:
        """The buttons as they are laid out."""
        width = BUTTONS_A_ROW
        return [self.buttons[start : start + width] for start in range(0, len(self.buttons), width)]


def render(post: DeskPost, *, in_topic: bool, limit: int = MESSAGE_LIMIT) -> Rendered:
    """Turn a post into a message; `in_topic` says whether the conversation has a forum topic of its own."""
    if post.handoff is not None:
        buttons = tuple(map(_button, of_card(post.buttons, CARD_ACTIONS)))
        return Rendered(html=_card(post, post.handoff, in_topic=in_topic), buttons=buttons)
    name = _name(post)
    buttons = tuple(map(_button, post.buttons))
    if post.kind == "customer":
        return Rendered(html=_customer_words(f"👤 {name}:", post.text, limit), buttons=buttons)
    head = "ℹ️ " if in_topic else f"ℹ️ {name}:"
    return Rendered(html=head + escape_within(post.text, limit - _units(head)), buttons=buttons)


def topic_name(post: DeskPost) -> str:
    """Name the customer's topic, with a sign of whose turn it is: plain text, within Telegram's limit."""
    label = post.label
    head = STATUS_SIGNS[label.status] + (MUTED if label.is_muted else "") + " "
    holder = _one_line(_sendable(label.holder)) if label.status in {"taken", "snoozed"} else ""
    tail = f" · {_cut(holder, HOLDER_LIMIT)}" if holder else ""
    return head + _cut(_display_name(post), TOPIC_NAME_LIMIT - _units(head + tail)) + tail


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


def _customer_words(head: str, text: str, limit: int) -> str:
    """Show what a customer wrote; several lines are quoted, so that none looks like a message of the desk's own."""
    open_quote, close_quote = ("<blockquote>", "</blockquote>") if len(text.splitlines()) > 1 else ("", "")
    room = limit - _units(head + open_quote + close_quote)
    return head + open_quote + escape_within(_inert(text), room) + close_quote


def _inert(text: str) -> str:
    """Take from others' words what Telegram would make work by itself: commands to tap, mentions, its own links."""
    return _ACTING.sub(lambda found: found.group() + WORD_JOINER, text)


def plain_within(text: str, limit: int) -> str:
    """Bound text that is sent without markup."""
    return _cut(_sendable(text), limit)


def _card(post: DeskPost, handoff: Handoff, *, in_topic: bool) -> str:
    parts = [
        ("🔴 <b>加急</b> " if handoff.priority == "high" else "")
        + f"🙋 <b>{_name(post)}</b>"
        + (f" · 来自 {escape_within(_inert(_one_line(post.source)), 60)}" if post.source else ""),
        *([f"🕐 {_clock(post.since)} 起等待"] if post.since else []),
        f"❓ <blockquote>{escape_within(_inert(handoff.question), QUESTION_LIMIT)}</blockquote>",
        f"📌 {_reason(handoff)}",
        *(
            [f"📇 {escape_within(_inert(_one_line(' · '.join(handoff.profile))), PROFILE_LIMIT)}"]
            if handoff.profile
            else []
        ),
    ]
    if handoff.hits:
        parts.append("🔎 最接近的条目")
        parts += [
            f"· {escape_within(_inert(_one_line(entry.question)), CANDIDATE_LIMIT)}({entry.score:.0%})"
            for entry in handoff.hits[:CANDIDATES]
        ]
    if handoff.history:
        parts.append("🕘 最近对话")
        parts += [_history_line(line) for line in handoff.history[-HISTORY_LINES:]]
    if handoff.draft:
        draft = escape_within(_inert(handoff.draft), DRAFT_LIMIT, mark=DRAFT_TRUNCATED)
        parts.append(f"💡 建议回复\n<blockquote>{draft}</blockquote>")
    parts.append(f"<i>{TOPIC_HINT if in_topic else REPLY_HINT}</i>")
    return "\n".join(parts)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone(CHINA).strftime("%m-%d %H:%M")


def _reason(handoff: Handoff) -> str:
    words = REASONS.get(handoff.reason) or escape_within(_one_line(handoff.reason), LINE_LIMIT)
    if handoff.reason == "low_confidence" and handoff.confidence is not None:
        words = f"{words}(把握 {handoff.confidence:.0%})"
    if handoff.rule:
        words = f"{words} · 规则「{escape_within(_one_line(handoff.rule), HOLDER_LIMIT)}」"
    return f"{words} · 情绪负面" if handoff.mood == "negative" else words


def _history_line(line: Line) -> str:
    # On one line, so that a customer cannot write what looks like somebody else's turn.
    return f"{SPEAKERS[line.speaker]}:{escape_within(_inert(_one_line(line.text)), LINE_LIMIT)}"


def _button(button: DeskButton) -> Button:
    return Button(label=plain_within(button.label, BUTTON_LIMIT), data=button_data(button))


def _name(post: DeskPost) -> str:
    return escape_within(_inert(_display_name(post)), NAME_LIMIT)


def _display_name(post: DeskPost) -> str:
    name = post.customer_name or (post.handoff.customer_name if post.handoff else "")
    customer_id = post.thread_id.rpartition(":")[2]
    return _one_line(_sendable(name)) or f"客户 {customer_id[-6:]}".strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sendable(text: str) -> str:
    """Drop what cannot be encoded (lone surrogates), what Telegram refuses (NUL), and what turns lines around."""
    return without_directions(text.encode("utf-8", "ignore").decode("utf-8").replace("\0", ""))


def without_directions(text: str) -> str:
    """Drop the signs that turn a line around."""
    return _DIRECTIONS.sub("", text)


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
