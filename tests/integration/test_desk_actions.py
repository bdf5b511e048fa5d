"""What people do at the desk: who has a ticket, what is refused, what each action leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kb.errors import IndexUnavailableError
from tools.messages import DeskLabel

LI = {"agent": "小李", "agent_id": "9002"}
WANG = {"agent": "小王", "agent_id": "9001"}


@pytest.fixture
async def ticket(works: Any) -> str:
    """A customer waits for a person; the ticket has a draft."""
    await works.customer("能刻字吗?")
    await works.run("update tickets set draft = '可以刻字。'")
    return str(works.desk.posts[0].handoff.ticket_id)


def pressed(action: str, ticket_id: str | None, **fields: Any) -> dict[str, Any]:
    return {"action": action, "ticket_id": ticket_id, "callback_id": "c", "message_id": 1, **fields}


def notices(works: Any) -> list[str]:
    return [text for kind, text in works.desk.lines if kind == "notice"]


def last(works: Any) -> Any:
    return works.desk.posts[-1]


async def holders(works: Any) -> list[str]:
    return [row["taken_name"] for row in await works.rows("select taken_name from tickets order by opened_at")]


async def actions(works: Any) -> list[tuple[str, str, str]]:
    rows = await works.rows("select actor, action, detail ->> 'outcome' as outcome from audit_log order by id")
    return [(row["actor"], row["action"], row["outcome"]) for row in rows]


class TestTake:
    async def test_only_the_one_who_took_the_ticket_answers(self, works: Any, ticket: str) -> None:
        assert await works.agent("", **pressed("take", ticket), **WANG) == "answered"
        assert await works.agent("我来说", message_id=70, **LI) == "refused"
        assert "小王" in notices(works)[-1]
        assert last(works).reply_to == 70
        for action in ("draft", "take", "assign", "snooze", "done"):
            assert await works.agent("", **pressed(action, ticket), **LI) == "refused"
        assert await works.agent("", action="close", **LI) == "refused"
        assert await works.agent("可以刻字", **WANG) == "stored"
        assert works.channel.texts[1:] == ["可以刻字"]

    async def test_whoever_answers_first_has_it(self, works: Any, ticket: str) -> None:
        assert await works.agent("可以刻字", **WANG) == "stored"
        assert await holders(works) == ["小王"]
        assert await works.agent("我也说", **LI) == "refused"
        assert works.channel.texts[1:] == ["可以刻字"]

    async def test_of_two_who_press_at_once_one_has_it(self, works: Any, ticket: str) -> None:
        events = [await works.event("", **pressed("draft", ticket), **who) for who in (WANG, LI)]
        outcomes = await asyncio.gather(*map(works.act, events))
        assert sorted(outcomes) == ["refused", "stored"]
        await works.work()
        assert works.channel.texts[1:] == ["可以刻字。"]

    async def test_of_two_who_write_at_once_one_is_heard(self, works: Any, ticket: str) -> None:
        events = [await works.event(who["agent"], **who) for who in (WANG, LI)]
        outcomes = await asyncio.gather(*map(works.act, events))
        assert sorted(outcomes) == ["refused", "stored"]
        await works.work()
        assert len(works.channel.texts) == 2

    async def test_people_of_one_name_are_told_apart(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        assert await works.agent("我也说", agent="小王", agent_id="9009") == "refused"

    async def test_a_lock_ends_when_its_holder_does_nothing(self, works: Any, ticket: str) -> None:
        await works.agent("", action="take", **WANG)
        await works.run("update tickets set acted_at = now() - interval '14 minutes 50 seconds'")
        assert await works.agent("", action="take", **LI) == "refused"
        await works.run("update tickets set acted_at = now() - interval '15 minutes 1 second'")
        assert await works.agent("", action="take", **LI) == "answered"
        assert await holders(works) == ["小李"]
        assert await works.agent("我还在", **WANG) == "refused"

    async def test_how_long_a_lock_lasts_is_a_setting(self, works: Any, ticket: str) -> None:
        works.desk_inbox = works.make_desk_inbox(take_minutes=1)
        await works.agent("", action="take", **WANG)
        await works.run("update tickets set acted_at = now() - interval '61 seconds'")
        assert await works.agent("好的", **LI) == "stored"

    async def test_what_the_holder_does_keeps_it_theirs(self, works: Any, ticket: str) -> None:
        await works.agent("", action="take", **WANG)
        await works.run("update tickets set acted_at = now() - interval '14 minutes', taken_at = acted_at")
        await works.agent("可以刻字", **WANG)
        [row] = await works.rows(
            "select acted_at > now() - interval '1 minute' as is_fresh, taken_at < acted_at as is_old from tickets"
        )
        assert row == {"is_fresh": True, "is_old": True}

    async def test_taking_twice_is_said_so(self, works: Any, ticket: str) -> None:
        await works.agent("", action="take", **WANG)
        await works.agent("", action="take", **WANG)
        assert notices(works)[-1] == works.texts.render("desk_yours")

    async def test_without_a_ticket_there_is_nothing_to_take(self, works: Any, ticket: str) -> None:
        await works.agent("", action="close", **WANG)
        await works.agent("", action="take", **WANG)
        assert notices(works)[-1] == works.texts.render("desk_no_ticket")

    async def test_a_repeated_update_takes_once(self, works: Any, ticket: str) -> None:
        event = await works.event("", action="take", **WANG)
        assert [await works.act(event) for _ in range(2)] == ["answered", "repeated"]
        await works.work()
        assert notices(works).count(works.texts.render("desk_taken", agent="小王")) == 1
        assert await actions(works) == [("desk:小王", "desk.take", "answered")]

    async def test_after_done_anybody_may_write(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        await works.agent("", action="done", **WANG)
        assert await works.agent("补充一句", **LI) == "stored"
        assert works.channel.texts[-1] == "补充一句"
        assert notices(works)[-1] == works.texts.render("desk_not_waiting")


class TestGive:
    async def test_a_ticket_is_given_to_somebody_who_was_seen_here(self, works: Any, ticket: str) -> None:
        await works.agent("", action="who", **LI)
        await works.agent("", **pressed("assign", ticket), **WANG)
        assert [(button.label, button.target) for button in last(works).buttons] == [
            ("小李", "9002"),
            ("放开，谁都可以接手", "0"),
        ]
        await works.agent("", **pressed("give", ticket, target="9002"), **WANG)
        assert await holders(works) == ["小李"]
        assert await works.agent("我再说", **WANG) == "refused"
        assert await works.agent("可以刻字", **LI) == "stored"

    async def test_a_ticket_is_let_go(self, works: Any, ticket: str) -> None:
        await works.agent("", action="take", **WANG)
        await works.agent("", **pressed("give", ticket, target="0"), **WANG)
        assert await holders(works) == [""]
        assert await works.agent("可以刻字", **LI) == "stored"

    async def test_nobody_is_no_colleague(self, works: Any, ticket: str) -> None:
        assert await works.agent("", **pressed("give", ticket, target="777"), **WANG) == "stale"

    async def test_anonymous_people_are_not_offered(self, works: Any, ticket: str) -> None:
        await works.agent("", action="who", agent="管理员", agent_id="-100:管理员")
        await works.agent("", **pressed("assign", ticket), **WANG)
        assert [button.target for button in last(works).buttons] == ["0"]


class TestButtons:
    @pytest.mark.parametrize("action", ["draft", "take", "assign", "snooze", "done"])
    async def test_a_button_of_an_old_card_does_nothing(self, works: Any, ticket: str, action: str) -> None:
        await works.agent("", action="close", **WANG)
        sent = len(works.channel.texts)
        assert await works.agent("", **pressed(action, ticket), **WANG) == "stale"
        assert len(works.channel.texts) == sent

    async def test_an_old_card_s_button_leaves_the_new_ticket_alone(self, works: Any, ticket: str) -> None:
        await works.agent("", action="close", **WANG)
        await works.customer("能送货吗?")
        assert await works.agent("", **pressed("done", ticket), **LI) == "stale"
        assert await works.conversation.is_waiting(works.thread())

    async def test_done_is_pressed_once(self, works: Any, ticket: str) -> None:
        events = [await works.event("", **pressed("done", ticket), **WANG) for _ in range(2)]
        assert [await works.act(event) for event in events] == ["stored", "answered"]
        await works.work()
        assert works.channel.texts[1:] == [works.texts.render("handed_back")]
        assert notices(works) == [works.texts.render("desk_closed")]

    async def test_snoozed_until_the_reminder(self, works: Any, ticket: str) -> None:
        assert await works.agent("", **pressed("snooze", ticket), **WANG) == "answered"
        assert await works.agent("", **pressed("snooze", ticket), **WANG) == "stale"
        assert works.desk.labels[-1] == DeskLabel(status="snoozed")
        await works.jobs.housekeeping.sweep()
        assert notices(works)[-1] != works.texts.render("desk_awake")
        await works.run("update tickets set snoozed_until = now()")
        await works.jobs.housekeeping.sweep()
        await works.work()
        assert notices(works)[-1] == works.texts.render("desk_awake")
        assert works.desk.labels[-1] == DeskLabel(status="waiting")
        await works.jobs.housekeeping.sweep()
        await works.work()
        assert notices(works).count(works.texts.render("desk_awake")) == 1

    async def test_an_answer_ends_a_snooze(self, works: Any, ticket: str) -> None:
        await works.agent("", **pressed("snooze", ticket), **WANG)
        await works.agent("可以刻字", **WANG)
        assert works.desk.labels[-1] == DeskLabel(status="taken", holder="小王")

    async def test_an_article_is_asked_for_once_even_after_the_end(self, works: Any, ticket: str) -> None:
        asked: list[tuple[str, str]] = []

        async def request_entry(_: Any, ticket_id: str, agent: str) -> None:
            asked.append((ticket_id, agent))

        works.desk_inbox = works.make_desk_inbox(request_entry=request_entry)
        await works.agent("", action="close", **WANG)
        outcomes = [await works.agent("", **pressed("entry", ticket), **LI) for _ in range(2)]
        assert (outcomes, asked) == (["answered", "stale"], [(ticket, "小李")])
        assert await works.rows("select wants_entry from tickets") == [{"wants_entry": True}]


class TestMarks:
    async def test_a_delivered_message_is_marked(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", message_id=70, **WANG)
        assert [(mark.reply_to, mark.text) for mark in works.desk.marks] == [(70, "")]

    async def test_what_is_left_is_said_when_it_is_little(self, works: Any, ticket: str) -> None:
        works.set_limits(units=4)
        await works.agent("一", message_id=70, **WANG)
        await works.agent("二", message_id=71, **WANG)
        said = works.texts.render
        assert [mark.text for mark in works.desk.marks] == [said("desk_sent", left="2"), said("desk_sent", left="1")]

    async def test_a_draft_that_goes_out_as_it_is_labels_its_question_once(self, works: Any, ticket: str) -> None:
        hits = '[{"entry_id": "e1"}, {"entry_id": "e2"}]'
        await works.run(f"update unknown_questions set hits = '{hits}'")
        for _ in range(2):
            await works.agent("", **pressed("draft", ticket), **WANG)
        labels = await works.rows("select question, shown, entry_id, source from answer_labels")
        assert labels == [{"question": "能刻字吗?", "shown": ["e1", "e2"], "entry_id": "e1", "source": "desk"}]

    async def test_words_of_one_s_own_label_nothing(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        assert await works.rows("select 1 from answer_labels") == []

    async def test_a_draft_says_who_sent_it(self, works: Any, ticket: str) -> None:
        await works.agent("", **pressed("draft", ticket), **WANG)
        assert works.desk.marks == []
        assert (last(works).text, last(works).reply_to) == (works.texts.render("desk_sent_for", agent="小王"), 1)

    async def test_why_it_failed_is_said_under_that_message(self, works: Any, ticket: str) -> None:
        works.set_limits(units=1)
        await works.agent("可以刻字", message_id=70, **WANG)
        assert works.desk.marks == []
        assert last(works).reply_to == 70
        assert "5 条" in last(works).text

    async def test_the_closed_window_is_said_under_that_message(self, works: Any, ticket: str) -> None:
        works.set_limits(units=5, window_seconds=0.001)
        await works.agent("可以刻字", message_id=70, **WANG)
        assert last(works).reply_to == 70
        assert "48 小时" in last(works).text

    async def test_what_the_vendor_reports_later_is_said_there_too(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", message_id=70, **WANG)
        [row] = await works.rows("select message_key from outbox where part like 'human%%'")
        await works.store(works.not_delivered(row["message_key"], "客户已拒收"))
        await works.work()
        assert (last(works).reply_to, "客户已拒收" in last(works).text) == (70, True)

    async def test_merged_messages_are_marked_with_the_one_they_went_in(self, works: Any, ticket: str) -> None:
        works.set_limits(units=2)
        for number, text in enumerate("一二"):
            assert await works.act(await works.event(text, message_id=70 + number, **WANG)) == "stored"
        await works.work()
        assert works.channel.texts[1:] == ["一\n\n二"]
        assert [mark.reply_to for mark in works.desk.marks] == [70, 71]

    async def test_merged_messages_fail_with_the_one_they_went_in(self, works: Any, ticket: str) -> None:
        works.set_limits(units=1)
        for number, text in enumerate("一二"):
            await works.act(await works.event(text, message_id=70 + number, **WANG))
        await works.work()
        assert works.desk.marks == []
        assert {post.reply_to for post in works.desk.posts if post.reply_to} == {70, 71}

    async def test_a_message_repeated_after_a_crash_is_marked_once(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", message_id=70, **WANG)
        await works.run("update outbox set state = 'sending' where part like 'human%%'")
        await works.work()
        assert len(works.desk.marks) == 1


class TestLongTexts:
    async def test_a_text_of_several_messages_is_confirmed_first(self, works: Any, ticket: str) -> None:
        works.set_limits(units=5)
        assert await works.agent("一|二|三", message_id=70, **WANG) == "held_back"
        assert len(works.channel.texts) == 1
        assert last(works).text == works.texts.render("desk_parts", parts="3", left="4")
        confirm, cancel = last(works).buttons
        press = {"callback_id": "c", "subject": confirm.subject, "message_id": 1, "reply_to": None}
        assert await works.agent("", action="confirm", **press, **LI) == "refused"
        assert await works.agent("", action="confirm", **press, **WANG) == "stored"
        assert works.channel.texts[1:] == ["一", "二", "三"]
        assert [mark.reply_to for mark in works.desk.marks] == [70]
        assert await works.agent("", action="confirm", **press, **WANG) == "stale"
        assert await works.agent("", action="cancel", **press | {"subject": cancel.subject}, **WANG) == "stale"

    async def test_a_cancelled_text_is_never_sent(self, works: Any, ticket: str) -> None:
        await works.agent("一|二", **WANG)
        press = {"callback_id": "c", "subject": last(works).buttons[0].subject}
        assert await works.agent("", action="cancel", **press, **WANG) == "answered"
        assert await works.agent("", action="confirm", **press, **WANG) == "stale"
        assert len(works.channel.texts) == 1

    async def test_a_text_that_cannot_fit_is_refused_with_the_numbers(self, works: Any, ticket: str) -> None:
        works.set_limits(units=3)
        assert await works.agent("一|二|三", message_id=70, **WANG) == "answered"
        assert last(works).text == works.texts.render("desk_too_long", parts="3", left="2")
        assert len(works.channel.texts) == 1

    @pytest.mark.parametrize("subject", ["x", "", "999999"])
    async def test_a_forged_confirmation_does_nothing(self, works: Any, ticket: str, subject: str) -> None:
        press = {"callback_id": "c", "subject": subject}
        assert await works.agent("", action="confirm", **press, **WANG) == "stale"


class TestCommands:
    async def test_a_note_is_for_colleagues_only(self, works: Any, ticket: str) -> None:
        assert await works.agent("老客户,给九折", action="note", message_id=70, **WANG) == "answered"
        assert len(works.channel.texts) == 1
        assert (last(works).text, last(works).reply_to) == (works.texts.render("desk_noted"), 70)
        await works.agent("", action="history", **LI)
        assert "备注 小王:老客户,给九折" in last(works).text

    async def test_the_history_is_the_last_lines_in_order(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        await works.customer("谢谢")
        await works.agent("", action="history", **WANG)
        lines = [line.split(" ", 2)[2] for line in last(works).text.splitlines()[1:]]
        assert sorted(lines) == sorted(
            ["客户:能刻字吗?", f"机器人:{works.texts.render('hold')}", "人工:可以刻字", "客户:谢谢"]
        )

    async def test_who_says_holder_window_and_budget(self, works: Any, ticket: str) -> None:
        works.set_limits(units=5, window_seconds=172_800)
        await works.run("update conversations set last_customer_at = now()")
        await works.agent("", action="who", **WANG)
        assert "还没有人接手" in last(works).text
        await works.agent("", action="take", **WANG)
        await works.agent("", action="who", **LI)
        text = last(works).text
        assert "小王" in text
        assert "47 小时 59 分" in text
        assert "还能发:4 条".replace(":", "：") in text
        await works.agent("", action="close", **WANG)
        await works.agent("", action="mute", **LI)
        await works.run(
            "update conversations set last_customer_at = now() - interval '3 days', session_state = 'staff'"
        )
        await works.agent("", action="who", **LI)
        for words in ("机器人", "已关闭", "已静音(小李)", "企业微信的接待人员"):
            assert words in last(works).text

    async def test_a_found_answer_is_sent_by_its_button_once(self, works: Any, ticket: str) -> None:
        works.knowledge.entries["退款"] = "七天内可退。"
        assert await works.agent("退款", action="kb", message_id=70, **WANG) == "stored"
        assert last(works).reply_to == 70
        assert "七天内可退。" in last(works).text
        [button] = last(works).buttons
        press = {"action": "send", "callback_id": "c", "subject": button.subject, "message_id": len(works.desk.posts)}
        assert await works.agent("", **press, target="2", **WANG) == "stale"
        assert await works.agent("", **press, target="0", **WANG) == "stale"
        assert await works.agent("", **press, target=button.target, **WANG) == "stored"
        assert await works.agent("", **press, target=button.target, **WANG) == "stale"
        assert works.channel.texts[1:] == ["七天内可退。"]

    async def test_nothing_found_and_nothing_reached_are_said(self, works: Any, ticket: str) -> None:
        await works.agent("火星", action="kb", **WANG)
        assert last(works).text == works.texts.render("desk_kb_none", query="火星")

        async def broken(*_: Any) -> Any:
            raise IndexUnavailableError("away")

        works._renew(try_question=broken)
        await works.agent("火星", action="kb", **WANG)
        assert last(works).text == works.texts.render("desk_kb_down")

    async def test_a_muted_bot_listens_and_the_desk_reads_along(self, works: Any, ticket: str) -> None:
        works.knowledge.entries["如何退款?"] = "七天内可退。"
        await works.agent("", action="close", **WANG)
        await works.agent("", action="mute", **WANG)
        assert works.desk.labels[-1].is_muted
        await works.customer("如何退款?")
        assert works.desk.lines[-1] == ("customer", "如何退款?")
        assert len(works.channel.texts) == 1
        await works.agent("我来说", **WANG)
        assert works.channel.texts[1:] == ["我来说"]
        assert works.texts.render("desk_not_waiting") not in notices(works)
        await works.agent("", action="unmute", **WANG)
        await works.customer("如何退款?")
        assert works.channel.texts[2:] == ["七天内可退。"]

    async def test_an_edited_message_is_answered_plainly(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", message_id=70, **WANG)
        assert await works.agent("", action="edited", message_id=70, **WANG) == "answered"
        assert (last(works).text, last(works).reply_to) == (works.texts.render("desk_edited"), 70)
        assert works.channel.texts[1:] == ["可以刻字"]

    async def test_an_edit_of_what_was_never_sent_needs_no_word(self, works: Any, ticket: str) -> None:
        await works.agent("", action="take", **WANG)
        await works.agent("我也说", message_id=71, **LI)
        for message_id in (71, 99):
            assert await works.agent("", action="edited", message_id=message_id, **LI) == "unknown"


class TestLabels:
    async def test_the_place_says_whose_turn_it_is(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        await works.agent("", action="done", **WANG)
        await works.customer("能送货吗?")
        await works.agent("", action="close", **LI)
        assert works.desk.labels == [
            DeskLabel(status="taken", holder="小王"),
            DeskLabel(),
            DeskLabel(status="waiting"),
            DeskLabel(is_closed=True),
        ]

    async def test_every_action_is_on_record(self, works: Any, ticket: str) -> None:
        await works.agent("可以刻字", **WANG)
        await works.agent("我也说", **LI)
        await works.agent("", action="done", **WANG)
        assert await actions(works) == [
            ("desk:小王", "desk.text", "stored"),
            ("desk:小李", "desk.text", "refused"),
            ("desk:小王", "desk.done", "stored"),
        ]
        rows = await works.rows("select detail::text as detail, ticket_id from audit_log")
        assert all("刻字" not in row["detail"] for row in rows)
        assert {row["ticket_id"] for row in rows} == {ticket}


async def test_the_card_says_since_when_the_customer_waits(works: Any) -> None:
    await works.customer("能刻字吗?")
    assert works.desk.posts[0].since == works.now.timestamp()
    assert works.desk.posts[0].label == DeskLabel(status="waiting")
