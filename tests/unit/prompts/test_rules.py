"""The rules that call a person: what fits, what is refused, and that no text can break or stop them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.rule_book import read_rules
from prompts.rules import MAX_CHARACTERS, Rule, RuleFacts, Wildcards, first_match, normalised, parse

SHIPPED = read_rules()
ANY_FACTS = st.builds(
    RuleFacts,
    text=st.text(),
    moods=st.lists(st.sampled_from(["negative", "neutral", "positive"]), max_size=8),
    tags=st.lists(st.text(max_size=5), max_size=3),
    source=st.text(max_size=5),
    repeats=st.integers(1, 20),
    unsure_turns=st.integers(0, 20),
    amount=st.floats(0, 1e12),
    is_open=st.booleans(),
    account=st.text(max_size=5),
)


def rules(*texts: str) -> list[Rule]:
    found, problems = parse("rules:\n" + "\n".join(f"  - {text}" for text in texts))
    assert problems == []
    return list(found)


def fits(when: str, **facts: Any) -> bool:
    [rule] = rules(f"{{name: r, when: {when}, then: {{}}}}")
    return rule.fits(RuleFacts(**facts))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("我要投诉", "投诉"),
        ("再不处理我就投诉你们", "投诉"),
        ("怎么投诉", "询问投诉渠道"),
        ("投诉渠道是什么", "询问投诉渠道"),
        ("投诉多久有回复", "询问投诉渠道"),
        ("我不是要投诉", None),
        ("不投诉", None),
        ("要不要投诉他们", "投诉"),
        ("我会找律师的", "律师与曝光"),
        ("打12315", "律师与曝光"),
        ("不给我退款", "退款纠纷"),
        ("相机怎么调曝光", None),
        ("烟雾报警器怎么装", None),
        ("如何退款?", None),
    ],
)
def test_the_shipped_rules_know_threats_from_questions(text: str, name: str | None) -> None:
    rule = first_match(SHIPPED, RuleFacts(text=text))
    assert (rule and rule.name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("特别想投诉你们", "投诉"),
        ("不得不投诉了", "投诉"),
        ("不投诉不行了", "投诉"),
        ("我不会不投诉的", "投诉"),
        ("再这样非投诉不可", "投诉"),
        ("怎么还不发货再不发我要投诉", "投诉"),
        ("怎么办,你们再不管我就找律师投诉", "律师与曝光"),
        ("怎么回事,还我钱,我要投诉", "退款纠纷"),
        ("你们怎么这样,我要去消协投诉", "律师与曝光"),
        ("不处理我就发抖音曝光你们", "律师与曝光"),
        ("我要报警", "律师与曝光"),
        ("再不退我就报警", "律师与曝光"),
        ("我要报警器坏了的赔偿,不然我要报警", "律师与曝光"),
        ("为什么不还我钱", "退款纠纷"),
        ("有奖举报我不管,我要举报你们", "投诉"),
    ],
)
def test_a_threat_calls_a_person_whatever_stands_around_it(text: str, name: str) -> None:
    rule = first_match(SHIPPED, RuleFacts(text=text))
    assert rule is not None
    assert (rule.name, rule.then.escalate) == (name, True)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("支持假一赔十吗", 0),
        ("退一赔三规则", 0),
        ("拒绝签收后多久退款", 0),
        ("衣服不给力可以退款吗", 0),
        ("不给发票可以退款吗", 0),
        ("不肯定尺码,能退款吗", 0),
        ("可以把照片发到网上晒单吗", 0),
        ("律师袍有现货吗", 0),
        ("我要报警器", 0),
        ("温度太高它就报警吗", 0),
        ("12315是什么电话", 0),
        ("投诉热线是多少", 0),
        ("消费者维权日有优惠吗", 0),
        ("举报有奖活动还在吗", 0),
        ("上次投诉后处理得很好,谢谢", 0),
        ("退不退款", 0),
        ("千万别投诉", 0),
        ("能不能不投诉", 0),
        ("不投诉行不行", 0),
        ("我不投诉,不行的话再说", 0),
        ("这台电脑8999元可以分期吗", 8999),
        ("预算8000块推荐哪款", 8000),
        ("满6000元包邮吗", 6000),
    ],
)
def test_an_ordinary_question_stays_with_the_bot(text: str, amount: float) -> None:
    rule = first_match(SHIPPED, RuleFacts(text=text, amount=amount))
    assert rule is None or not rule.then.escalate


@pytest.mark.parametrize("char", "特分个区级类差告")
def test_a_word_that_ends_like_a_negation_denies_nothing(char: str) -> None:
    assert fits("{keywords: 投诉}", text=f"{char}别投诉")
    assert not fits("{keywords: 投诉}", text="别投诉")


@pytest.mark.parametrize("mark", [",", "，", "、", ";", "；", "。"])
def test_a_wildcard_ends_where_a_part_of_a_sentence_does(mark: str) -> None:
    assert fits("{patterns: 怎么*投诉}", text="怎么样才能投诉")
    assert not fits("{patterns: 怎么*投诉}", text=f"怎么办{mark}我要投诉")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"moods": ("negative", "negative")}, "连续两轮不满"),
        ({"moods": ("negative", "neutral", "negative")}, None),
        ({"moods": ("negative",)}, None),
        ({"repeats": 3}, "同一问题问了三遍"),
        ({"repeats": 2}, None),
        ({"text": "赔我", "amount": 5000.01}, "大额"),
        ({"text": "赔我", "amount": 5000}, None),
        ({"amount": 5000.01}, None),
    ],
)
def test_the_shipped_rules_look_at_the_course(facts: dict[str, Any], name: str | None) -> None:
    rule = first_match(SHIPPED, RuleFacts(**{"text": "好的", **facts}))
    assert (rule and rule.name) == name


@pytest.mark.parametrize(
    ("when", "facts", "is_met"),
    [
        ("{keywords: 退款}", {"text": "我要退款"}, True),
        ("{keywords: [ABC]}", {"text": "ａｂｃ"}, True),
        ("{keywords: [sue]}", {"text": "an issue"}, False),
        ("{keywords: [sue]}", {"text": "I will sue you"}, True),
        ("{keywords: [sue]}", {"text": "I will not sue you"}, False),
        ("{patterns: 不给*退}", {"text": "你们不给我退"}, True),
        ("{patterns: 不给*退}", {"text": "不给。退"}, False),
        ("{patterns: '第?天'}", {"text": "第3天"}, True),
        ("{patterns: '第?天'}", {"text": "第天"}, False),
        ("{patterns: 第？天}", {"text": "第三天"}, True),
        ("{keywords: 退款, patterns: 不给*退}", {"text": "退款"}, False),
        ("{keywords: 退款, patterns: 不给*退}", {"text": "不给退款"}, True),
        ("{keywords: 报警, not_in: 报警器}", {"text": "我要报警器"}, False),
        ("{keywords: 报警, not_in: 报警器}", {"text": "报警器坏了,我要报警"}, True),
        ("{patterns: 要*报警, not_in: [报警器]}", {"text": "我要买报警器"}, False),
        ("{keywords: sue, not_in: [ＳＵＥ Ltd]}", {"text": "sue ltd"}, False),
        ("{mood: 正面}", {"moods": ("positive",)}, True),
        ("{mood: negative}", {"moods": ()}, None),
        ("{mood: 负面, mood_turns: 2}", {"moods": ("positive", "negative", "negative")}, True),
        ("{tags: [大客户]}", {"tags": ["大客户"]}, True),
        ("{tags: [大客户]}", {"tags": ["小客户"]}, False),
        ("{vip: true}", {"tags": ["金牌VIP"]}, True),
        ("{vip: true}", {"tags": []}, False),
        ("{vip: false}", {"tags": []}, True),
        ("{sources: [抖音]}", {"source": "抖音"}, True),
        ("{sources: [抖音]}", {"source": ""}, False),
        ("{accounts: [wk1]}", {"account": "wk1"}, True),
        ("{accounts: [wk1]}", {"account": "wk2"}, False),
        ("{repeats: 2}", {"repeats": 2}, True),
        ("{low_confidence_turns: 2}", {"unsure_turns": 2}, True),
        ("{low_confidence_turns: 2}", {"unsure_turns": 1}, False),
        ("{amount_over: 100}", {"amount": 101}, True),
        ("{amount_over: 100}", {"amount": 100}, False),
        ("{office_hours: open}", {"is_open": True}, True),
        ("{office_hours: closed}", {"is_open": True}, False),
        ("{office_hours: closed, amount_over: 1}", {"is_open": False, "amount": 2}, True),
        ("{office_hours: closed, amount_over: 1}", {"is_open": False, "amount": 1}, False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(when: str, facts: dict[str, Any], is_met: bool | None) -> None:
    if is_met is None:
        _, problems = parse(f"rules: [{{name: r, when: {when}, then: {{}}}}]")
        assert problems == ["rule 'r': when.mood: 'negative' is no mood; use 负面, 中性, 正面"]
        return
    assert fits(when, **facts) is is_met


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("rules: [", "is not YAML: "),
        ("", "is no list of rules; write rules: in the first line, and each rule below it after a -"),
        ("rules: 3", "is no list of rules"),
        ("rules: [3]", "rule 1: "),
        ("rules: [{when: {vip: true}, then: {}}]", "rule 1: name: Field required"),
        ("rules: [{name: a, then: {}}]", "rule 'a': when: Field required"),
        (
            "rules: [{name: a, when: {}, then: {}}]",
            "rule 'a': when: has no condition and would fit everything; name one",
        ),
        ("rules: [{name: a, when: {mood_turns: 2}, then: {}}]", "rule 'a': when: has no condition"),
        ("rules: [{name: a, when: {mood_turns: 2, vip: true}, then: {}}]", "rule 'a': when: mood_turns needs a mood"),
        ("rules: [{name: a, when: {not_in: x}, then: {}}]", "rule 'a': when: has no condition"),
        ("rules: [{name: a, when: {not_in: x, vip: true}, then: {}}]", "rule 'a': when: not_in needs keywords"),
        ("rules: [{name: a, when: {patterns: '*?'}, then: {}}]", "rule 'a': when: patterns: '*?' fits everything"),
        ("rules: [{name: a, when: {repeats: 1}, then: {}}]", "rule 'a': when.repeats: "),
        ("rules: [{name: a, when: {mood: 3}, then: {}}]", "rule 'a': when.mood: "),
        ("rules: [{name: a, when: {regex: x}, then: {}}]", "rule 'a': when.regex: Extra inputs are not permitted"),
        ("rules: [{name: a, when: {vip: true}, then: {words: nope}}]", "rule 'a': then: words: 'nope' cannot be said"),
        ("rules: [{name: a, when: {vip: true}, then: {words: unsupported}}]", "rule 'a': then: words: 'unsupported'"),
        ("rules: [{name: a, when: {vip: true}, then: {channel: fax}}]", "rule 'a': then.channel: "),
        (
            "rules: [{name: a, when: {vip: true}, then: {}}, {name: a, when: {vip: true}, then: {}}]",
            "rule 'a': there are two of this name; rename one",
        ),
    ],
)
def test_a_faulty_rule_is_one_line_that_names_it(raw: str, problem: str) -> None:
    _, problems = parse(raw)
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    ("mark", "shown"), [*zip("，,。、；！", ",,。、;!", strict=True), (". ", "."), ("\\n", "a new line")]
)
def test_a_pattern_with_the_end_of_a_part_in_it_is_refused(mark: str, shown: str) -> None:
    _, [problem] = parse(f'rules: [{{name: a, when: {{patterns: [好, "不退款{mark}我就*投诉"]}}, then: {{}}}}]')
    assert problem.startswith("rule 'a': when: patterns: '不退款")
    assert problem.endswith(f" never fits, because a pattern ends at {shown!r}; keep the words on one side of it")
    assert "\n" not in problem


@pytest.mark.parametrize("pattern", ["1.5*米", "怎么*投诉？", "U.S.A", "a-b/c:d"])
def test_marks_that_end_nothing_are_no_harm_in_a_pattern(pattern: str) -> None:
    [rule], problems = parse(f"rules: [{{name: a, when: {{patterns: '{pattern}'}}, then: {{}}}}]")
    assert problems == []
    assert rule.fits(RuleFacts(text=pattern.replace("*", "3 ").replace("？", "吧")))


@given(ANY_FACTS)
def test_rules_are_total(facts: RuleFacts) -> None:
    rule = first_match(SHIPPED, facts)
    assert rule is None or rule.reasons(facts)


@given(
    st.lists(st.sampled_from(["a: 退款", "b: 投诉", "c: 律师", "d: 你好"]), min_size=1, unique=True),
    st.text("退款投诉律师你好", max_size=12),
)
def test_the_first_rule_that_fits_counts(order: list[str], text: str) -> None:
    written = [each.split(": ") for each in order]
    found = rules(*(f"{{name: {name}, when: {{keywords: {word}}}, then: {{}}}}" for name, word in written))
    rule = first_match(found, RuleFacts(text=text))
    assert (rule and rule.name) == next((name for name, word in written if word in text), None)


@given(
    st.sampled_from(["不", "不想", "没有要", "不是要", "别", "无需", "不打算去"]),
    st.sampled_from(["投诉", "曝光", "起诉"]),
)
def test_a_denied_keyword_does_not_count_and_one_more_does(denial: str, word: str) -> None:
    assert not fits(f"{{keywords: {word}}}", text=f"我{denial}{word}")
    assert fits(f"{{keywords: {word}}}", text=f"我{denial}{word}, 他要{word}")


@given(st.lists(st.text("甲乙丙", min_size=1, max_size=3), min_size=1, max_size=4), st.text("甲乙丙丁", max_size=40))
def test_wildcards_find_what_a_regular_expression_would(parts: list[str], text: str) -> None:
    import re

    assert Wildcards("*".join(parts)).is_in(text) is bool(re.search(".*".join(parts), text))


@pytest.mark.parametrize("unit", ["不给", "不", "a", "投诉不", "不给*退款", " ", "。", "\n"])
def test_long_texts_take_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        started = time.perf_counter()
        for _ in range(3):
            first_match(SHIPPED, RuleFacts(text=text))
        return time.perf_counter() - started

    assert seconds(200_000) < 1


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    text = "我要投诉" + "很长" * MAX_CHARACTERS + "找律师"
    assert len(normalised(text)) <= MAX_CHARACTERS + 1
    assert fits("{keywords: [我要投诉]}", text=text)
    assert fits("{keywords: [找律师]}", text=text)


def test_every_condition_that_made_a_rule_fit_is_named() -> None:
    [rule] = rules(
        "{name: r, when: {keywords: [退款], patterns: ['不*退'], mood: 负面, tags: [VIP], sources: [s], accounts: [k],"
        " repeats: 2, low_confidence_turns: 1, amount_over: 1, office_hours: open}, then: {escalate: false}}"
    )
    facts = RuleFacts(
        text="不给退款", moods=["negative"], tags=["VIP"], source="s", account="k", repeats=2, unsure_turns=1, amount=2
    )
    assert rule.fits(facts)
    names = [reason.partition(":")[0] for reason in rule.reasons(facts)]
    assert names == [
        "keywords", "patterns", "mood", "tags", "source", "account", "repeats", "low_confidence_turns", "amount",
        "office_hours",
    ]  # fmt: skip
