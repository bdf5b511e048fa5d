"""What the robot of 微信客服 knows, as articles; and how it did, beside how this service did on the same days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from api.database import Pool
from api.errors import ApiError
from kb.chunks import Chunk
from kb.splitter import ChunkWriter
from tools.errors import BadRequestError
from tools.wecom.client import Account, WecomClient
from tools.wecom.native import BEIJING, DayFigures, Intent, NativeRobot

SOURCE = "微信客服机器人"
"""The source of what is taken over; a second import knows its entries by it."""

# WeCom's days are Beijing's. Its messages "to the robot" are those nobody else had: here, without an open ticket.
OWN = b"""
with said as (
    select i.thread_id, (i.sent_at at time zone 'utc' + interval '8 hours')::date as day,
        exists (
            select 1 from outbox o
            where o.thread_id = i.thread_id and o.turn_id = i.turn_id and o.destination = 'customer'
                and o.part like 'answer.%%'
        ) as is_answered,
        exists (
            select 1 from tickets t
            where t.thread_id = i.thread_id and t.opened_at <= i.received_at
                and coalesce(t.closed_at, 'infinity') > i.received_at
        ) as is_with_person
    from inbox i
    where i.origin = 'customer' and i.account_id = any(%(accounts)s) and i.outcome is distinct from 'history'
        and i.sent_at >= %(begin)s and i.sent_at < %(end)s
)
select day, count(*) as messages, count(*) filter (where not is_with_person) as to_bot,
    count(*) filter (where is_answered and not is_with_person) as answered,
    count(distinct thread_id) as conversations,
    count(distinct thread_id) filter (where exists (
        select 1 from tickets t
        where t.thread_id = said.thread_id and (t.opened_at at time zone 'utc' + interval '8 hours')::date = said.day
    )) as handed_over
from said group by day order by day
"""

RECORDED_SINCE = b"""
select (min(sent_at) at time zone 'utc' + interval '8 hours')::date as day from inbox
where origin = 'customer' and account_id = any(%(accounts)s) and outcome is distinct from 'history'
"""

TWINS = b"""
select distinct metadata ->> 'question' as question, coalesce(metadata ->> 'source', '') as source
from knowledge_chunks
where metadata ->> 'question' = any(%(questions)s) and metadata ->> 'source' is distinct from %(source)s
order by 1, 2
"""


class NativeError(ApiError):
    """There is nothing to take over or to compare with; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeKnowledge:
    """Everything the robot was taught."""

    chunks: tuple[Chunk, ...]
    groups: int
    entries: int
    warnings: tuple[str, ...] = ()
    """What was passed over or says less than before, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDay:
    """One day of this service."""

    day: date
    conversations: int
    messages: int
    to_bot: int
    """Messages that came while no person had the conversation."""
    answered: int
    """Those of them that were answered from the knowledge base."""
    handed_over: int
    """Conversations that went to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The robot's figures and ours."""

    first: date
    last: date
    accounts: tuple[Account, ...]
    native: tuple[DayFigures, ...]
    """A row an account and day."""
    own: tuple[OwnDay, ...]
    own_since: date | None
    """The first day of these that was recorded here; None: none was."""
    warnings: tuple[str, ...] = ()


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""


async def read_knowledge(robot: NativeRobot, *, progress: Callable[[int, int], None] = silent) -> NativeKnowledge:
    """Read every group; `progress` is told how many of them were.

    Raises:
        NativeError: the robot knows nothing.
        ChannelError: WeCom does not answer or refuses.
    """
    writer, warnings = ChunkWriter(SOURCE), list[str]()
    groups = await robot.groups()
    entries = 0
    for done, group in enumerate(groups, 1):
        for intent in await robot.intents(group):
            entries += _write(writer, intent, group.name, warnings)
        progress(done, len(groups))
    if not writer.chunks:
        raise NativeError("the robot of 微信客服 knows no question with an answer; look at 微信客服 → 机器人 → 知识库")
    return NativeKnowledge(chunks=tuple(writer.chunks), groups=len(groups), entries=entries, warnings=tuple(warnings))


async def twins(pool: Pool, found: NativeKnowledge) -> list[str]:
    """Say which of these questions other entries ask too, word for word, one line each."""
    asked = {"questions": [chunk.question for chunk in found.chunks], "source": SOURCE}
    async with pool.connection() as conn:
        rows = await (await conn.execute(TWINS, asked)).fetchall()
    return [f"{row['question']}: {row['source'] or 'a row typed in by hand'} asks it too; keep one" for row in rows]


async def baseline(client: WecomClient, pool: Pool, *, days: int, today: date, only: Sequence[str] = ()) -> Baseline:
    """Collect the figures of so many days before today, by Beijing's calendar, of all accounts or only some.

    Raises:
        NativeError: there is no such account.
        ChannelError: WeCom does not answer or refuses.
    """
    first, last = today - timedelta(days=days), today - timedelta(days=1)
    accounts = _chosen(await client.accounts(), only)
    native: list[DayFigures] = []
    warnings: list[str] = []
    for account in accounts:
        try:
            native += await NativeRobot(client).figures(account.open_kfid, first, last)
        except BadRequestError as error:
            if only:
                raise
            warnings.append(f"{account.name or account.open_kfid}: left out, {error}")
    asked = {
        "accounts": [account.open_kfid for account in accounts],
        "begin": datetime.combine(first, time(), BEIJING),
        "end": datetime.combine(today, time(), BEIJING),
    }
    async with pool.connection() as conn:
        own = tuple(OwnDay(**row) for row in await (await conn.execute(OWN, asked)).fetchall())
        [recorded] = await (await conn.execute(RECORDED_SINCE, asked)).fetchall()
    since = recorded["day"]
    return Baseline(
        first=first,
        last=last,
        accounts=accounts,
        native=tuple(native),
        own=own,
        own_since=max(since, first) if since is not None and since <= last else None,
        warnings=tuple(warnings),
    )


def share(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    """Return the mean of shares, each counting by its weight; None when there are none."""
    known = [(value, weight or 1) for value, weight in pairs if value is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


def _chosen(accounts: Sequence[Account], only: Sequence[str]) -> tuple[Account, ...]:
    known = {account.open_kfid: account for account in accounts}
    for open_kfid in only:
        if open_kfid not in known:
            raise NativeError(f"there is no account {open_kfid!r}; WeCom lists {', '.join(known) or 'none'}")
    return tuple(known[open_kfid] for open_kfid in dict.fromkeys(only)) if only else tuple(accounts)


def _write(writer: ChunkWriter, intent: Intent, category: str, warnings: list[str]) -> bool:
    answer = "\n".join(filter(None, (intent.answer, *intent.attachments)))
    if not intent.question or not answer:
        warnings.append(f"{intent.question or intent.intent_id}: passed over, it has no question or no answer")
        return False
    if files := [each for each in intent.attachments if "://" not in each]:
        warnings.append(f"{intent.question}: {', '.join(files)} is named in the answer and not sent along")
    writer.entry(intent.question, answer, intent.similar, category=category)
    return True
