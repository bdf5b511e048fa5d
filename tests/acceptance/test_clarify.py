"""Asking back, over the wire: a menu to click, the entry's own words, and a person when nothing fits."""

from __future__ import annotations

from importlib import resources

UNCLEAR, ALSO_UNCLEAR = "快递", "坏了怎么办"
NONE = "都不是,找人工"


async def menu_for(service, customer):
    """Ask what may mean several entries; return the menu's ids by their labels."""
    await service.wecom.customer_says(customer, UNCLEAR)
    await service.wecom.wait_for_text(customer, "您是想问:", timeout=20)
    [menu] = [sent for sent in service.wecom.sent if sent.customer == customer]
    assert menu.msgtype == "msgmenu"
    ids = {item["click"]["content"]: item["click"]["id"] for item in menu.payload["list"]}
    assert list(ids)[-1] == NONE
    assert 2 <= len(ids) <= 4
    return ids


def answer_in_the_sample(question):
    """Look an entry up in the articles themselves, by its question or a similar one."""
    text = (resources.files("kb") / "documents" / "sample.md").read_text(encoding="utf-8")
    [entry] = [entry for entry in text.split("\n### ") if question in entry.partition("\n\n")[0]]
    return entry.partition("\n\n")[2].partition("\n## ")[0].strip()


async def test_an_unclear_question_becomes_a_choice_and_a_miss_becomes_a_ticket(service):
    wecom = service.wecom
    ids = await menu_for(service, "wmClicks")
    label = next(iter(ids))
    await wecom.customer_clicks("wmClicks", ids[label])
    assert await wecom.wait_for_text("wmClicks", 2, timeout=20) == answer_in_the_sample(label)
    assert service.rows("select * from tickets") == []

    ids = await menu_for(service, "wmFindsNone")
    await wecom.customer_clicks("wmFindsNone", ids[NONE])
    await wecom.wait_for_text("wmFindsNone", "⏳", timeout=20)
    card = await service.telegram.wait_for_message(lambda message: "列出的问题都不是" in message.text, timeout=20)
    assert UNCLEAR in card.text

    await menu_for(service, "wmMissesTwice")
    await wecom.customer_says("wmMissesTwice", ALSO_UNCLEAR)
    await wecom.wait_for_text("wmMissesTwice", "⏳", timeout=20)
    assert [sent.msgtype for sent in wecom.sent if sent.customer == "wmMissesTwice"] == ["msgmenu", "text"]

    assert service.rows("select user_id, content, reason from unknown_questions order by id") == [
        ("wmFindsNone", UNCLEAR, "none_of_these"),
        ("wmMissesTwice", f"{UNCLEAR}\n{ALSO_UNCLEAR}", "low_confidence"),
    ]
    (question, shown, entry_id, source), none = service.rows(
        "select question, shown, entry_id, source from answer_labels order by id"
    )
    assert (question, entry_id, source) == (UNCLEAR, shown[0], "click")
    assert (none[0], none[2]) == (UNCLEAR, None)
