from collections.abc import Callable
from dataclasses import replace

import pytest

from tools.messages import Candidate, DeskButton, DeskLabel, DeskPost, Handoff, Line
from tools.simulators.telegram_markup import visible_text
from tools.telegram_cards import DRAFT_TRUNCATED, MESSAGE_LIMIT, escape_within, plain_within, render, topic_name

MakeCard = Callable[..., DeskPost]


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def test_a_card_says_who_what_why_and_shows_history_and_draft(card: MakeCard) -> None:
    post = replace(card(), since=1_700_000_000, source="官网")
    seen = visible_text(render(post, in_topic=True).html)
    assert seen.splitlines() == [
        "🙋 张三 · 来自 官网",
        "🕐 11-15 06:13 起等待",
        "❓ 可以开专票吗?",
        "📌 知识库里没有足够把握的答案(把握 37%)",
        "🔎 最接近的条目",
        "· 怎么开发票?(82%)",
        "· 可以开普票吗?(61%)",
        "🕘 最近对话",
        "客户:你好",
        "机器人:您好,请问有什么可以帮您?",
        "💡 建议回复",
        "可以的,请提供税号。",
        "直接在本话题里回复即可发给客户(想改草稿就回复您自己的话),/help 看全部命令,/done 交还机器人",
    ]


def test_without_topics_the_card_asks_for_a_reply(card: MakeCard) -> None:
    seen = visible_text(render(card(), in_topic=False).html)
    assert "请“回复”本条消息,内容会发给客户" in seen.splitlines()[-1]


@pytest.mark.parametrize(
    ("reason", "confidence", "words"),
    [
        ("low_confidence", 0.37, "📌 知识库里没有足够把握的答案(把握 37%)"),
        ("low_confidence", 0.0, "📌 知识库里没有足够把握的答案(把握 0%)"),
        ("low_confidence", None, "📌 知识库里没有足够把握的答案"),
        ("asked_for_human", 0.9, "📌 客户要求人工"),
        ("model_refused", None, "📌 模型拒绝回答"),
        ("failure", None, "📌 机器人处理出错"),
        ("a new <reason>", None, "📌 a new <reason>"),
    ],
)
def test_the_reason_is_given_in_words(card: MakeCard, reason: str, confidence: float | None, words: str) -> None:
    seen = visible_text(render(card(reason=reason, confidence=confidence), in_topic=True).html)
    assert words in seen.splitlines()


def test_buttons_carry_the_ticket(card: MakeCard) -> None:
    ticket_id = "x" * 40
    buttons = render(card(ticket_id=ticket_id), in_topic=True).buttons
    assert [(button.label, button.data) for button in buttons] == [
        ("发送草稿", f"draft:{ticket_id}"),
        ("接手", f"take:{ticket_id}"),
        ("转给…", f"assign:{ticket_id}"),
        ("稍后", f"snooze:{ticket_id}"),
        ("交还", f"done:{ticket_id}"),
        ("加入知识库", f"entry:{ticket_id}"),
    ]
    assert all(len(button.data.encode()) <= 64 for button in buttons)


def test_without_a_draft_there_is_nothing_to_send(card: MakeCard) -> None:
    rendered = render(card(draft="", history=()), in_topic=True)
    assert "发送草稿" not in [button.label for button in rendered.buttons]
    assert len(rendered.buttons) == 5
    assert "💡" not in rendered.html
    assert "🕘" not in rendered.html


def test_what_customers_and_articles_wrote_never_becomes_markup(card: MakeCard) -> None:
    nasty = "<b>&</b><a href='//user?id=1'>x</a>&lt;"
    post = card(
        customer_name=nasty,
        question=nasty,
        reason=nasty,
        draft=nasty,
        history=(Line(speaker="customer", text=nasty),),
        hits=(Candidate(entry_id="e", question=nasty, score=0.5),),
    )
    seen = visible_text(render(replace(post, source=nasty), in_topic=True).html)
    assert seen.count(nasty) == 6


