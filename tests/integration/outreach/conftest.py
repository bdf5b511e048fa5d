"""Campaigns on a real database, with WeCom on loopback and a clock that tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tenacity import wait_none

from api.database import Pool, Row
from api.outreach import campaigns
from api.outreach.campaigns import Campaign, NewCampaign
from api.outreach.facts import Audience
from api.outreach.jobs import Outreach, make_outreach
from api.outreach.running import Ran
from api.settings import load_settings
from tools.simulators.wecom import WecomSimulator
from tools.wecom.contacts import WecomContacts

NOON = datetime(2026, 3, 4, 4, 0, tzinfo=UTC)
"""In Shanghai."""
STAFF = "zhangsan"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


class Marketing:
    """One shop's campaigns, its customers and friends."""

    def __init__(self, works: Any, sim: WecomSimulator, clock: Clock, outreach: Outreach, other: Outreach) -> None:
        self.works, self.sim, self.clock = works, sim, clock
        self.outreach = outreach
        self.other = other
        """Another worker's."""
        self.pool: Pool = works.pool

    async def writes(self, customer: str, text: str = "在吗", *, account: str = "wk1", **span: float) -> None:
        """Let a customer write, so long ago; the bot does not answer."""
        sent_at = (self.clock.now - timedelta(**span)).timestamp()
        await self.works.store(self.works.message(text, customer_id=customer, sent_at=sent_at, account_id=account))
        await self.works.run("update inbox set handled_at = now() where thread_id = %s", f"wecom:{account}:{customer}")

    async def befriend(self, customer: str, staff: str = STAFF, *, tags: Sequence[str] = ("老客户",)) -> None:
        """Let a customer be a confirmed friend of a member."""
        self.sim.contacts.add(customer, staff, state="", is_half=False)
        await self.works.run(
            "insert into friends (staff_id, external_userid, added_at, confirmed_at, tags) values (%s, %s, %s, %s, %s)",
            staff,
            customer,
            self.clock.now,
            self.clock.now,
            list(tags),
        )

    async def make(self, name: str = "c1", *, approve: bool = True, **wanted: Any) -> Campaign:
        """Make a campaign for everybody who wrote within a year, or for a tag."""
        audience = {"tags": (), "active_days": 365, "source": "", "account": ""} | wanted.pop("audience", {})
        facts = {
            "name": name,
            "text": "{customer_name}您好，新品到店。",
            "audience": Audience.of(**audience),
            "holdout": 0,
            "starts_at": self.clock.now,
            "ends_at": self.clock.now + timedelta(days=20),
            "created_by": "cli:me",
        }
        made = await campaigns.create(self.pool, NewCampaign(**facts | wanted), company="小店")
        if approve:
            made, _ = await campaigns.approve(self.pool, name, by="王", actor="cli:me", now=self.clock.now)
        return made

    async def to_friends(self, name: str = "c1", **wanted: Any) -> Campaign:
        """Make a campaign for friends with the tag."""
        return await self.make(name, audience={"tags": ("老客户",), "active_days": None}, **wanted)

    async def make_for_one(self, number: int) -> Campaign:
        """Make one of several campaigns for a customer who wrote just now."""
        await self.writes("wm1")
        return await self.make(f"c{number}")

    async def run(self, name: str = "") -> list[Ran]:
        """Run what is due and deliver every message that waits."""
        ran = await self.outreach.runner.run(name)
        await self.deliver()
        return ran

    async def deliver(self) -> None:
        """Do the deliveries that wait, as a worker does, and take in what became of them."""
        rows = await self.works.rows(
            "select distinct thread_id from outbox where destination = 'customer' and state in ('pending', 'sending')"
        )
        for row in rows:
            await self.works.jobs.deliver(row["thread_id"], "customer")
        await self.outreach.runner.run("no such campaign")

    async def states(self, campaign: str = "c1") -> dict[str, str]:
        """Customer → state, with the reason."""
        rows = await self.targets(campaign)
        return {row["customer_id"]: f"{row['state']}:{row['reason']}".rstrip(":") for row in rows}

    async def targets(self, campaign: str = "c1") -> list[Row]:
        return await self.works.rows(
            "select t.* from outreach_targets t join outreach_campaigns c on c.id = t.campaign_id"
            " where c.name = %s order by t.customer_id",
            campaign,
        )

    async def tasks(self) -> list[Row]:
        return await self.works.rows("select * from outreach_tasks order by id")

    async def actions(self) -> list[str]:
        """What the audit log holds about campaigns, in order."""
        rows = await self.works.rows("select action from audit_log where action like 'outreach.%%' order by id")
        return [row["action"] for row in rows]

    def texts_to(self, customer: str) -> list[str]:
        return [sent.text for sent in self.works.channel.sent if sent.customer_id == customer]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sim(clock: Clock) -> AsyncIterator[WecomSimulator]:
    options = {"corp_id": "ww1", "secret": "kf", "token": "t", "encoding_aes_key": "k" * 43}
    async with WecomSimulator(**options, contact_secret="contacts", clock=clock.seconds) as running:
        yield running


@pytest.fixture
async def make_outreaches(
    works: Any, sim: WecomSimulator, clock: Clock, clean_environment: Any
) -> AsyncIterator[Callable[[], Outreach]]:
    """Build what one worker has."""
    clients: list[WecomContacts] = []

    def build() -> Outreach:
        client = WecomContacts(
            api_base=sim.api_base,
            corp_id="ww1",
            secret=SecretStr("contacts"),
            timeout=httpx.Timeout(2),
            wait=wait_none(),
        )
        clients.append(client)
        return make_outreach(load_settings(), works.pool, works.outbox, works.jobs.customers, client, clock=clock)

    yield build
    for client in clients:
        await client.aclose()


@pytest.fixture
def marketing(works: Any, sim: WecomSimulator, clock: Clock, make_outreaches: Callable[[], Outreach]) -> Marketing:
    outreach, other = make_outreaches(), make_outreaches()
    works.jobs = replace(works.jobs, outreach=outreach)
    return Marketing(works, sim, clock, outreach, other)
