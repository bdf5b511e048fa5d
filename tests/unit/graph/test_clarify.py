"""Asking back: the menu, what a customer answers to it, and what follows."""

from __future__ import annotations

import pytest

from tools.errors import OvertakenError
from tools.messages import Choice, HumanReply

ASKED = "刷杯子用什么"
GLAZE, WASH, BREAK = "杯子的釉面会掉吗?", "杯子怎么清洗?", "收到时破损怎么办?"
ANSWERS = {GLAZE: "不会掉。", WASH: "用软布。", BREAK: "拍照给我们。"}
NONE = "都不是,找人工"


@pytest.fixture
def unsure(bench):
    """A bot that has three likely entries for one question."""
    hits = [bench.knowledge.hit(question, text) for question, text in ANSWERS.items()]
    bench.knowledge.resembles(ASKED, *hits)
    bench.knowledge.knows("运费多少?", "包邮。")
    return bench


async def test_the_likely_entries_are_offered_and_nothing_else_happens(unsure):
    [text] = await unsure.customer(ASKED)
    [menu] = unsure.menus
    assert menu.head == "您是想问:"
    assert [option.label for option in menu.options] == [GLAZE, WASH, BREAK, NONE]
    assert text == menu.text
    assert text.splitlines()[:5] == ["您是想问:", f"1. {GLAZE}", f"2. {WASH}", f"3. {BREAK}", f"4. {NONE}"]
    assert not unsure.outbox.tickets
    assert await unsure.next() == ()
    state = await unsure.state()
    assert state["messages"][-1].text == text
    assert state["clarification"]["question"] == ASKED
    assert len({option.option_id for option in menu.options}) == 4
    assert all(option.option_id.isalnum() and len(option.option_id) == 32 for option in menu.options)


@pytest.mark.parametrize(("shortlist", "is_asked"), [(0.59, False), (0.60, True), (0.61, True)])
async def test_the_shortlist_threshold_decides(bench, shortlist, is_asked):
    bench.knowledge.resembles(ASKED, bench.knowledge.hit(WASH, "用软布。"), shortlist=shortlist)
    await bench.customer(ASKED)
    assert bool(bench.menus) is is_asked
    assert bool(bench.outbox.tickets) is not is_asked


async def test_a_click_is_answered_word_for_word_from_its_entry(unsure):
    await unsure.customer(ASKED)
    unsure.knowledge.searched.clear()
    assert await unsure.clicks(WASH) == ["用软布。"]
    said = list(unsure.outbox.said.values())[-1]
    assert said.sources == ("c-用软布。",)
    assert unsure.knowledge.searched == []
    state = await unsure.state()
    assert state["clarification"] is None
    assert state["turn"]["intent"] == "chosen"