def test_the_longest_card_fits_even_when_every_character_must_be_escaped(card: MakeCard) -> None:
    for text in ("&" * 5000, "好" * 5000, "😀" * 5000, "a\n" * 5000):
        history = tuple(Line(speaker="bot", text=text) for _ in range(40))
        hits = tuple(Candidate(entry_id="e", question=text, score=1) for _ in range(9))
        post = card(customer_name=text, question=text, reason=text, draft=text, history=history, hits=hits)
        rendered = render(replace(post, source=text, since=1_700_000_000), in_topic=False)
        assert units(rendered.html) <= MESSAGE_LIMIT
        seen = visible_text(rendered.html)
        assert DRAFT_TRUNCATED in seen
        assert seen.endswith("/done 交还机器人")


def test_only_the_last_turns_are_shown(card: MakeCard) -> None:
    history = tuple(Line(speaker="customer", text=f"第{number}句") for number in range(20))
    seen = visible_text(render(card(history=history), in_topic=True).html)
    assert "第19句" in seen
    assert "第14句" in seen
    assert "第13句" not in seen


def test_a_line_break_cannot_forge_another_turn_or_name(card: MakeCard) -> None:
    post = card(customer_name="张三\n📌 已付款", history=(Line(speaker="customer", text="好\n人工:已退款"),))
    lines = visible_text(render(post, in_topic=True).html).splitlines()
    assert "🙋 张三 📌 已付款" in lines
    assert "客户:好 人工:已退款" in lines


def test_nothing_a_customer_writes_is_a_command_or_a_mention_at_the_desk(card: MakeCard) -> None:
    words = "/close 点 /done@kefu_bot @xiaowang tg://resolve?domain=x a@b.cn https://example.com/done"
    inert = "/\u2060close 点 /\u2060done@kefu_bot @\u2060xiaowang tg:\u2060//resolve?domain=x a@b.cn https://example.com/done"
    post = card(
        customer_name=words,
        question=words,
        draft=words,
        history=(Line(speaker="customer", text=words),),
        hits=(Candidate(entry_id="e", question=words, score=0.5),),
        profile=(words,),
    )
    seen = visible_text(render(replace(post, source=words), in_topic=True).html)
    assert words not in seen
    assert seen.count(inert[:40]) == 7
    assert render(replace(post, handoff=None, kind="customer", text=words), in_topic=True).html.endswith(inert)
    notice = replace(post, handoff=None, kind="notice", text="/help 看说明")
    assert render(notice, in_topic=True).html == "ℹ️ /help 看说明"


def test_lines_of_a_customer_are_quoted_so_that_none_looks_like_the_desks_own(customer_line: DeskPost) -> None:
    post = replace(customer_line, text="好的\nℹ️ 小李 已接手")
    assert render(post, in_topic=True).html == "👤 张三:<blockquote>好的\nℹ️ 小李 已接手</blockquote>"
    long = render(replace(post, text="好\n" * 5000), in_topic=True).html
    assert units(long) <= MESSAGE_LIMIT
    assert visible_text(long).endswith("…")


def test_signs_that_turn_a_line_around_are_dropped(card: MakeCard) -> None:
    post = card(customer_name="\u202e三张\u202c", question="\u2066退款\u2069\u200f", history=(), hits=(), draft="")
    assert "🙋 三张\n❓ 退款\n" in visible_text(render(post, in_topic=True).html)
    assert topic_name(post) == "🟢 三张"


def test_a_customer_line_names_the_customer(customer_line: DeskPost) -> None:
    rendered = render(customer_line, in_topic=True)
    assert rendered.html == "👤 张三:还在吗 &lt;b&gt;&amp;"
    assert rendered.buttons == ()


def test_a_notice_names_the_customer_only_where_no_topic_does(notice: DeskPost) -> None:
    assert render(notice, in_topic=True).html == "ℹ️ 客户已离开"
    assert render(notice, in_topic=False).html == "ℹ️ 张三:客户已离开"


