"""Campaigns: made, approved, changed, cancelled. What a person approved is frozen: texts, people, times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from api import audit
from api.database import Connection, Pool, Row
from api.outreach.errors import OutreachError
from api.outreach.facts import Audience, members
from api.outreach.words import check_text

NAME_CHARACTERS = 60

RECENT = timedelta(days=4)
"""How long after a message the channel may still tell that it was lost."""

State = Literal["draft", "approved", "done", "cancelled"]

PEOPLE = """
select encode(sha256(convert_to(
    coalesce(string_agg(customer_id, ',' order by customer_id collate "C"), ''), 'UTF8')), 'hex') as digest
from outreach_targets where campaign_id = %s
"""
ADD_PEOPLE = """
insert into outreach_targets (campaign_id, customer_id, is_holdout)
select %s, who.customer_id, who.is_holdout from unnest(%s::text[], %s::bool[]) as who (customer_id, is_holdout)
"""
# Fewer people than were approved is no change: some ask to be forgotten. Others than those is one.
SEAL = """
update outreach_targets set seal = encode(sha256(convert_to(%s || ':' || customer_id, 'UTF8')), 'hex')
where campaign_id = %s
"""
STRANGERS = """
select 1 from outreach_targets
where campaign_id = %s and seal <> encode(sha256(convert_to(%s || ':' || customer_id, 'UTF8')), 'hex') limit 1
"""
BEGUN = "select 1 from outreach_targets where campaign_id = %s and state not in ('planned', 'skipped') limit 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One thing said to many."""

    id: int
    name: str
    text: str
    audience: Audience
    holdout: int
    """Percent who are left alone, to compare with."""
    starts_at: datetime
    ends_at: datetime
    state: State
    created_by: str
    approved_by: str | None = None
    approved_at: datetime | None = None
    approved_hash: str | None = None
    approved_people: str | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether its time is now."""
        return self.starts_at <= now < self.ends_at

    def holds_out(self, customer_id: str) -> bool:
        """Tell whether a customer is left alone to compare with; always the same for the same two."""
        digest = hashlib.sha256(f"{self.id}:{customer_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % 100 < self.holdout


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """What an operator wants."""

    name: str
    text: str
    audience: Audience
    holdout: int
    starts_at: datetime
    ends_at: datetime
    created_by: str


async def create(pool: Pool, wanted: NewCampaign, *, company: str, replace: bool = False) -> Campaign:
    """Make a campaign, or with `replace` change one that has sent nothing; either needs approval.

    Raises:
        OutreachError: something of it cannot be, or there is one of this name.
    """
    _check(wanted, company)
    async with pool.connection() as conn, conn.transaction():
        known = await _find(conn, wanted.name, lock=True)
        if known is not None:
            await _clear(conn, known, replace=replace)
        values = {**asdict(wanted), "audience": Jsonb(asdict(wanted.audience))}
        cursor = await conn.execute(
            "insert into outreach_campaigns (name, text, audience, holdout, starts_at, ends_at, created_by)"
            " values (%(name)s, %(text)s, %(audience)s, %(holdout)s, %(starts_at)s, %(ends_at)s, %(created_by)s)"
            " on conflict (name) do update set text = excluded.text, audience = excluded.audience,"
            " holdout = excluded.holdout, starts_at = excluded.starts_at, ends_at = excluded.ends_at,"
            " state = 'draft', approved_by = null, approved_at = null, approved_hash = null, approved_people = null"
            " returning *",
            values,
        )
        row = await cursor.fetchone()
        assert row is not None, "an insert returns its row"
        action = "outreach.changed" if known else "outreach.created"
        await audit.record(conn, actor=wanted.created_by, action=action, subject=wanted.name)
    return _campaign(row)


async def approve(pool: Pool, name: str, *, by: str, actor: str, now: datetime) -> tuple[Campaign, int]:
    """Freeze a campaign's text, times and people as they are now; return it and how many people.

    Raises:
        OutreachError: it is not there, over, or for nobody; or nobody's name was given.
    """
    if not by.strip():
        raise OutreachError("who approves it? say --by NAME")
    async with pool.connection() as conn, conn.transaction():
        campaign = await _get(conn, name, lock=True)
        if campaign.state in {"done", "cancelled"}:
            raise OutreachError(f"{name} is {campaign.state}; make another one")
        if campaign.ends_at <= now:
            raise OutreachError(f"{name} ended at {campaign.ends_at:%Y-%m-%d %H:%M}; change it with create --replace")
        if await has_begun(conn, campaign.id):
            raise OutreachError(f"{name} was begun under the approval of {campaign.approved_by}; cancel it first")
        people = await members(conn, campaign.audience, now)
        if not people:
            raise OutreachError(f"{name} is for nobody: {campaign.audience.words} fits no customer")
        digest = await _freeze(conn, campaign, people)
        cursor = await conn.execute(
            "update outreach_campaigns set state = 'approved', approved_by = %s, approved_at = %s, approved_hash = %s,"
            " approved_people = %s where id = %s returning *",
            (by.strip(), now, fingerprint(campaign, digest), digest, campaign.id),
        )
        row = await cursor.fetchone()
        assert row is not None, "its row is locked"
        await conn.execute(SEAL.encode(), (row["approved_hash"], campaign.id))
        detail = {"by": by.strip(), "people": len(people), "hash": row["approved_hash"]}
        await audit.record(conn, actor=actor, action="outreach.approved", subject=name, detail=detail)
    return _campaign(row), len(people)


async def cancel(pool: Pool, name: str, *, actor: str, now: datetime) -> int:
    """Stop a campaign for good; return how many are spared. What was handed over to staff stays with them.

    Raises:
        OutreachError: it is not there, or over.
    """
    async with pool.connection() as conn, conn.transaction():
        campaign = await _get(conn, name, lock=True)
        if campaign.state in {"done", "cancelled"}:
            raise OutreachError(f"{name} is {campaign.state} already")
        await conn.execute(
            "update outreach_campaigns set state = 'cancelled', finished_at = %s where id = %s", (now, campaign.id)
        )
        spared = await end_planned(conn, campaign.id, "cancelled")
        await audit.record(conn, actor=actor, action="outreach.cancelled", subject=name, detail={"spared": spared})
    return spared


async def end_planned(conn: Connection, campaign_id: int, reason: str) -> int:
    """Skip whom nothing was sent to yet; return how many."""
    cursor = await conn.execute(
        "update outreach_targets set state = 'skipped', reason = %s, tried_at = null where campaign_id = %s"
        " and (state = 'planned' or state = 'intent' and channel = 'template' and task_id is null)",
        (reason, campaign_id),
    )
    return cursor.rowcount


async def set_target(conn: Connection, target_id: int, values: Mapping[str, object]) -> None:
    """Change what is known of one customer of a campaign."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    await conn.execute(
        sql.SQL("update outreach_targets set {} where id = %(target_id)s").format(columns),
        {**values, "target_id": target_id},
    )


