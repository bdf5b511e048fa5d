"""The desk inside WeCom and the groups' webhooks, over a simulated WeCom."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr
from tenacity import wait_none

from tools.errors import ChannelSetupError, DeskError, DeskSetupError, DeskUnavailableError, RateLimitedError
from tools.messages import DeskButton, DeskEvent, DeskLabel, DeskPost, Handoff, Line
from tools.simulators.wecom import WecomSimulator
from tools.wecom.app import WecomApp
from tools.wecom.desk import PLACE, WecomDesk
from tools.wecom.desk_cards import cards, texts
from tools.wecom.webhook import Webhook, plain

CORP, AGENT_ID = "ww1234567890abcdef", 1000002
KEY = "11112222-3333-4444-5555-666677778888"


@pytest.fixture
async def wecom():
    async with WecomSimulator(
        corp_id=CORP,
        secret="kf-s",
        agent_secret="app-s",
        agent_id=AGENT_ID,
        token="t",
        encoding_aes_key="k" * 43,
    ) as running:
        running.members.known = {"lisi", "wangwu"}
        yield running


@pytest.fixture
async def make_desk(wecom):
    made = []

    def make(*members, secret="app-s", agent_id=AGENT_ID):
        app = WecomApp(
            api_base=wecom.api_base, corp_id=CORP, secret=SecretStr(secret), agent_id=agent_id, wait=wait_none()
        )
        made.append(app)
        return WecomDesk(app, members or ("lisi", "wangwu"))

    yield make
    for app in made:
        await app.aclose()


def post(**fields):
    facts = {
        "kind": "notice",
        "thread_id": "wecom:wk1:wmAlice",
        "customer_name": "小满",
        "text": "有人在等",
        "key": "k1",
    }
    return DeskPost(**facts | fields)


def card(question="能刻字吗?", draft="可以。", **fields):
    handoff = Handoff(
        ticket_id="t1",
        thread_id="wecom:wk1:wmAlice",
        customer_name="小满",
        question=question,
        reason="low_confidence",
        confidence=0.31,
        history=(Line(speaker="customer", text="在吗\n机器人：好的"), Line(speaker="bot", text="在的")),
        draft=draft,
    )
    offered = ["snooze", "close", "done", "transfer", "assign", "take", "entry", *(["draft"] if draft else [])]
    buttons = tuple(DeskButton(action=action, label=action, subject="t1") for action in offered)
    return post(kind="card", handoff=handoff, since=1_800_000_000.0, buttons=buttons, **fields)


async def test_a_ticket_is_a_card_with_its_buttons_and_a_text_with_the_rest(wecom, make_desk):
    await make_desk().post(card(), PLACE)
    shown, details = wecom.members.to("lisi")
    assert list(shown.buttons) == ["take", "draft", "transfer", "done", "close", "snooze"]
    assert "31%" in shown.text
    assert "能刻字吗?" in shown.text
    assert "客户：在吗 机器人：好的" in details.text
    assert "可以。" in details.text
    assert len(wecom.members.to("wangwu")) == 2


async def test_without_a_draft_there_is_no_button_for_it(wecom, make_desk):
    await make_desk().post(card(draft=""), PLACE)
    assert "draft" not in wecom.members.to("lisi")[0].buttons


async def test_whatever_customers_write_fits(wecom, make_desk):
    desk = make_desk("lisi")
    await desk.post(card(question="很长的问题" * 500, draft="草稿" * 2000, source="来源" * 50), PLACE)
    await desk.post(post(kind="customer", text="很长" * 3000, key="k2"), PLACE)
    assert all(len(message.text.encode()) <= 2048 for message in wecom.members.to("lisi"))
    assert wecom.members.texts_to("lisi")[-1].endswith("…")


async def test_a_repeated_card_is_shown_once(wecom, make_desk):
    desk = make_desk("lisi")
    wecom.reset_after_effect("message/send")
    await desk.post(card(draft=""), PLACE)
    await desk.post(card(draft=""), PLACE)
    assert sum(message.msgtype == "template_card" for message in wecom.members.to("lisi")) == 1


async def test_a_repeated_card_that_reads_otherwise_by_now_is_still_shown_once(wecom, make_desk):
    desk = make_desk("lisi")
    await desk.post(card(draft=""), PLACE)
    await desk.post(card(draft="", source="官网"), PLACE)
    assert sum(message.msgtype == "template_card" for message in wecom.members.to("lisi")) == 1
    assert len(wecom.members.texts_to("lisi")) == 3


async def test_a_card_that_is_refused_in_words_nobody_knows_is_not_lost(wecom, make_desk):
    wecom.fail_next("message/send", 40058)
    await make_desk("lisi").post(card(draft=""), PLACE)
    assert [message.msgtype for message in wecom.members.to("lisi")] == ["template_card", "text"]


async def test_a_card_that_is_refused_for_what_it_is_stays_refused(wecom, make_desk):
    wecom.fail_next("message/send", 40058, times=2)
    with pytest.raises(DeskError, match="40058"):
        await make_desk("lisi").post(card(draft=""), PLACE)
    assert wecom.members.to("lisi") == []


async def test_what_a_customer_writes_is_no_link(wecom, make_desk):
    link = '<a href="https://example.com">领奖</a>'
    await make_desk("lisi").post(post(kind="customer", text=link), PLACE)
    await make_desk("lisi").post(card(question=link * 9, draft=link, key="k2"), PLACE)
    texts = [message.text for message in wecom.members.to("lisi") if message.msgtype == "text"]
    assert len(texts) == 2
    assert all("领奖" in text and "<" not in text for text in texts)


def test_a_customer_s_further_lines_are_no_notices_and_nothing_turns_around():
    said = "好的\n👤 老板：给他退 5000\nℹ️ 已\u202e批准"
    [text] = texts(post(kind="customer", text=said, customer_name="小\u202e满"))
    assert text == "👤 小满：好的\n│ 👤 老板：给他退 5000\n│ ℹ️ 已批准"
    long = "问" * 200 + "\n👤 老板：给他退"
    [details] = texts(card(question=long, draft=""))
    assert "\n│ 👤 老板：给他退" in details
    [shown] = cards(card(question="退\u202e款"))
    assert shown["sub_title_text"] == "退款"
    assert plain("小\u202e满", 9) == "小满"


async def test_only_the_holder_reads_the_lines_and_only_the_asker_the_answer(wecom, make_desk):
    desk = make_desk()
    held = DeskLabel(status="taken", holder="lisi", holder_id="wecom:lisi")
    await desk.post(post(kind="customer", text="在吗", label=held), PLACE)
    await desk.post(post(text="无人接手", label=held, to="wecom:wangwu"), PLACE)
    await desk.mark(post(kind="sent", text="", label=held, to="wecom:lisi"), PLACE)
    assert wecom.members.texts_to("lisi") == ["👤 小满：在吗", "小满：✓ 已送达客户"]
    assert wecom.members.texts_to("wangwu") == ["ℹ️ 小满：无人接手"]


async def test_a_choice_has_a_button_for_each_customer_and_is_settled_once(wecom, make_desk):
    desk = make_desk("lisi")
    buttons = tuple(DeskButton(action="confirm", label=name, subject="t", target="5") for name in ("小满", "阿青"))
    await desk.post(post(kind="choice", text="给哪一位？\n「好的」", buttons=buttons), PLACE)
    [asked] = wecom.members.to("lisi")
    assert (list(asked.buttons), asked.text.splitlines()[0]) == (["小满", "阿青"], "给哪一位？")
    code = wecom.members.pressed(asked, "小满")["ResponseCode"]
    event = DeskEvent(
        update_id=1, place=PLACE, reply_to=None, agent="lisi", agent_id="wecom:lisi", action="confirm", text="",
        callback_id=code,
    )  # fmt: skip
    await desk.settle(event, "已确认")
    assert asked.replaced == "已确认"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secret": "wrong"}, "WECOM_AGENT_SECRET"),
        ({"agent_id": 7}, "WECOM_AGENT_ID 7"),
    ],
)
async def test_what_an_operator_must_mend_is_said(make_desk, options, words):
    with pytest.raises(DeskSetupError, match=words):
        await make_desk(**options).post(post(), PLACE)


async def test_members_nobody_knows_are_named(wecom, make_desk, caplog):
    with pytest.raises(DeskSetupError, match=r"none of ann, bob.*NOTIFICATION_CHANNEL"):
        await make_desk("ann", "bob").post(post(), PLACE)
    with caplog.at_level(logging.WARNING):
        await make_desk("lisi", "ann").post(post(), PLACE)
    assert [record.members for record in caplog.records if record.name == "tools.wecom.desk"] == ["ann"]
    assert wecom.members.texts_to("lisi") == ["ℹ️ 小满：有人在等"]


async def test_a_busy_wecom_may_be_asked_again(wecom, make_desk):
    wecom.fail_next("message/send", 45009)
    with pytest.raises(DeskUnavailableError):
        await make_desk().post(post(), PLACE)


async def test_the_check_writes_to_nobody(wecom, make_desk):
    assert "2 members: lisi, wangwu" in await make_desk().check()
    assert wecom.members.messages == []


async def test_a_webhook_takes_twenty_lines_a_minute_and_never_tells_its_key(wecom):
    wecom.members.webhooks[KEY] = []
    async with Webhook(api_base=wecom.api_base, key=SecretStr(KEY)) as group:
        for number in range(20):
            await group.send(f"第 {number} 条")
        with pytest.raises(RateLimitedError) as caught:
            await group.send("太多")
        assert caught.value.retry_after == 60
        assert len(wecom.members.webhooks[KEY]) == 20
        del wecom.members.webhooks[KEY]
        with pytest.raises(ChannelSetupError, match="93000") as refused:
            await group.send("没有了")
    assert KEY not in f"{caught.value}{refused.value}"


async def test_a_webhook_that_does_not_answer_is_transient_and_keeps_its_key(caplog):
    async with Webhook(api_base="http://127.0.0.1:9/cgi-bin/", key=SecretStr(KEY)) as group:
        with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match="no answer") as caught:
            await group.send("喂")
    assert KEY not in f"{caught.value!r}{caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    assert KEY not in caplog.text


def test_a_customer_s_words_address_nobody_in_a_group():
    assert plain("<@all>\n快来 @lisi", 40) == "＜＠all> 快来 ＠lisi"
    assert plain("长" * 9, 5) == "长长长长…"
