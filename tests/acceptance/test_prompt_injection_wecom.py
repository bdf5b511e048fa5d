"""The attacks on people, against a desk inside WeCom: what customers write is shown as text and does nothing."""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from pathlib import Path

import yaml

from tools.desk_buttons import read_button

ATTACKS = Path(__file__).parents[1] / "fixtures" / "attacks"
AT_PEOPLE = ("wecom_cards", "desk_markup", "desk_orders", "names_sources")
AGENT_ID = 1000002
OUR_BUTTONS = {"发送草稿", "接手", "转给我", "稍后 10 分钟", "交还机器人", "结束"}


@cache
def attacks():
    documents = [yaml.safe_load((ATTACKS / f"{name}.yaml").read_text(encoding="utf-8")) for name in AT_PEOPLE]
    return {f"wm_{attack['id']}": attack for document in documents for attack in document["attacks"]}


def lines(attack):
    return attack.get("turns") or [attack["text"]]


def squeezed(text):
    return re.sub(r"[\W_]+", "", text)


def sent(service, msgtype):
    """What the members were sent; of so much within a minute they would see a part."""
    return [body[msgtype] for body in service.wecom.members.sent if body["msgtype"] == msgtype]


async def until(is_reached, *, seconds=60):
    async with asyncio.timeout(seconds):
        while not is_reached():  # noqa: ASYNC110 -- nothing announces what members were sent
            await asyncio.sleep(0.1)


async def play(service):
    """Let each attack be the question of a card first, and then a line for whoever has the customer."""
    wecom = service.wecom
    for customer, attack in attacks().items():
        wecom.add_customer(customer, nickname=attack.get("name", ""))
        if "source" in attack:
            await wecom.enter_session(customer, scene="s", scene_param=attack["source"], notify=False)
        await wecom.customer_says(customer, lines(attack)[0], notify=False)
        await wecom.customer_says(customer, "转人工", notify=False)
    await wecom.notify()
    await until(lambda: len(sent(service, "template_card")) == len(attacks()))
    for customer, attack in attacks().items():
        for line in lines(attack):
            await wecom.customer_says(customer, line, notify=False)
    await wecom.notify()

    def missing():
        told = squeezed("\n".join(text["content"] for text in sent(service, "text")))
        return [line for attack in attacks().values() for line in lines(attack) if squeezed(line) not in told]

    await until(lambda: not missing())


async def test_what_customers_write_is_text_to_members_inside_wecom(make_service):
    service = await make_service(
        NOTIFICATION_CHANNEL="wecom:lisi|wangwu", WECOM_AGENT_ID=str(AGENT_ID), KEFU_BURST_SECONDS="0"
    )
    service.wecom.members.agent_id = AGENT_ID
    await service.serve()
    await play(service)

    cards, texts = sent(service, "template_card"), sent(service, "text")
    for card in cards:
        assert {button["text"] for button in card["button_list"]} <= OUR_BUTTONS
        assert all(read_button(button["key"]) for button in card["button_list"])
        assert "url" not in str(card.get("card_action", "")), card
    asked = squeezed("\n".join(card["sub_title_text"] for card in cards))
    assert [attack for attack in attacks().values() if squeezed(lines(attack)[0])[:40] not in asked] == []
    assert [text["content"] for text in texts if "<" in text["content"]] == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", json.dumps([cards, texts], ensure_ascii=False))
    told = "\n".join(text["content"] for text in texts)
    further = [part for attack in attacks().values() for line in lines(attack) for part in line.splitlines()[1:]]
    assert further
    assert [part for part in further if part and f"\n{part}" in told] == []
    assert len(cards) == len(attacks())
    assert service.rows("select count(*) from tickets where closed_at is not null or taken_name <> ''") == [(0,)]
    assert service.rows("select count(*) from inbox where origin = 'desk'") == [(0,)]
    assert service.rows("select count(*) from outbox where part in ('human', 'handed_back')") == [(0,)]