def fingerprint(campaign: Campaign, people: str) -> str:
    """Return the hash of all that an approval covers: text, audience, times, hold-out, and the people themselves."""
    frozen = {
        "text": campaign.text,
        "audience": asdict(campaign.audience),
        "holdout": campaign.holdout,
        "window": [campaign.starts_at.timestamp(), campaign.ends_at.timestamp()],
        "people": people,
    }
    return hashlib.sha256(json.dumps(frozen, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


async def is_as_approved(conn: Connection, campaign: Campaign) -> bool:
    """Tell whether a campaign is still what somebody approved."""
    if campaign.approved_hash is None or campaign.approved_people is None:
        return False
    if fingerprint(campaign, campaign.approved_people) != campaign.approved_hash:
        return False
    return await (await conn.execute(STRANGERS.encode(), (campaign.id, campaign.approved_hash))).fetchone() is None


async def get(pool: Pool, name: str) -> Campaign:
    """Return a campaign.

    Raises:
        OutreachError: there is none of this name.
    """
    async with pool.connection() as conn:
        return await _get(conn, name)


async def approved(pool: Pool, name: str = "") -> list[Campaign]:
    """List the approved campaigns, the oldest approval first; with a name that one."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select * from outreach_campaigns where state = 'approved' and (%s = '' or name = %s)"
            " order by approved_at, id",
            (name, name),
        )
        return [_campaign(row) for row in await cursor.fetchall()]


async def list_all(pool: Pool) -> list[Campaign]:
    """List every campaign, the newest first."""
    async with pool.connection() as conn:
        cursor = await conn.execute("select * from outreach_campaigns order by id desc")
        return [_campaign(row) for row in await cursor.fetchall()]


async def has_begun(conn: Connection, campaign_id: int) -> bool:
    """Tell whether anything was sent, or anybody told apart."""
    return await (await conn.execute(BEGUN.encode(), (campaign_id,))).fetchone() is not None


async def _freeze(conn: Connection, campaign: Campaign, people: Sequence[str]) -> str:
    """Write down who it is for; return the hash of them."""
    await conn.execute("delete from outreach_targets where campaign_id = %s", (campaign.id,))
    held = [campaign.holds_out(customer) for customer in people]
    await conn.execute(ADD_PEOPLE.encode(), (campaign.id, list(people), held))
    row = await (await conn.execute(PEOPLE.encode(), (campaign.id,))).fetchone()
    assert row is not None, "an aggregate always has a row"
    return str(row["digest"])


async def _clear(conn: Connection, known: Campaign, *, replace: bool) -> None:
    if not replace:
        raise OutreachError(f"there is a campaign {known.name} already; choose another name, or --replace it")
    if known.state in {"done", "cancelled"} or await has_begun(conn, known.id):
        raise OutreachError(f"{known.name} was begun; it cannot be changed any more, choose another name")
    await conn.execute("delete from outreach_targets where campaign_id = %s", (known.id,))


async def _get(conn: Connection, name: str, *, lock: bool = False) -> Campaign:
    campaign = await _find(conn, name, lock=lock)
    if campaign is None:
        raise OutreachError(f"there is no campaign {name!r}; see `kefu outreach list`")
    return campaign


async def _find(conn: Connection, name: str, *, lock: bool) -> Campaign | None:
    if lock:
        await conn.execute("select 1 from outreach_campaigns where name = %s for update", (name,))
    cursor = await conn.execute("select * from outreach_campaigns where name = %s", (name,))
    row = await cursor.fetchone()
    return _campaign(row) if row else None


def _campaign(row: Row) -> Campaign:
    audience = Audience(**{**row["audience"], "tags": tuple(row["audience"]["tags"])})
    values = {each.name: row[each.name] for each in fields(Campaign)}
    return Campaign(**{**values, "audience": audience})


def _check(wanted: NewCampaign, company: str) -> None:
    if not wanted.name or len(wanted.name) > NAME_CHARACTERS or wanted.name != wanted.name.strip():
        raise OutreachError(f"the name should be 1 to {NAME_CHARACTERS} characters without spaces around")
    if not 0 <= wanted.holdout <= 90:
        raise OutreachError(f"--holdout: {wanted.holdout} is not 0 to 90 percent")
    if wanted.starts_at >= wanted.ends_at:
        raise OutreachError("--until must be after --from")
    if problem := check_text(wanted.text, company=company):
        raise OutreachError(problem)
