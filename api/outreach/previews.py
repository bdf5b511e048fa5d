"""What a campaign would do, told before anybody approves it; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.database import Pool
from api.outreach.campaigns import Campaign
from api.outreach.facts import facts_of, members
from api.outreach.law import Decision, Kf, Law, Skip, Staff
from api.outreach.words import text_for, text_for_staff

AT_ONCE = 1000
EXAMPLE_NAME = "小明"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One customer in the plan."""

    customer_id: str
    what: str
    """`kf`, `staff`, `holdout`, `waiting:…` or `skipped:…`."""
    staff_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would happen."""

    name: str
    state: str
    audience: str
    at: datetime
    """When it would begin, in local time."""
    kf_text: str
    staff_text: str
    counts: Mapping[str, int]
    customers: Sequence[Planned]


async def preview(pool: Pool, campaign: Campaign, law: Law, *, company: str, now: datetime) -> Preview:
    """Decide about everybody as if the campaign ran as soon as it may."""
    at = law.quiet.ends_at(max(now, campaign.starts_at))
    async with pool.connection() as conn:
        people = await members(conn, campaign.audience, now)
        planned: list[Planned] = []
        for start in range(0, len(people), AT_ONCE):
            known = await facts_of(
                conn,
                people[start : start + AT_ONCE],
                account=campaign.audience.account,
                campaign=campaign.id,
                now=at,
            )
            planned += [_planned(campaign, facts.customer_id, law.decide(facts, at)) for facts in known.values()]
    return Preview(
        name=campaign.name,
        state=campaign.state,
        audience=campaign.audience.words,
        at=at.astimezone(law.quiet.zone),
        kf_text=text_for(campaign.text, name=EXAMPLE_NAME, company=company),
        staff_text=text_for_staff(campaign.text, company=company),
        counts=dict(sorted(Counter(each.what for each in planned).items())),
        customers=planned,
    )


def _planned(campaign: Campaign, customer_id: str, decision: Decision) -> Planned:
    if isinstance(decision, Skip):
        return Planned(customer_id=customer_id, what=f"skipped:{decision.reason}")
    if not isinstance(decision, Kf | Staff):
        return Planned(customer_id=customer_id, what=f"waiting:{decision.reason}")
    if campaign.holds_out(customer_id):
        return Planned(customer_id=customer_id, what="holdout")
    if isinstance(decision, Staff):
        return Planned(customer_id=customer_id, what="staff", staff_id=decision.staff_id)
    return Planned(customer_id=customer_id, what="kf")