async def test_what_was_clicked_is_a_free_label(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(WASH, turn_id="t2")
    assert unsure.outbox.choices == {
        "t2": Choice(
            thread_id=unsure.thread_id,
            turn_id="t2",
            question=ASKED,
            shown=("e-不会掉。", "e-用软布。", "e-拍照给我们。"),
            entry_id="e-用软布。",
            source="click",
            confidence=0.4,
        )
    }


@pytest.mark.parametrize(
    "text",
    [
        *("2", "２", "2.", "2、", "(2)", "②", "2️⃣", "二", "第二个", "第2个", "选2", "我选第二个", "2号", "第二项吧"),
        *(WASH, "杯子怎么清洗", f"2. {WASH}", "杯子怎么清洗？"),
    ],
)
async def test_a_number_or_the_words_of_an_option_choose_it(unsure, text):
    await unsure.customer(ASKED)
    assert await unsure.customer(text) == ["用软布。"]
    [choice] = unsure.outbox.choices.values()
    assert (choice.entry_id, choice.source) == ("e-用软布。", "typed")


@pytest.mark.parametrize("text", ["4", "第四个", NONE, "都不是", "都不是。"])
async def test_none_of_these_hands_the_first_question_over(unsure, text):
    await unsure.customer(ASKED)
    [hold] = await unsure.customer(text)
    assert "人工" in hold
    assert (unsure.ticket.reason, unsure.ticket.question, unsure.ticket.draft) == ("none_of_these", ASKED, "")
    assert unsure.ticket.confidence == 0.4
    [choice] = unsure.outbox.choices.values()
    assert (choice.entry_id, choice.question) == (None, ASKED)
    state = await unsure.state()
    assert state["clarification"] is None
    assert await unsure.next() == ("human_resume",)


async def test_none_of_these_by_a_click(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(NONE)
    assert unsure.ticket.reason == "none_of_these"
    assert unsure.outbox.choices["turn2"].source == "click"


async def test_a_second_miss_goes_to_a_person_with_both_questions(unsure):
    await unsure.customer(ASKED)
    unsure.knowledge.resembles("刷锅用什么好呢", unsure.knowledge.hit(WASH, "用软布。"))
    [hold] = await unsure.customer("刷锅用什么好呢")
    assert "人工" in hold
    assert (unsure.ticket.reason, unsure.ticket.question) == ("low_confidence", f"{ASKED}\n刷锅用什么好呢")
    assert len(unsure.menus) == 1
    assert unsure.outbox.choices == {}


async def test_another_question_is_answered_and_the_menu_is_forgotten(unsure):
    await unsure.customer(ASKED)
    assert await unsure.customer("运费多少?") == ["包邮。"]
    assert (await unsure.state())["clarification"] is None
    assert not unsure.outbox.tickets
    await unsure.customer(ASKED)
    assert len(unsure.menus) == 2


async def test_small_talk_leaves_the_menu_open(unsure):
    await unsure.customer(ASKED)
    await unsure.customer("谢谢")
    assert await unsure.customer("2") == ["用软布。"]


@pytest.mark.parametrize("text", ["转人工", "找人工"])
async def test_a_call_for_a_person_carries_the_first_question_and_labels_nothing(unsure, text):
    await unsure.customer(ASKED)
    await unsure.customer(text)
    assert (unsure.ticket.reason, unsure.ticket.question) == ("asked_for_human", f"{ASKED}\n{text}")
    assert unsure.outbox.choices == {}


@pytest.mark.parametrize("text", ["5", "12", "2 个多少钱", "第二天能到吗", "?"])
async def test_what_only_looks_like_a_choice_is_a_question(unsure, text):
    await unsure.customer(ASKED)
    await unsure.customer(text)
    assert unsure.outbox.choices == {}


async def test_a_click_and_another_question_are_both_answered(unsure):
    await unsure.customer(ASKED)
    assert await unsure.clicks(WASH, "运费多少?") == ["用软布。\n\n包邮。"]
    said = list(unsure.outbox.said.values())[-1]
    assert said.sources == ("c-用软布。", "c-包邮。")


async def test_a_click_is_answered_before_the_rest_is_handed_over(unsure):
    await unsure.customer(ASKED)
    assert (await unsure.clicks(WASH, "能在杯子上刻我的名字吗"))[0] == "用软布。"
    assert unsure.ticket.question == "能在杯子上刻我的名字吗"
    assert unsure.outbox.choices["turn2"].entry_id == "e-用软布。"


async def test_a_click_beside_another_unsure_question_leads_to_the_next_menu(unsure):
    await unsure.customer(ASKED)
    said = await unsure.clicks(GLAZE, ASKED)
    assert said[0] == "不会掉。"
    assert said[1].startswith("您是想问:")
    assert not unsure.outbox.tickets


async def test_none_of_these_beside_a_covered_question_answers_that_one_too(unsure):
    await unsure.customer(ASKED)
    assert (await unsure.clicks(NONE, "运费多少?"))[0] == "包邮。"
    assert (unsure.ticket.reason, unsure.ticket.question) == ("none_of_these", ASKED)


async def test_a_click_with_a_call_for_a_person_goes_to_a_person(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(WASH, "转人工")
    assert (unsure.ticket.reason, unsure.ticket.question) == ("asked_for_human", f"{WASH}\n转人工")


async def test_two_clicks_in_one_turn_are_both_answered(unsure):
    await unsure.customer(ASKED)
    ids = {option.label: option.option_id for option in unsure.menus[0].options}
    assert await unsure.lines((WASH, ids[WASH]), (GLAZE, ids[GLAZE])) == ["用软布。\n\n不会掉。"]


async def test_an_old_click_is_answered_by_its_entry_as_it_is_now(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(WASH)
    unsure.knowledge.resembles(
        GLAZE, unsure.knowledge.hit(WASH, "用软布。"), unsure.knowledge.hit(GLAZE, "不会掉。", 0.3)
    )
    assert await unsure.clicks(GLAZE) == ["不会掉。"]
    assert list(unsure.outbox.choices) == ["turn2"]


async def test_an_old_click_whose_entry_is_gone_is_its_question_asked_again(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(WASH)
    assert "人工" in (await unsure.clicks(GLAZE))[0]
    assert unsure.ticket.question == GLAZE


async def test_an_old_none_of_these_is_a_call_for_a_person(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(WASH)
    await unsure.clicks(NONE)
    assert unsure.ticket.reason == "asked_for_human"


async def test_an_id_nobody_offered_is_only_the_text(unsure):
    """Ids are looked up, never believed: an entry's own id leads nowhere."""
    await unsure.customer(ASKED)
    assert await unsure.lines(("运费多少?", "e-用软布。")) == ["包邮。"]


async def test_a_click_on_a_menu_nobody_remembers_is_the_text_of_its_option(unsure):
    unsure.knowledge.knows(WASH, "用软布。")
    assert await unsure.lines((WASH, "0" * 32)) == ["用软布。"]


async def test_after_many_menus_the_oldest_is_forgotten_and_asked_as_text(unsure):
    for _ in range(4):
        await unsure.customer(ASKED)
        await unsure.clicks(WASH)
    unsure.knowledge.knows(GLAZE, "不会掉。")
    assert len((await unsure.state())["offered"]) == 12
    assert await unsure.clicks(GLAZE, menu=0) == ["不会掉。"]


async def test_while_a_person_has_the_conversation_a_click_is_relayed_as_text(unsure):
    await unsure.customer(ASKED)
    await unsure.clicks(NONE)
    assert await unsure.clicks(WASH) == []
    assert [said.text for said in unsure.outbox.to_desk.values()] == [WASH]
    assert await unsure.next() == ("human_resume",)
    await unsure.conversation.human_reply(
        unsure.thread_id, HumanReply(reply_id="r", agent="小王", action="done", text="")
    )
    assert not (await unsure.state())["clarification"]


async def test_what_is_said_to_staff_closes_the_menu(unsure):
    await unsure.customer(ASKED)
    await unsure.conversation.listen(unsure.thread_id, "staff", [])
    assert (await unsure.state())["clarification"] is None


async def test_one_open_question_beside_an_answered_one_is_asked_back(unsure):
    said = await unsure.customer("运费多少?", ASKED)
    assert said[0] == "包邮。"
    assert said[1].startswith("您是想问:")
    assert not unsure.outbox.tickets


async def test_two_open_questions_are_one_ticket(unsure):
    unsure.knowledge.resembles("刷锅用什么好呢", unsure.knowledge.hit(WASH, "用软布。"))
    await unsure.customer(ASKED, "刷锅用什么好呢")
    assert unsure.ticket.question == f"{ASKED}\n刷锅用什么好呢"
    assert unsure.menus == []


async def test_pieces_that_are_likely_only_together_are_asked_back_as_one(bench):
    bench.knowledge.resembles("我上周买的\n那个锅坏了怎么弄", bench.knowledge.hit(BREAK, "拍照给我们。"))
    await bench.customer("我上周买的", "那个锅坏了怎么弄")
    assert len(bench.menus) == 1
    assert (await bench.state())["clarification"]["question"] == "我上周买的\n那个锅坏了怎么弄"


async def test_passages_cannot_be_chosen(bench):
    bench.knowledge.resembles(ASKED, bench.knowledge.hit("", "一段文字。"), bench.knowledge.hit(WASH, "用软布。"))
    await bench.customer(ASKED)
    assert [option.label for option in bench.menus[0].options] == [WASH, NONE]
    bench.knowledge.resembles("只有一段", bench.knowledge.hit("", "一段文字。"))
    await bench.clicks(WASH)
    await bench.customer("只有一段")
    assert bench.ticket.question == "只有一段"


async def test_a_picture_is_no_choice(unsure):
    await unsure.customer(ASKED)
    [reply] = await unsure.customer("2", kind="image")
    assert "图片" in reply


async def test_without_a_desk_no_person_is_promised(make_bench):
    bench = make_bench(has_desk=False)
    bench.knowledge.resembles(ASKED, bench.knowledge.hit(WASH, "用软布。"))
    [text] = await bench.customer(ASKED)
    assert "人工" not in text
    await bench.clicks("都不是")
    assert bench.ticket.reason == "none_of_these"


async def test_a_repeated_turn_offers_and_records_once(unsure):
    for _ in range(2):
        await unsure.customer(ASKED, turn_id="same")
    assert len(unsure.menus) == 1
    for _ in range(2):
        await unsure.clicks(WASH, turn_id="click")
    assert unsure.outbox.texts[1:] == ["用软布。"]


@pytest.mark.parametrize("text", ["2", NONE])
async def test_a_choice_that_was_overtaken_is_still_one_when_the_turn_begins_anew(unsure, monkeypatch, text):
    await unsure.customer(ASKED)

    async def overtaken(*_args, **_kwargs):
        raise OvertakenError("the customer wrote on")

    with monkeypatch.context() as patch:
        patch.setattr(type(unsure.outbox), "say", overtaken)
        with pytest.raises(OvertakenError):
            await unsure.customer(text, turn_id="first")
    assert unsure.outbox.choices == {}
    await unsure.customer(text, "谢谢", turn_id="second")
    [choice] = unsure.outbox.choices.values()
    assert choice.turn_id == "second"


async def test_a_turn_given_up_while_a_menu_is_open_hands_both_questions_over(unsure):
    from graph.conversation import CustomerLine

    await unsure.customer(ASKED)
    line = CustomerLine(message_id="m", kind="text", text="2")
    await unsure.conversation.customer_turn(unsure.thread_id, "bad", [line], hand_over="failure")
    assert (unsure.ticket.reason, unsure.ticket.question) == ("failure", f"{ASKED}\n2")


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 4])
async def test_a_kill_after_any_checkpoint_offers_one_menu(unsure, kill_after, checkpoints):
    with kill_after(unsure, checkpoints):
        await unsure.customer(ASKED, turn_id="same")
    await unsure.customer(ASKED, turn_id="same")
    assert len(unsure.menus) == 1
    assert await unsure.clicks(WASH) == ["用软布。"]
