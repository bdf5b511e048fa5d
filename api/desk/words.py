"""What the desk is told when it asks: the last lines, who has it, what the knowledge base says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from api.database import Connection
from api.desk.buttons import button
from api.desk.tickets import Standing, Ticket
from graph.context import Texts
from kb.chunks import Hit
from tools.errors import ChannelError, StaffUnavailableError
from tools.messages import DeskButton

CHINA = timezone(timedelta(hours=8))
HISTORY_LINES = 20
HISTORY_LINE_LIMIT = 150
HIT_LIMIT = 250

HISTORY = """
select * from (
    (select sent_at as at, origin as who, payload ->> 'agent' as agent, payload ->> 'text' as text, id
     from inbox where thread_id = %(thread)s and coalesce(payload ->> 'text', '') <> ''
     and (origin in ('customer', 'staff') or origin = 'desk' and kind = 'note') order by id desc limit %(limit)s)
    union all
    (select created_at, case when part like 'human%%' then 'human' else 'bot' end, null, payload ->> 'text', id
     from outbox where thread_id = %(thread)s and destination = 'customer' and coalesce(payload ->> 'text', '') <> ''
     and state in ('pending', 'sending', 'sent', 'merged') order by id desc limit %(limit)s)
) said order by at desc, id desc limit %(limit)s
"""
SPEAKERS = {"customer": "客户", "staff": "企微接待", "human": "人工", "bot": "机器人"}
TRANSFER_REFUSALS = {
    95013: "会话已经结束，要等客户再次发言",
    95014: "不是这个客服账号的接待人员，或还没有激活",
    95016: "企业微信不允许从会话现在的状态转接",
    95019: "接待人员已停止接待",
}
"""By WeCom's code."""
SESSIONS = {"queued": "企业微信排队中", "staff": "企业微信的接待人员"}


def clock(moment: datetime) -> str:
    """Write a moment as people at the desk read it."""
    return moment.astimezone(CHINA).strftime("%m-%d %H:%M")


async def history(conn: Connection, thread_id: str) -> str:
    """Return the last lines of a conversation, notes among them; empty when nothing is kept."""
    cursor = await conn.execute(HISTORY, {"thread": thread_id, "limit": HISTORY_LINES})
    rows = reversed(await cursor.fetchall())
    return "\n".join(
        f"{clock(row['at'])} {SPEAKERS.get(row['who'], '备注 ' + str(row['agent']))}:{_short(row['text'])}"
        for row in rows
    )


def who(texts: Texts, ticket: Ticket | None, now: Standing) -> str:
    """Say who has a conversation and what it may still take."""
    if ticket is not None and ticket.taken_at is not None:
        holder = f"{ticket.holder},自 {clock(ticket.taken_at)}"
    else:
        holder = "还没有人接手" if ticket is not None else "机器人(没有进行中的工单)"
    if now.session in SESSIONS:
        holder += f";会话在{SESSIONS[now.session]}手中"
    return texts.render(
        "desk_who",
        holder=holder,
        window=_window(now.seconds_left),
        budget=str(now.units_left),
        bot=f"已静音({now.muted_by})" if now.muted_by else "正常",
    )


def transfer_refusal(error: ChannelError) -> str:
    """Say in plain words why a customer could not be given to the staff."""
    if isinstance(error, StaffUnavailableError):
        return "现在没有接待人员在接待"
    return TRANSFER_REFUSALS.get(error.code or 0, str(error))


def found(texts: Texts, query: str, hits: Sequence[Hit]) -> str:
    """List what the knowledge base has on something."""
    if not hits:
        return texts.render("desk_kb_none", query=query)
    lines = [
        f"{number}. {_short(hit.question or hit.content)}({hit.score:.0%})\n{_short(hit.answer, HIT_LIMIT)}"
        for number, hit in enumerate(hits, start=1)
    ]
    return texts.render("desk_kb", hits="\n".join(lines))


def send_buttons(texts: Texts, key: str, count: int) -> tuple[DeskButton, ...]:
    """Make a button for each hit."""
    numbers = map(str, range(1, count + 1))
    return tuple(button(texts, "send", key, number, number=number) for number in numbers)


def _window(seconds: float) -> str:
    if seconds == float("inf"):
        return "不限"
    if seconds <= 0:
        return "已关闭(客户再次发言后才能发送)"
    return f"还剩 {int(seconds // 3600)} 小时 {int(seconds % 3600 // 60)} 分"


def _short(text: str, limit: int = HISTORY_LINE_LIMIT) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
