"""What `kefu outreach` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from api.outreach.campaigns import Campaign
from api.outreach.previews import Preview
from api.outreach.reports import Rate, Report
from api.outreach.running import Ran

WHY: Mapping[str, str] = {
    "opted_out": "opted out",
    "left": "left the staff",
    "person_open": "a person has the conversation",
    "month_cap": "got as many as KEFU_OUTREACH_PER_MONTH allows",
    "no_channel": "no conversation and no friend of the staff",
    "window_closed": "last wrote over 48 hours ago, no friend of the staff",
    "budget_used": "no room in the five messages, no friend of the staff",
    "session_closed": "the session is closed, no friend of the staff",
    "quiet_hours": "quiet hours",
    "same_day": "got another campaign today",
    "pending": "another campaign is on its way",
    "cancelled": "cancelled",
    "window_over": "the time was over",
    "nobody_to_send_to": "WeCom found nobody to send it to",
    "refused": "WeCom does not let the member write to them",
    "not_a_friend": "no friend of the member any more",
    "other_message": "got another mass message; WeCom allows no more",
    "not_confirmed": "the member did not confirm it within 30 days",
}
"""Reasons as a person reads them."""

WHAT: Mapping[str, str] = {
    "kf": "in 微信客服",
    "staff": "by a member of staff, who confirms it",
    "staff_pending": "a member of staff has yet to confirm it",
    "staff_sent": "a member of staff sent it",
    "holdout": "left alone, to compare with",
    "planned": "planned",
    "intent": "on its way",
    "sent": "sent in 微信客服",
    "unknown": "nobody knows whether it arrived",
    "waiting": "later",
    "busy": "at another worker",
}


def campaign_words(campaign: Campaign, zone: ZoneInfo) -> list[str]:
    """One line."""
    begin, end = (moment.astimezone(zone).strftime("%m-%d %H:%M") for moment in (campaign.starts_at, campaign.ends_at))
    by = f"  approved by {campaign.approved_by}" if campaign.approved_by else ""
    times, who = f"{begin} to {end}", campaign.audience.words
    return [f"{campaign.name:<20} {campaign.state:<9} {times}  hold-out {campaign.holdout} %  ({who}){by}"]


def preview_words(told: Preview, *, show_all: bool) -> list[str]:
    """What would happen."""
    lines = [
        f"{told.name} ({told.state}): {told.audience}, {len(told.customers)} people",
        f"would begin at {told.at:%Y-%m-%d %H:%M %Z}",
        *_counted(told.counts),
        "in 微信客服:",
        *(f"    {line}" for line in told.kf_text.splitlines()),
    ]
    if told.counts.get("staff"):
        lines += [
            "by the staff, one text for all, so without names:",
            *(f"    {line}" for line in told.staff_text.splitlines()),
        ]
    if show_all:
        lines += [f"{each.customer_id}  {each.what}  {each.staff_id}".rstrip() for each in told.customers]
    return lines


def ran_words(ran: Ran) -> list[str]:
    """What a run did."""
    if ran.note:
        return [f"{ran.name}: nothing sent, {ran.note}"]
    return [f"{ran.name}:", *(_counted(ran.counts) or ["   nobody was due"])]


def report_words(told: Report) -> list[str]:
    """What came of it."""
    lines = [f"{told.name} ({told.state})", *_counted(told.counts)]
    lines.append(f"{told.opted_out:>6}  opted out within 7 days")
    if told.lift is not None:
        lines += [_rate("written to", told.lift.treated), _rate("left alone", told.lift.holdout)]
    lines.append(told.verdict)
    if told.ways.get("template"):
        lines.append("Answers to members of staff are not seen here; only those in 微信客服 count.")
    for task in told.tasks:
        lines.append(
            f"task {task['id']}  {task['staff_id']}  {task['state']}  {task['sent']} of {task['customers']} sent"
            + (f"  {task['error']}" if task["error"] else "")
        )
        if task["state"] == "unknown":
            lines += [
                "    look at 客户联系 → 群发工具 in the console: is it there?",
                f"    yes: kefu outreach resolve {task['id']} --msgid MSGID --by NAME",
                f"    no:  kefu outreach resolve {task['id']} --not-created --by NAME",
            ]
    return lines


def _rate(who: str, rate: Rate) -> str:
    return (
        f"{who}: {rate.replied} of {rate.customers} answered within 7 days, {100 * rate.rate:.1f} %"
        f" ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
    )


def _counted(counts: Mapping[str, int]) -> list[str]:
    return [f"{customers:>6}  {_said(name)}" for name, customers in counts.items()]


def _said(name: str) -> str:
    what, _, reason = name.partition(":")
    why = WHY.get(reason, reason)
    said = WHAT.get(what, what)
    return f"{said}: {why}" if why else said