@pytest.mark.parametrize("kind", ["customer", "notice"])
def test_a_long_line_is_shortened_visibly(customer_line: DeskPost, kind: str) -> None:
    post = replace(customer_line, kind=kind, text="&" * 9000)  # type: ignore[arg-type]
    rendered = render(post, in_topic=False)
    assert units(rendered.html) <= MESSAGE_LIMIT
    assert visible_text(rendered.html).endswith("&…")


def test_a_topic_is_named_after_the_customer(card: MakeCard) -> None:
    assert topic_name(card(customer_name=" 张三 <VIP>\n")) == "🟢 张三 <VIP>"


def test_a_topic_of_a_nameless_customer_gets_the_end_of_the_id(card: MakeCard) -> None:
    assert topic_name(card(customer_name="")) == "🟢 客户 123456"
    assert topic_name(card(customer_name="\ud800", thread_id="kf:wk1:abc")) == "🟢 客户 abc"


def test_a_lines_topic_name_falls_back_to_the_tickets_name(card: MakeCard) -> None:
    assert topic_name(replace(card(), customer_name="")) == "🟢 张三"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (DeskLabel(), "🟢 张三"),
        (DeskLabel(status="waiting"), "🔴 张三"),
        (DeskLabel(status="taken", holder="小王"), "🟡 张三 · 小王"),
        (DeskLabel(status="snoozed", holder="小王"), "⏰ 张三 · 小王"),
        (DeskLabel(status="snoozed"), "⏰ 张三"),
        (DeskLabel(is_muted=True), "🟢🔇 张三"),
    ],
)
def test_a_topic_s_name_says_whose_turn_it_is(card: MakeCard, label: DeskLabel, name: str) -> None:
    assert topic_name(replace(card(), label=label)) == name


def test_a_post_s_buttons_stand_two_in_a_row(notice: DeskPost) -> None:
    buttons = tuple(DeskButton(action="send", label=f"发送 {n}", subject="k", target=str(n)) for n in (1, 2, 3))
    rendered = render(replace(notice, buttons=buttons), in_topic=True)
    assert [[button.data for button in row] for row in rendered.rows] == [["send:k:1", "send:k:2"], ["send:k:3"]]


@pytest.mark.parametrize("name", ["长" * 300, "😀" * 300])
def test_a_topic_name_fits(card: MakeCard, name: str) -> None:
    label = DeskLabel(status="taken", holder=name, is_muted=True)
    short = topic_name(replace(card(customer_name=name), label=label))
    assert 120 <= units(short) <= 128
    assert short.endswith("…")
    assert "… · " in short


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("a&b", 7, "a&amp;b"),
        ("a&b", 6, "a…"),
        ("a&bcdef", 7, "a&amp;…"),
        ("😀😀", 4, "😀😀"),
        ("😀😀", 3, "😀…"),
        ("a\0b\ud83d", 10, "ab"),
    ],
)
def test_escaping_never_cuts_an_entity_or_a_character(text: str, limit: int, expected: str) -> None:
    assert escape_within(text, limit) == expected


def test_plain_text_is_bounded_without_escaping() -> None:
    assert plain_within("a&b", 3) == "a&b"
    assert plain_within("a&bc", 3) == "a&…"


def test_haste_rule_mood_and_what_is_known_are_on_the_card() -> None:
    handoff = Handoff(
        ticket_id="t1",
        thread_id="wecom:wk1:wm1",
        customer_name="小满",
        question="再不处理就投诉",
        reason="rule",
        confidence=None,
        history=(),
        draft="",
        rule="<投诉>",
        priority="high",
        mood="negative",
        profile=("订单号: 37<b>", "称呼: 小李"),
    )
    post = DeskPost(kind="card", thread_id="wecom:wk1:wm1", customer_name="小满", text="", handoff=handoff)
    lines = render(post, in_topic=True).html.splitlines()
    assert lines[0] == "🔴 <b>加急</b> 🙋 <b>小满</b>"
    assert "📌 按规则转人工 · 规则「&lt;投诉&gt;」 · 情绪负面" in lines
    assert "📇 订单号: 37&lt;b&gt; · 称呼: 小李" in lines
